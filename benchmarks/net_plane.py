# SPDX-License-Identifier: GPL-3.0-or-later
"""The plane of error and time: every way to simulate a frame, against the recorded physics on unseen motions.

The physics on coarser volumes of the same head, the network, and the reduced physics. Times are of the thread itself,
so that other programs on the machine count little.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nephim.bridge.cache.manifest import write_json
from nephim.demo.character import load_character
from nephim.errors import CacheError
from nephim.motions.cast import SKULL
from nephim.motions.generator import Clip, generate
from nephim.motions.puppet import Puppet
from nephim.motions.skin_map import SkinMap
from nephim.nn.pipeline import hand_surfaces
from nephim.nn.recording import Recording, metres
from nephim.nn.runtime import Network
from nephim.nn.weights import Weights
from nephim.progress import drive
from nephim.sim import measure
from nephim.sim.frame import SimulatedFrame, TrackedFrame
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.physics import Physics
from nephim.sim.reduced import ReducedPhysics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import Template
from nephim.sim.volume.build import VolumeSettings, build_template
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

COARSER = (6, 8, 12)  # [mm] wished edges, beside the reference's 4
_DEFORMED = 50  # vertices, from which a frame in contact counts
_PENETRATION_EVERY = 5  # frames: measuring takes longer than most of the methods

Maker = Callable[..., Any]


class Coarser:
    """The physics on a coarser volume of the character's own head, whose displacement the fine skin is interpolated
    from. fine: the template whose first vertices are those of the coarse head."""

    def __init__(self, coarse: Template, fine: Template, settings: PhysicsSettings, **others: Any):
        self._fine, self._count = fine, coarse.n_head
        self._physics = Physics(coarse, settings, **others)
        tree = TriangleTree(coarse.skin_vertices, coarse.skin_triangles)
        _, triangle, weights, _ = tree.closest(fine.skin_vertices)
        corners = coarse.skin_triangles[triangle]
        start = np.arange(0, 3 * fine.n_skin + 1, 3)
        self._carried = csr_matrix((weights.ravel(), corners.ravel(), start), shape=(fine.n_skin, coarse.n_skin))

    def step(self, frame: TrackedFrame) -> SimulatedFrame:
        """As `Physics.step`, of the fine skin."""
        result = self._physics.step(replace(frame, head=np.ascontiguousarray(frame.head[: self._count])))
        tracked = (self._fine.refinement @ frame.head.astype(np.float64)).astype(np.float32)
        moved = (self._carried @ (result.skin - result.tracked)).astype(np.float32)
        return replace(result, skin=tracked + moved, tracked=tracked)


def coarser_template(assets: Path, folder: Path, edge: int) -> Template:
    """The volume of the demo character's own head at a wished edge [mm], kept in `folder`."""
    path = folder / f"template-{edge}mm.npz"
    try:
        return Template.load(path)
    except CacheError:
        head = load_character(assets / "character.npz").head
        surface = Surface(head.vertices, head.triangles, "Head")
        settings = VolumeSettings(target_edge=1e-3 * edge, skull=SKULL)
        template = drive(build_template(surface, None, None, settings=settings))
        template.save(path)
        return template


def finer_physics(template: Template) -> Maker:
    """The physics in steps a fifth shorter, with twice the iterations. Where it comes to another result, the recorded
    one is not the only one: skin fell to another side of a fold, or kept its hold for longer."""
    settings = PhysicsSettings.load("default", "touch")
    finer = replace(settings, step_length=0.8 * settings.step_length, iterations=2 * settings.iterations)
    return partial(Physics, template, finer)


def candidates(template: Template, weights: Weights, assets: Path, folder: Path) -> dict[str, Maker]:
    """Name → what makes a simulation for `left`, `right` and `frame_rate`."""
    settings = PhysicsSettings.load("default", "touch")
    result: dict[str, Maker] = {"network": partial(Network, template, weights)}
    result["physics 4 mm"] = partial(Physics, template, settings)
    result["physics 4 mm, finer steps"] = finer_physics(template)
    for edge in COARSER:
        coarse = coarser_template(assets, folder, edge)
        result[f"physics {edge} mm"] = partial(Coarser, coarse, template, settings)
    for substeps, iterations in ((1, 1), (1, 4), (2, 4), (4, 4), (8, 1), (8, 2), (8, 3), (8, 4), (8, 8)):
        name = f"reduced {substeps} × {iterations}"
        result[name] = partial(ReducedPhysics, template, settings, substeps=substeps, iterations=iterations)
    return result


def gestures(puppet: Puppet, template: Template, recording: Recording, frames: int, folder: Path) -> list[str]:
    """The gesture that each frame belongs to, "" between them; those of one or the other hand. `frames`: of the whole
    sequence, which is generated again once to know them."""
    path = folder / f"gestures-{recording.seed}.json"
    if not path.is_file():
        names = by_frame(generate(puppet, SkinMap(template), recording.seed, frames))
        write_json(path, {"gestures": names})
    return json.loads(path.read_text(encoding="utf-8"))["gestures"]


