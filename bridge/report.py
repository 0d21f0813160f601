# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: how good the simulated result of a scene is, measured from the files on disk. See docs/measures.md."""

import os
import platform
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..progress import Job, Progress
from ..sim import measure
from ..sim.contact.obstacles import Obstacles
from ..sim.geometry import rigid
from ..sim.geometry.mending import main_part, mend
from ..sim.hand_measure import HandsRecord
from ..sim.settings import PhysicsSettings
from ..sim.template import Template
from ..sim.tracking import HeadTracking
from ..sim.tuning import DEFAULT
from . import pose_correction
from .bake.shown import shown_job
from .cache.manifest import write_json
from .cache.results import ResultFrame, ResultReader, frame_notes, hands_notes, part_at_rest
from .obstacles import Obstacles as FoundObstacles
from .obstacles import find_obstacles
from .rig import Part
from .takes import captured_jitter

_STEP = "report"


def report_job(scene: Any, path: Path) -> Job[dict]:
    """Measures the result of the scene and writes it as JSON to `path`, atomically; returns what was written.

    Raises RigError, SurfaceError and CacheError: set up, build the volume and simulate first.
    """
    with ResultReader(scene) as result:
        template = Template.load(result.folder.volume)
        obstacles = find_obstacles(scene, result.rig, result.reader, result.reader.neutral(), template)
        survey = Survey(result, template, obstacles)
        for k, frame in enumerate(result.frames):
            survey.add(result.read(frame))
            yield Progress(_STEP, 0.95 * (k + 1) / len(result.frames), f"frame {frame}")
        report = _assemble(result, template, survey)
    shown = yield from shown_job(scene, result.rig, result.cache)  # outside: there our own results are muted
    if shown is not None:
        report["shown_error_mm"] = measure.MM * shown.error
        report["notes"] += [shown.note] if shown.note else []
    write_json(Path(path), report)
    yield Progress(_STEP, 1.0)
    return report


def _skin(vertices: NDArray, triangles: NDArray) -> NDArray[np.int32]:
    """The largest part of a head (m, 3), without seams, as the volume has it."""
    mended = mend(vertices, triangles).triangles
    return mended[main_part(vertices, mended)]


def _mended(hand: Part) -> NDArray[np.int32]:
    """A hand's triangles as they are simulated: an unjoined seam would be measured as an opening."""
    rest = part_at_rest(hand)
    return mend(rest.vertices, rest.triangles).triangles


