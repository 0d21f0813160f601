# SPDX-License-Identifier: GPL-3.0-or-later
"""Physics beside network: runs the network that comes with the add-on over the frames of a finished simulation."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bridge.plan import SHIPPED
from ..bridge.touching import touching_hands
from ..errors import CacheError, SimulationError
from ..progress import Job, Progress, aside, call
from ..threads import one_blas_thread

_STEP = "network beside physics"
_COLUMNS = 4
_CELL = (420, 420)  # pixels


def compare_job(scene: Any, picture: Path, weights: Path = SHIPPED) -> Job[dict]:
    """Writes `picture` (tracked, physics, network) and returns the figures that docs/network.md explains.

    The frames are those of the existing simulation. If the network does not fit the character or cannot be read, there
    is no picture and the result is {"skipped": the reason}. Raises NephimError.
    """
    from ..bridge.cache.results import ResultReader
    from ..pictures.highlights import choose_frames
    from ..pictures.images import write_png
    from ..pictures.staging import Stage
    from ..pictures.strip import compose_strip

    with ResultReader(scene) as result:
        try:
            measured = _Measurement(result, (yield from _network_job(result, weights)))
        except (SimulationError, CacheError) as error:
            return {"skipped": str(error)}
        largest = yield from result.largest_displacements(_STEP, 0.3)
        chosen = [result.frames[k] for k in choose_frames(largest, _COLUMNS)]
        skins: dict[int, NDArray] = {}
        for k, frame in enumerate(result.frames):
            skin = measured.add(result.read(frame))
            if frame in chosen:
                skins[frame] = skin
            yield Progress(_STEP, 0.3 + 0.6 * (k + 1) / len(result.frames), f"frame {frame}")
        stage, columns = Stage(result), []
        for frame in chosen:
            columns.append(_column(stage, frame, skins[frame]))
            yield Progress(_STEP, 0.9 + 0.1 * len(columns) / len(chosen), "picture")
        captions = [f"frame {frame}: {1e3 * largest[frame - result.frames.start]:.1f} mm" for frame in chosen]
        title = f"{result.rig.head.label}: as tracked, by the physics, by the network"
    cells = [cell for row in zip(*columns, strict=True) for cell in row]
    write_png(picture, compose_strip(cells, ["tracked", "physics", "network"], captions, title))
    return measured.summary()


def _network_job(result: Any, weights: Path) -> Job[Any]:
    """Raises SimulationError if the network does not fit, CacheError if it cannot be read."""
    from ..nn.runtime import Network
    from ..nn.weights import Weights
    from ..sim.template import Template

    neutral = result.reader.neutral()

    def make() -> Network:
        return Network(
            Template.load(result.folder.volume), Weights.load(weights), left=neutral.left, right=neutral.right,
            frame_rate=result.frame_rate,
        )  # fmt: skip

    return (yield from aside(call(Progress(_STEP, 0.0, "preparing"), make)))


class _Measurement:
    """Steps the network through the frames and collects its distance from the physics."""

    def __init__(self, result: Any, network: Any):
        from ..nn.evaluation import Errors
        from ..sim.coarse import CoarseFit

        self._rig, self._network = result.rig, network
        self._fit = CoarseFit(network.template)
        self._touching = touching_hands(self._rig, network.template.outer)
        self._errors = Errors.none()
        self._ms: list[float] = []

    def add(self, read: Any) -> NDArray[np.float32]:
        """Steps one frame; frames must come in order. Returns the network's head vertices (n_head, 3), world [m]."""
        tracked = read.tracked.head
        with one_blas_thread():
            step = self._network.step(read.tracked)
        skin = self._fit.head(step.skin, step.tracked, read.tracked.hands)
        self._errors.add(skin - tracked, read.skin - tracked, self._touched(read))
        self._ms.append(step.statistics["ms"])
        return skin

    def _touched(self, read: Any) -> NDArray[np.bool_]:
        """Skin that touches a hand in the physics, (n_head,); the cache does not store the contacts."""
        touched = np.zeros(len(read.skin), bool)
        for side, touching in self._touching.items():
            hand = read.hand(side)
            if hand is not None:
                touched |= touching.find(read.skin, hand)[0]
        return touched

    def summary(self) -> dict:
        from ..sim import measure

        summary = self._errors.summary()
        times = measure.percentiles(np.array(self._ms), (50, 95))
        return {"frames": len(self._ms), **summary, "ms_per_frame": times, "origin": self._network.weights.origin}


def _column(stage: Any, frame: int, network: NDArray) -> list[NDArray[np.uint8]]:
    """Close-ups of one frame, top to bottom: tracked, physics, network."""
    from ..pictures.contact_sheet import frame_shot
    from ..pictures.raster import Model, render_all

    shot = stage.shot(frame)
    framing = frame_shot(stage, shot)
    vertices = shot.tracked.vertices.copy()
    vertices[stage.result.rig.head.indices] = network
    ours = Model(vertices, shot.tracked.triangles, shot.tracked.colours)
    view, light = framing.close_view(_CELL), framing.close_light
    shown = ([shot.tracked, *shot.hands], [shot.simulated, *shot.simulated_hands], [ours, *shot.hands])
    return render_all([([*models, *shot.others], view, light) for models in shown])


def compare_summary(compared: dict) -> str:
    """A summary in one line."""
    if "skipped" in compared:
        return f"network: left out. {compared['skipped']}"
    rmse = compared["rmse_mm"]
    return (
        f"network: RMSE {rmse['all']:.2f} mm of all, {rmse['deformed']:.2f} mm of deformed, {rmse['contact']:.2f} mm "
        f"of touching vertices; {compared['ms_per_frame']['p50']:.1f} ms per frame"
    )
