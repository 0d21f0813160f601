# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate: runs every frame through the physics into the point cache, resuming where an earlier run stopped."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import StringProperty
from numpy.typing import NDArray

from ..bridge.attachments import find_attachments
from ..bridge.bake.other_characters import check_not_played
from ..bridge.bake.shown import all_obstacles
from ..bridge.between_frames import BetweenFrames
from ..bridge.cache.manifest import HANDS, displacement_of, last_rest, motion_fingerprint, topology_fingerprint
from ..bridge.cache.moved import HandCaches, MovedWriter, moved_objects, sides_of
from ..bridge.cache.point_cache import PointCache, cache_status
from ..bridge.cache.results import frame_notes, hands_notes
from ..bridge.obstacles import Obstacles, find_obstacles
from ..bridge.plan import Method, Plan, read_method, read_plan
from ..bridge.rig import Rig, scene_object
from ..bridge.surfaces import NeutralSurfaces, SurfaceReader
from ..choices import MODES, NETWORK, PHYSICS, REDUCED, SURFACE, VOLUMETRIC, parse_frames
from ..errors import CacheError, NephimError, SimulationError
from ..progress import Job, Progress, aside, call
from ..sim.frame import SimulatedFrame, TrackedFrame
from ..sim.tuning import DEFAULT
from ..threads import one_blas_thread
from ..version import VERSION
from .jobs import JobOperator
from .modes import start_job
from .volume import load_volume, needs_setup

_STEP = "simulation"
_MODE_NOTES = {
    PHYSICS: ".",
    REDUCED: " by the reduced physics, for previews.",
    NETWORK: " by the network instead of the physics.",
    SURFACE: ", skin alone as a baseline for comparison.",
}


@dataclass(frozen=True)
class Simulated:
    """frames: all; new: simulated by this run; ms: median step time of a new frame; notes: to show; mode: see
    `choices.MODES`."""

    frames: range
    new: int
    ms: float
    notes: tuple[str, ...]
    mode: str = PHYSICS


def choose(
    scene: Any,
    *,
    frames: tuple[int, int] | None = None,
    preset: str | None = None,
    interaction: str | None = None,
    mode: str | None = None,
    yielding_hands: bool | None = None,
) -> bool:
    """Stores frame range, tissue preset, interaction preset, mode and whether hands yield in the scene; returns whether
    anything changed.

    Raises SimulationError for an unknown preset or mode; then nothing is stored.
    """
    settings = scene.nephim
    names = ("use_scene_range", "frame_start", "frame_end", "tissue", "interaction", "mode", "yielding_hands")
    before = [getattr(settings, name) for name in names]
    present = read_method(scene)
    chosen = replace(
        present,
        tissue=preset or present.tissue,
        interaction=interaction or present.interaction,
        mode=mode or present.mode,
    )
    chosen.settings()  # raises for an unknown preset
    if chosen.mode not in MODES:
        raise SimulationError(f"There is no mode '{mode}'.", advice=f"Choose one of: {', '.join(MODES)}.")
    settings.tissue, settings.interaction, settings.mode = chosen.tissue, chosen.interaction, chosen.mode
    if yielding_hands is not None:
        settings.yielding_hands = yielding_hands
    if frames is not None:
        settings.use_scene_range = False
        settings.frame_start, settings.frame_end = frames
    return before != [getattr(settings, name) for name in names]


def simulate_job(
    scene: Any,
    frames: tuple[int, int] | None = None,
    preset: str | None = None,
    interaction: str | None = None,
    mode: str | None = None,
    device: str | None = None,
) -> Job[Simulated]:
    """Simulates the scene's frames into `FILE.nephim/simulation.pc2`. Raises NephimError; finished frames are kept.

    device: where PyTorch runs the network, such as "cuda"; None runs it without PyTorch. The result is the same.
    """
    choose(scene, frames=frames, preset=preset, interaction=interaction, mode=mode)
    plan = read_plan(scene)
    return (yield from simulate_plan_job(scene, plan, plan.folder.cache, device))