class Survey:
    """Collects the measures of one result, frame by frame."""

    def __init__(
        self,
        result: ResultReader,
        template: Template,
        obstacles: FoundObstacles | None = None,
        statistics: list[dict[str, float]] | None = None,
    ):
        """statistics: of the simulation that is measured, if it is not the reader's."""
        self.rig = result.rig
        self.frame_rate = result.frame_rate
        self.statistics = result.statistics if statistics is None else statistics
        count = len(self.rig.head.indices)
        self.outer = template.outer[:count]
        self._tracking = HeadTracking(template)
        self.neutral = template.head_vertices
        presets = result.scene.nephim
        settings = PhysicsSettings.load(presets.tissue, presets.interaction)
        self.allowed = settings.compression_limit * template.tissue_depth[:count]
        self.obstacles: Obstacles | None = None
        own, teeth = (None, None) if obstacles is None else (obstacles.surface, obstacles.teeth)
        if own is not None or teeth is not None:
            self.obstacles = Obstacles(own, self.outer, np.ones(count, bool), settings, DEFAULT, teeth)
        self.in_obstacles = np.zeros(2)  # of undisturbed skin, and how much deeper simulated skin is, at most [m]
        self.triangles = _skin(template.head_vertices, self.rig.head.triangles)
        reached = np.zeros(count, bool)
        reached[self.triangles] = True  # not eyes, teeth or hair, nor the other side of a seam
        self.meters = {
            side: measure.PenetrationMeter(self.triangles, self.outer & reached, _mended(part))
            for side, part in (("left", self.rig.left), ("right", self.rig.right))
            if part is not None
        }
        self.penetration = measure.PenetrationRecord()
        self.together: HandsRecord | None = None
        if self.rig.left is not None and self.rig.right is not None:
            self.together = HandsRecord(_mended(self.rig.left), _mended(self.rig.right))
        self.touched: list[bool] = []  # in each frame: penetrates before or after, or the solver had contacts
        self.moved: list[float] = []  # largest displacement of each frame [m]
        self.hand_moved = 0.0  # largest displacement of a hand [m]
        self.displacement: list[NDArray[np.float32]] = []  # in the cranium's orientation
        self.hands: list[NDArray[np.float32]] = []  # in the cranium's frame
        self.deepest: list[tuple[float, float]] = []  # in each frame, before and after [m]
        self.finite = True

    def add(self, read: ResultFrame) -> None:
        """Measures one frame."""
        undisturbed = read.head_object[self.rig.head.indices]
        displacement = read.skin - undisturbed
        rotation = measure.rigid_rotation(self.neutral, undisturbed)
        pose = self._tracking.pose(read.tracked)
        direction = pose.bone_direction[: len(self.allowed)] @ pose.cranium[:3, :3].T
        pairs, limited, touched = [], [], False
        over = np.zeros(len(self.allowed), bool)
        inner = None if self.obstacles is None else self.obstacles.placed(read.tracked, pose)
        if self.obstacles is not None and inner is not None and len(inner):
            inner = rigid.apply(pose.cranium, inner)
            depths = self.obstacles.depths(inner, undisturbed, read.skin)
            self.in_obstacles = np.maximum(self.in_obstacles, depths)
            over = self.obstacles.stopped(inner, undisturbed, read.skin)
        for side, meter in self.meters.items():
            tracked, hand = (np.asarray(one, np.float64) for one in (getattr(read.tracked, side), read.hand(side)))
            before, after = meter.measure(undisturbed, tracked), meter.measure(read.skin, hand)
            pairs.append((before, after))
            stopped = measure.bone_limited(undisturbed, read.skin, direction, self.allowed, meter, hand)
            limited.append(stopped | over)
            touched |= before.gap == 0 or after.gap == 0
        self.penetration.add(pairs, limited, self.triangles, self.allowed)
        if self.together is not None:
            self.together.add(read.tracked.hands, [read.hand("left"), read.hand("right")])
        self.deepest.append((max(map(_deepest, (b for b, _ in pairs))), max(map(_deepest, (a for _, a in pairs)))))
        counted = self.statistics[len(self.touched)].get("contacts", 0)
        self.touched.append(touched or counted > 0)
        length = np.linalg.norm(displacement, axis=1)
        self.moved.append(float(length.max()))
        offsets = [np.linalg.norm(hand - getattr(read.tracked, side), axis=1) for side, hand in read.hands.items()]
        self.hand_moved = max([self.hand_moved, *(float(offset.max()) for offset in offsets)])
        self.finite &= bool(np.isfinite(length).all())
        self.displacement.append((displacement @ rotation).astype(np.float32))
        hands = np.concatenate([getattr(read.tracked, side) for side in self.meters])
        self.hands.append(((hands - undisturbed.mean(axis=0)) @ rotation).astype(np.float32))

    def per_frame(self) -> dict[str, list]:
        """What the plot shows, one value per frame; None where the simulation did not record it."""
        before, after = zip(*self.deepest, strict=True)

        def counted(name: str) -> list[float | None]:
            return [numbers.get(name) for numbers in self.statistics[: len(self.touched)]]

        return {
            "contact": self.touched,
            "penetration_before_mm": [measure.MM * depth for depth in before],
            "penetration_after_mm": [measure.MM * depth for depth in after],
            "displacement_mm": [measure.MM * moved for moved in self.moved],
            "volume_ratio_p1": counted("volume_ratio_p1"),
            "volume_ratio_p99": counted("volume_ratio_p99"),
            "ms": counted("ms"),
        }

    def rest_error(self) -> float:
        """Largest displacement [m] in frames without contact for at least half a second; 0 if there are none."""
        resting = measure.resting_frames(np.array(self.touched), self.frame_rate)
        return float(np.max(np.array(self.moved)[resting], initial=0.0))

    def smoothness(self, first: int) -> dict[str, Any]:
        """Acceleration and jerk beside the hand's, and the scene frames (from `first` on) in which the skin pops."""
        displacement, hands = np.stack(self.displacement), np.stack(self.hands)
        ever = np.linalg.norm(displacement, axis=2).max(axis=0) > 0
        displacement = displacement[:, ever]
        step = np.linalg.norm(np.diff(hands, axis=0), axis=2).max(axis=1, initial=0.0)
        popping = measure.pops(displacement, step) + first
        return measure.roughness(displacement, hands, self.frame_rate) | {"pops": popping.tolist()}


