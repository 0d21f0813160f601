# SPDX-License-Identifier: GPL-3.0-or-later
"""Live preview: runs the frame Blender has just evaluated through the shared `step`, into the preview's object."""

import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choices import PHYSICS
from ..errors import RigError
from ..sim.frame import SimulatedFrame, TrackedFrame
from ..threads import one_blas_thread
from . import display
from .attachments import NOTHING, AttachedObject, Attachments
from .cache.moved import MovedObject, moved_objects
from .obstacles import Refined
from .rig import Rig
from .surfaces import SurfaceReader, evaluated_object

_ROLES = ("head", "left", "right", "head_armature", "jaw_armature")
_LARGEST_GAP = 0.25  # [s] frames that playback drops are made up for; a longer gap is a jump
_SHOWN = 24  # frames over which the timings are averaged


class Preview:
    """One scene's preview. It keeps only names from frame to frame, no Blender data, and updates them.

    simulation: has `step(TrackedFrame)` and `reset()`; template: of the volume; reader: has read the neutral pose;
    attachments: what hangs on the skin; refined: see `obstacles.Refined`; mode: of the simulation; hands: sides of
    those that may yield.
    """

    def __init__(
        self,
        scene: Any,
        rig: Rig,
        simulation: Any,
        template: Any,
        reader: SurfaceReader,
        attachments: Attachments = NOTHING,
        refined: Sequence[Refined] = (),
        mode: str = PHYSICS,
        hands: Collection[str] = (),
    ):
        self.rig, self.simulation, self.reader, self.attachments = rig, simulation, reader, attachments
        self.moved = moved_objects(rig, hands)
        self._refined, self._hands = tuple(refined), tuple(hands)
        self.painter = display.Painter(template.refinement, rig.head.indices, rig.head.n_vertices)
        from ..sim.coarse import CoarseFit  # scipy and numba load on first use

        self.fit = CoarseFit(template, getattr(simulation, "obstacles", None))
        self.frame_rate = float(getattr(simulation, "frame_rate", 24.0))
        self.mode = mode
        self._coming: tuple[str, Any] | None = None
        self.names = _names(scene)
        self.times: dict[str, deque[float]] = {name: deque(maxlen=_SHOWN) for name in ("read", "step", "write", "all")}
        self.restart()

    @property
    def copied(self) -> tuple[AttachedObject | Refined | MovedObject, ...]:
        """The objects besides the head's that are shown as copies."""
        return (*self.attachments.objects, *self._refined, *self.moved[1:])

    def restart(self) -> None:
        """Drops the history: the next frame counts as the first."""
        self._change()
        self.simulation.reset()
        self.frame: float | None = None
        self.tracked: TrackedFrame | None = None
        self.result: SimulatedFrame | None = None

    def update(self, scene: Any, depsgraph: Any) -> None:
        """Simulates and shows the current frame of the dependency graph. Raises NephimError."""
        with one_blas_thread():
            self._update(scene, depsgraph)

    def _update(self, scene: Any, depsgraph: Any) -> None:
        started = time.perf_counter()
        preview = self._check(scene)
        tracked = self.reader.live(scene, depsgraph)
        read = time.perf_counter()
        result = self._step(scene, tracked)
        stepped = time.perf_counter()
        settings = scene.nephim
        resolved = result.resolved(tracked)
        skin = self.fit.head(result.skin, result.tracked, resolved.hands, result.obstacles)
        resolved = replace(resolved, head=self.attachments.carry(tracked, skin))
        positions = self._positions(self.moved[0], tracked, resolved)
        what, end = settings.preview_colour, 1e-3 * settings.preview_scale_mm
        painted = self.painter.paint(what, result, end, self.moved[0].hand_offsets(tracked, resolved))
        converted = time.perf_counter()
        display.write(preview, positions, painted)
        copies = self.copied
        for stand_in, number in display.stand_ins(scene):
            copied = copies[number]
            if isinstance(copied, MovedObject):
                painted = None
                if what == "displacement":
                    hands = copied.hand_offsets(tracked, resolved)
                    painted = display.displacement_paint(copied.n_vertices, hands, end)
                display.write(stand_in, self._positions(copied, tracked, resolved), painted)
                continue
            state = evaluated_object(stand_in.parent, depsgraph, self.rig.scale, copied.n_vertices, tracked.frame)
            display.write(stand_in, copied.positions(state, tracked.head, skin), None)
        ended = time.perf_counter()
        for name, seconds in (
            ("read", read - started + converted - stepped),
            ("step", stepped - read),
            ("write", ended - converted),
            ("all", ended - started),
        ):
            self.times[name].append(1000 * seconds)

    def _positions(self, moved: MovedObject, tracked: TrackedFrame, resolved: TrackedFrame) -> NDArray[np.float32]:
        return moved.positions(self.reader.states[moved.object_name], tracked, resolved)

    def milliseconds(self) -> dict[str, float]:
        """Mean times of the latest frames by name: read, step, write, all; empty before the first."""
        return {name: float(np.mean(values)) for name, values in self.times.items() if values}

    def _step(self, scene: Any, tracked: TrackedFrame) -> SimulatedFrame:
        now = scene.frame_current + scene.frame_subframe
        if self.frame == now and self.result is not None and _same(self.tracked, tracked):
            return self.result  # Blender evaluated the same frame again: already simulated
        gap = 0.0 if self.frame is None else now - self.frame
        if gap < 0 or gap > _LARGEST_GAP * self.frame_rate:
            self._change()
            self.simulation.reset()
            gap = 1.0
        if hasattr(self.simulation, "frame_rate"):
            self.simulation.frame_rate = self.frame_rate / (gap or 1.0)
        self.result = self.simulation.step(tracked)
        if self._coming is not None and _at_rest(self.result, tracked):
            self._change()
            self.result = self.simulation.step(tracked)  # from where hands and face are now
        self.frame, self.tracked = now, tracked
        return self.result

    def change_to(self, mode: str, simulation: Any) -> None:
        """Goes on with a simulation of another mode, without history, as soon as that is not seen: when nothing is
        displaced, or when a jump or a loop begins anew."""
        self._coming = mode, simulation

    def _change(self) -> None:
        if self._coming is not None:
            (self.mode, self.simulation), self._coming = self._coming, None

    def _check(self, scene: Any) -> Any:
        """The preview's object. Raises RigError if head, hands or the preview's object are gone or replaced."""
        preview = scene.nephim.preview_object
        if preview is None or preview.name not in scene.objects:
            raise RigError("The preview's object was deleted.", advice="Switch the preview on again.")
        names = _names(scene)
        for old, new in zip(self.names, names, strict=True):
            if (old is None) != (new is None):
                raise RigError("Head, hands or bones were changed.", advice="Switch the preview on again.")
            if new is not None and new not in scene.objects:
                raise RigError("It was deleted.", object=new, advice="Choose another one and switch the preview on.")
        if names != self.names:
            self.reader.renamed({a: b for a, b in zip(self.names, names, strict=True) if a and b})
            self.rig, self.names = self.reader.rig, names
            self.moved = moved_objects(self.rig, self._hands)
        return preview


def _names(scene: Any) -> tuple[str | None, ...]:
    chosen = scene.nephim
    owners = [getattr(chosen, role) for role in _ROLES]
    owners += [item.owner for item in chosen.obstacles if item.kept_off and item.pieces]
    return tuple(obj.name if obj is not None else None for obj in owners)


def _at_rest(result: SimulatedFrame, tracked: TrackedFrame) -> bool:
    """Whether neither skin nor hands are displaced."""
    hands = result.yielded.items()
    return np.array_equal(result.skin, result.tracked) and all(np.array_equal(h, getattr(tracked, s)) for s, h in hands)


def _same(one: TrackedFrame | None, other: TrackedFrame) -> bool:
    if one is None:
        return False
    names = ("head", "left", "right", "obstacles")
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    return all(a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs)