def simulate_plan_job(scene: Any, plan: Plan, cache: Path, device: str | None = None) -> Job[Simulated]:
    """Simulates by the method of the plan into the point cache at `cache`. Raises NephimError; finished frames are
    kept. The physics has a history: a resumed run first repeats the frames since the skin was last at rest.
    """
    from ..sim.coarse import CoarseFit  # scipy and numba load on first use

    rig, method = plan.rig, plan.method
    if device and method.mode != NETWORK:
        raise SimulationError(
            f"Only the network runs on a device, but the mode is {method.mode}.", advice="Leave the device out."
        )
    replaced = check_not_played(rig, cache)
    yield Progress(_STEP, 0.0, "preparing")
    with SurfaceReader(scene, rig) as reader:
        surfaces = reader.neutral()
        template = load_volume(surfaces, plan)
        attachments = find_attachments(scene, rig, reader, surfaces, template)
        obstacles = _obstacles(method, scene, rig, reader, surfaces, template)
        objects = moved_objects(rig, sides_of(rig) if method.hands_yield else ())
        writer = MovedWriter(
            cache,
            objects,
            frames=rig.frames,
            topology=topology_fingerprint(rig) + obstacles.fingerprint(),
            settings=method.fingerprint(template.fingerprint),
            versions={"nephim": VERSION, "blender": bpy.app.version_string, "numpy": np.__version__},
        )
        with writer:
            between = BetweenFrames(scene, rig, reader, method.mode in VOLUMETRIC)
            first = yield from _first_changed_job(between, writer, rig.frames)
            writer.restart(first)
            if first == rig.frames.stop:
                return Simulated(rig.frames, 0, 0.0, _notes(rig, writer.manifest.statistics), method.mode)
            simulation = yield from start_job(method, template, surfaces, obstacles, device)
            fit = CoarseFit(template, getattr(simulation, "obstacles", None))
            remembered = int(DEFAULT.pinch.closing_time * method.frame_rate) + 1
            for frame in range(last_rest(writer.manifest.statistics, rig.frames, first, remembered), first):
                progress = Progress(_STEP, (frame - rig.frames.start) / len(rig.frames), f"repeating frame {frame}")
                tracked, moments, _ = between.read(frame)
                with one_blas_thread():
                    yield from aside(call(progress, partial(simulation.step, tracked, *([moments] if moments else []))))
            times = []
            for frame in range(first, rig.frames.stop):
                progress = Progress(_STEP, (frame - rig.frames.start) / len(rig.frames), f"frame {frame}")
                tracked, moments, passed = between.read(frame)
                with one_blas_thread():
                    result = yield from aside(
                        call(progress, partial(simulation.step, tracked, *([moments] if moments else [])))
                    )
                _check_finite(result, rig, frame)
                resolved = result.resolved(tracked)
                own = fit.head(result.skin, result.tracked, resolved.hands, result.obstacles)
                resolved = replace(resolved, head=attachments.carry(tracked, own))
                positions = [
                    one.positions(reader.states[one.object_name], tracked, resolved, reader.missing) for one in objects
                ]
                statistics = result.statistics | _displacements(result, tracked, method.hands_yield)
                statistics |= {f"missing_{side}": 1.0 for side in reader.missing}
                writer.write(frame, positions, motion_fingerprint(tracked, moments), statistics | passed)
                times.append(result.statistics["ms"])
        yield Progress(_STEP, 1.0)
        notes = _notes(rig, writer.manifest.statistics)
        notes = (replaced, *notes) if replaced else notes
        return Simulated(rig.frames, len(times), float(np.median(times)), notes, method.mode)


def finished_cache_job(scene: Any) -> Job[PointCache]:
    """The point cache, checked against the current mesh, settings and motion. Raises CacheError if it is not valid."""
    plan = read_plan(scene)
    rig, path = plan.rig, plan.folder.cache
    if not path.exists():
        raise CacheError("Nothing has been simulated yet.", object=rig.head.object_name, advice="Simulate first.")
    motion = []
    with SurfaceReader(scene, rig) as reader:
        surfaces = reader.neutral()
        template = load_volume(surfaces, plan)
        obstacles = _obstacles(plan.method, scene, rig, reader, surfaces, template)
        between = BetweenFrames(scene, rig, reader, plan.method.mode in VOLUMETRIC)
        for frame in rig.frames:
            yield Progress("checking the cache", (frame - rig.frames.start) / len(rig.frames), f"frame {frame}")
            motion.append(between.motion(frame))
    status = cache_status(
        path,
        topology=topology_fingerprint(rig) + obstacles.fingerprint(),
        settings=plan.method.fingerprint(template.fingerprint),
        frames=rig.frames,
        motion=motion,
    )
    if status.state != "valid":
        raise CacheError(status.reason, object=rig.head.object_name, advice="Simulate again: valid frames are kept.")
    cache = PointCache(path)
    HandCaches(rig, cache)  # raises if those of hands are not there
    return cache