def by_frame(clip: Clip) -> list[str]:
    """The gesture that each frame belongs to, "" between them."""
    names = [""] * len(clip)
    for event in clip.events:
        names[event.first : event.last + 1] = [event.name] * (event.last + 1 - event.first)
    return names


@dataclass(frozen=True)
class Measured:
    """What one method did in contact frames. errors: relative, ms, names of gestures, of each frame; deeper: of each
    hand vertex that is deeper than in the physics [mm]."""

    errors: NDArray[np.float64]
    ms: NDArray[np.float64]
    names: NDArray[np.str_]
    deeper: NDArray[np.float64]

    @classmethod
    def together(cls, several: "Sequence[Measured]") -> "Measured":
        """As if it had been one."""
        return cls(*(np.concatenate([vars(one)[name] for one in several]) for name in cls.__dataclass_fields__))

    def figures(self) -> dict[str, Any]:
        """For the JSON and the tables."""
        names, deeper = self.names, self.deeper if len(self.deeper) else np.zeros(1)
        return {
            "relative_error": measure.percentiles(self.errors, (50, 75, 90)),
            "gestures": {n: float(np.median(self.errors[names == n])) for n in sorted(set(names)) if n},
            "ms": measure.percentiles(self.ms, (50, 95)),
            "added_penetration_mm": {"p95": float(np.percentile(deeper, 95)), "max": float(deeper.max())},
            "contact_frames": len(self.errors),
        }


def measure_one(
    make: Maker, template: Template, puppet: Puppet, recordings: Sequence[Recording], labels: Sequence[Sequence[str]]
) -> Measured:
    """One method on all recordings: relative errors, times and penetration."""
    relative, ms, names, added = [], [], [], []
    for recording, gesture in zip(recordings, labels, strict=True):
        hands = hand_surfaces(puppet, recording)
        simulation = make(left=hands.get("L"), right=hands.get("R"), frame_rate=recording.frame_rate)
        meters = {
            side: measure.PenetrationMeter(template.skin_triangles, template.outer, hand.triangles)
            for side, hand in hands.items()
        }
        for k in range(len(recording)):
            frame = recording.frame(template, k)
            started = time.thread_time()
            step = simulation.step(frame)
            taken = 1e3 * (time.thread_time() - started)
            true = metres(recording.deformation[k])
            size = np.linalg.norm(true, axis=1)
            deformed = size > measure.DEFORMED
            if not recording.touching[k].any() or deformed.sum() <= _DEFORMED:
                continue
            turn = recording.cranium[k][:3, :3].astype(np.float32)
            error = np.linalg.norm((step.skin - step.tracked) @ turn - true, axis=1)
            relative.append(float(np.sqrt((error[deformed] ** 2).mean() / (size[deformed] ** 2).mean())))
            ms.append(taken)
            names.append(gesture[k])
            if k % _PENETRATION_EVERY == 0:
                physics = step.tracked + true @ turn.T
                added += [
                    measure.added(meters[side], hand, step.skin, physics)
                    for side, hand in (("L", frame.left), ("R", frame.right))
                    if hand is not None
                ]
    return Measured(np.array(relative), np.array(ms), np.array(names), 1e3 * np.concatenate([np.zeros(0), *added]))


def pareto(rows: dict[str, dict[str, Any]]) -> list[tuple[str, float, float]]:
    """(name, p50 of the relative error, p50 of the time [ms]) of all methods, fastest first."""
    listed = [(name, row["relative_error"]["p50"], row["ms"]["p50"]) for name, row in rows.items()]
    return sorted(listed, key=lambda row: row[2])


def dominated(rows: Sequence[tuple[str, float, float]]) -> list[str]:
    """The names of what another method is at least as good as in both error and time, and better in one."""
    return [
        name
        for name, error, ms in rows
        if any(e <= error and m <= ms and (e < error or m < ms) for other, e, m in rows if other != name)
    ]


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The plane as Markdown, a method per line."""
    every = sorted({name for row in rows.values() for name in row["gestures"]})
    lines = [
        "| method | error p50 | p75 | p90 | ms p50 | p95 | added penetration p95, mm | " + " | ".join(every) + " |",
        "|---" * (7 + len(every)) + "|",
    ]
    for name, row in rows.items():
        e, ms, deeper = row["relative_error"], row["ms"], row["added_penetration_mm"]
        single = " | ".join(f"{row['gestures'].get(gesture, np.nan):.2f}" for gesture in every)
        lines.append(
            f"| {name} | {e['p50']:.2f} | {e['p75']:.2f} | {e['p90']:.2f} | {ms['p50']:.1f} | {ms['p95']:.1f} | "
            f"{deeper['p95']:.2f} | {single} |"
        )
    return "\n".join(lines)