def _deepest(penetration: Any) -> float:
    return float(max(penetration.skin_depth.max(), penetration.hand_depth.max()))


def _assemble(result: ResultReader, template: Template, survey: Survey) -> dict:
    """The report as plain numbers and texts."""
    rig, manifest = result.rig, result.cache.manifest
    numbers = manifest.statistics
    settings = result.scene.nephim  # operators reject a cache made with other settings
    baked = _bake_error(result)
    return {
        "mode": settings.mode,
        "tissue": settings.tissue,
        "interaction": settings.interaction,
        "yielding_hands": manifest.hands,
        "frames": len(result.frames),
        "frame_range": [result.frames.start, result.frames.stop - 1],
        "frames_with_contact": int(sum(survey.touched)),
        "all_finite": survey.finite,
        "head_vertices": template.n_head,
        "skin_vertices": template.n_skin,
        "tets": len(template.tets),
        "conforming": template.conforming,
        "ms_per_frame": measure.percentiles(_column(numbers, "ms"), (50, 95)),
        "penetration_mm": survey.penetration.summary(),
        "hands_mm": None if survey.together is None else survey.together.summary(),
        "decaf": survey.penetration.decaf(),
        "obstacles": None
        if survey.obstacles is None
        else dict(zip(("undisturbed_mm", "added_mm"), (measure.MM * survey.in_obstacles).tolist(), strict=True)),
        "displacement_max_mm": measure.MM * max(survey.moved, default=0.0),
        "pose_correction": pose_correction.figures(settings),
        "hand_displacement_max_mm": measure.MM * survey.hand_moved if manifest.hands else None,
        "volume_ratio": worst_volume_ratios(numbers),
        "inverted_tets": int(max(_column(numbers, "inverted_tets"), default=0)),
        "rest_error_mm": measure.MM * survey.rest_error(),
        "bake_error_mm": baked,
        "shown_error_mm": None,
        "jitter": _jitter(rig),
        "per_frame": survey.per_frame(),
        "smoothness": survey.smoothness(result.frames.start),
        "objects": {
            "head": rig.head.label,
            "left": rig.left.label if rig.left else None,
            "right": rig.right.label if rig.right else None,
        },
        "cache": str(result.cache.path),
        "volume": str(result.folder.volume),
        "blend": bpy.data.filepath,
        "notes": [*template.notes, *hands_notes(rig), *frame_notes(numbers, result.frames)],
        "versions": manifest.versions,
        "machine": machine(),
    }


def _bake_error(result: ResultReader) -> float | None:
    """The largest error of shape keys [mm], of the head and of hands with a cache of their own."""
    caches = (result.cache, *(cache for _, cache in result.hand_caches.objects))
    errors = [cache.manifest.results.get("bake_error_max_mm") for cache in caches]
    return max((float(error) for error in errors if error is not None), default=None)


def _jitter(rig: Any) -> dict[str, dict[str, float]]:
    """Of the captures that head and hands play, by object."""
    names = dict.fromkeys(part.object_name for part in (rig.head, rig.left, rig.right) if part is not None)
    found = {name: captured_jitter(bpy.data.objects[name]) for name in names}
    return {name: numbers for name, numbers in found.items() if numbers is not None}


def worst_volume_ratios(statistics: list[dict[str, float]]) -> dict[str, float]:
    """Of the frames in contact: smallest p1, median p50 and largest p99 of det(F)/det(F_tra); 1 without contact.

    Also 1 if only the skin was simulated, which has no volume.
    """
    touching = [n for n in statistics if n.get("contacts", 0) > 0 and "volume_ratio_p1" in n]
    return {
        name: float(choose(_column(touching, f"volume_ratio_{name}"))) if touching else 1.0
        for name, choose in (("p1", np.min), ("p50", np.median), ("p99", np.max))
    }


def _column(statistics: list[dict[str, float]], name: str) -> NDArray[np.float64]:
    return np.array([numbers[name] for numbers in statistics if name in numbers], float)


def machine() -> dict[str, Any]:
    """The machine on which the times were measured."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "blender": bpy.app.version_string,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _processor() -> str:
    """The processor's name; on Linux Python does not find it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