def _obstacles(
    method: Method, scene: Any, rig: Rig, reader: SurfaceReader, surfaces: NeutralSurfaces, template: Any
) -> Obstacles:
    """What the physics keeps skin off, read by the reader from now on; the other modes know nothing of it."""
    return find_obstacles(scene, rig, reader, surfaces, template) if method.mode in VOLUMETRIC else Obstacles()


def _first_changed_job(between: BetweenFrames, writer: MovedWriter, frames: range) -> Job[int]:
    """The first frame that is unfinished or whose motion has changed since."""
    for frame in range(frames.start, writer.next_frame):
        yield Progress("comparing the motion", (frame - frames.start) / len(frames), f"frame {frame}")
        if not writer.holds(frame, between.motion(frame)):
            return frame
    return writer.next_frame


def _notes(rig: Any, statistics: list[dict[str, float]]) -> tuple[str, ...]:
    in_the_way = all_obstacles(scene_object(part.object_name) for part in rig.moving)
    return (*hands_notes(rig), *frame_notes(statistics, rig.frames), *in_the_way)


def _displacements(result: SimulatedFrame, tracked: TrackedFrame, hands_yield: bool) -> dict[str, float]:
    """The largest displacement [mm] of the skin, and of hands where they yield."""
    found = {"displacement_mm": 1000 * _farthest(result.skin, result.tracked)}
    if hands_yield:
        hands = {side: getattr(tracked, side) for side in HANDS}
        for side, hand in hands.items():
            if hand is not None:
                found[displacement_of(side)] = 1000 * _farthest(result.yielded.get(side, hand), hand)
    return found


def _farthest(moved: NDArray, still: NDArray) -> float:
    return float(np.linalg.norm(moved - still, axis=1).max())


def _check_finite(result: SimulatedFrame, rig: Rig, frame: int) -> None:
    for role, surface in {"head": result.skin, **result.yielded}.items():
        bad = np.flatnonzero(~np.isfinite(surface).all(axis=1))
        if len(bad):
            raise SimulationError(
                "The simulation broke down: positions are not finite numbers.",
                object=getattr(rig, role).object_name,
                frame=frame,
                vertices=bad.tolist(),
                advice="Finished frames are kept. Check the hands around this frame, or use another tissue preset.",
            )


def summary(result: Simulated) -> str:
    """A summary in one line."""
    whole = f"frames {result.frames[0]}-{result.frames[-1]}"
    if not result.new:
        text = f"Nothing to do: {whole} are simulated and up to date."
    else:
        kept = len(result.frames) - result.new
        text = f"Simulated {result.new} frames ({whole}), {result.ms:.{0 if result.ms > 9.5 else 1}f} ms per frame"
        text += f"; {kept} were kept" if kept else ""
        text += _MODE_NOTES[result.mode]
    return " ".join([text, *result.notes])


class NEPHIM_OT_simulate(JobOperator, bpy.types.Operator):
    """Simulate all frames into the point cache beside the .blend, resuming where it was interrupted"""

    bl_idname = "nephim.simulate"
    bl_label = "Simulate"
    bl_options = {"REGISTER"}

    frames: StringProperty(name="Frames", description="A-B; empty: as set in the scene")  # type: ignore[valid-type]
    preset: StringProperty(name="Preset", description="Tissue preset; empty: as set in the scene")  # type: ignore[valid-type]
    interaction: StringProperty(name="Interaction", description="Interaction preset; empty: as set in the scene")  # type: ignore[valid-type]
    mode: StringProperty(name="Mode", description="physics, network or surface; empty: as set in the scene")  # type: ignore[valid-type]

    device: StringProperty(  # type: ignore[valid-type]
        name="Device", description="PyTorch device that runs the network, such as cuda; empty: without PyTorch"
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return simulate_job(
            context.scene, _range(self.frames), self.preset or None, self.interaction or None, self.mode or None,
            self.device or None,
        )  # fmt: skip

    def summary(self, result: Any) -> str:
        return summary(result)


def _range(text: str) -> tuple[int, int] | None:
    try:
        return parse_frames(text) if text else None
    except ValueError as error:
        raise NephimError(f"{error}.") from None
