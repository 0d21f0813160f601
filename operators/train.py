# SPDX-License-Identifier: GPL-3.0-or-later
"""Network: trained on the physics of this character, used in its place, and compared with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, FloatProperty, IntProperty
from numpy.typing import NDArray

from ..bridge.cache.manifest import write_json
from ..bridge.cache.open_file import folder
from ..bridge.plan import Plan, read_plan, weights_path
from ..bridge.surfaces import SurfaceReader
from ..choices import TRAINING_MINUTES, TRAINING_SEQUENCES
from ..progress import Job, Progress, aside
from .jobs import JobOperator
from .volume import load_volume, needs_setup

_SHOT_FRAMES, _SHAPES = 60, 6  # frames of the shot that are sampled, and hand shapes taken from them
_RATE_TO_ADAPT = 5e-4  # an adapted network starts close to its target


@dataclass(frozen=True)
class TrainedNetwork:
    """path of the weights; rollout_mm: error on unseen sequences; minutes: dataset and training; notes: to show."""

    path: Path
    rollout_mm: float
    minutes: tuple[float, float]
    notes: tuple[str, ...]


def train_job(
    scene: Any,
    *,
    minutes: float = TRAINING_MINUTES,
    sequences: int = TRAINING_SEQUENCES,
    scheduler: str | None = None,
    processes: int | None = None,
    scratch: bool = False,
) -> Job[TrainedNetwork]:
    """Records sequences with the scene's character and trains its network. Raises NephimError; recordings are kept.

    The shapes of the hands are taken from the scene's frames, and the frames themselves are recorded along with the
    generated sequences. Training starts from the existing weights unless `scratch`.
    """
    from ..nn.pipeline import record_job, require_torch
    from ..nn.pipeline import train_job as train
    from ..nn.training_settings import TrainSettings

    require_torch()
    plan = read_plan(scene)
    out, recordings = plan.folder.weights, plan.folder.recordings
    pieces = yield from _cast_job(scene, plan)
    recorded = yield from record_job(
        [recordings], [*range(sequences), *pieces], processes=processes, scheduler=scheduler,
        tissue=plan.method.tissue, interaction=plan.method.interaction,
    )  # fmt: skip
    start = None if scratch else _start()
    settings = TrainSettings(minutes=minutes)
    if start is not None:
        settings = TrainSettings(minutes=minutes, rate=_RATE_TO_ADAPT)
    origin = {"character": Path(bpy.data.filepath).stem, "shot_pieces": len(pieces)}
    trained = yield from aside(train(recorded, [recordings], settings, out, start=start, origin=origin))
    return TrainedNetwork(
        out, trained.weights.origin["rollout_mm"], (recorded.minutes, trained.curve[-1][0]), trained.notes
    )


def _start() -> Any:
    from ..errors import NephimError
    from ..nn.weights import Weights

    try:
        return Weights.load(weights_path())
    except NephimError:
        return None  # no weights, or of another version: train from scratch


def _cast_job(scene: Any, plan: Plan) -> Job[list[int]]:
    """Writes the character to the dataset's folder: its volume, hand shapes from the frames of the scene, and these
    frames as pieces, whose numbers are returned."""
    from scipy.spatial import cKDTree

    from ..motions.cast import prepare_shot
    from ..nn.pipeline import FRAMES
    from ..nn.shot import NEAR, ShotWriter

    rig, recordings = plan.rig, plan.folder.recordings
    with SurfaceReader(scene, rig) as reader:
        surfaces = reader.neutral()
        template = load_volume(surfaces, plan)
        given = {"L": surfaces.left, "R": surfaces.right}
        shapes: dict[str, list[NDArray]] = {side: [] for side, hand in given.items() if hand is not None}
        nearest: dict[str, list[int]] = {side: [] for side in shapes}
        looked_at = set(np.linspace(rig.frames[0], rig.frames[-1], _SHOT_FRAMES).round().astype(int).tolist())
        recordings.mkdir(parents=True, exist_ok=True)
        shot = ShotWriter(recordings, template, len(rig.frames), FRAMES, plan.method.frame_rate)
        for number, frame in enumerate(rig.frames):
            yield Progress("reading the shot", number / len(rig.frames), f"frame {frame}")
            tracked = reader.read(frame)
            head, gaps = cKDTree(tracked.head), [np.inf]
            for side, hand in (("L", tracked.left), ("R", tracked.right)):
                if side not in shapes or hand is None:
                    continue
                gap = head.query(hand)[0]
                gaps.append(gap.min())
                if frame in looked_at:
                    shapes[side].append(hand.astype(np.float64))
                    nearest[side].append(int(gap.argmin()))
            shot.add(tracked, min(gaps) < NEAR)
        pieces = shot.finish()
    hands: dict[str, dict[str, NDArray]] = {}
    for side, surface in given.items():
        if surface is not None:
            chosen, aligned = _different(np.array(shapes[side]), surface.vertices)
            contact = np.array(nearest[side])[chosen]
            hands[side] = {"shapes": aligned, "triangles": surface.triangles, "contact": contact}
    prepare_shot(recordings, Path(bpy.data.filepath).stem, template, hands)
    return pieces


def _different(shapes: NDArray, rest: NDArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The frames with the most different shapes of a hand (f, n, 3), and these shapes (k, n, 3) aligned to `rest`."""
    from ..sim.geometry.rigid import apply, fit_rigid

    laid = np.array([apply(fit_rigid(shape, rest), shape) for shape in shapes])
    chosen = [int(np.linalg.norm(laid - rest, axis=2).sum(axis=1).argmax())]
    while len(chosen) < min(_SHAPES, len(laid)):
        away = np.min([np.linalg.norm(laid - laid[c], axis=2).mean(axis=1) for c in chosen], axis=0)
        chosen.append(int(away.argmax()))
    kept = np.array(sorted(set(chosen)))
    return kept, laid[kept]


def evaluate_job(scene: Any) -> Job[dict]:
    """Compares network and physics on the unseen sequences of its training; also writes `network.json`.

    Raises NephimError; CacheError if no network was trained for this character.
    """
    from ..motions.cast import load_cast
    from ..nn.evaluation import evaluate
    from ..nn.pipeline import hand_surfaces, unseen_recordings
    from ..nn.weights import Weights

    own = folder()
    weights = Weights.load(weights_path())
    recordings = unseen_recordings(own.recordings)
    puppet, template = load_cast(own.recordings)
    result = yield from aside(evaluate(template, hand_surfaces(puppet, recordings[0]), weights, recordings))
    result |= {"weights": str(weights_path()), "parameters": weights.parameters, "sequences": len(recordings)}
    write_json(own.evaluation, result)
    return result


def train_summary(result: TrainedNetwork) -> str:
    """A summary in one line."""
    recording, training = result.minutes
    text = (
        f"Trained {result.path}: {result.rollout_mm:.2f} mm off the physics where skin is deformed, on unseen motion; "
        f"{recording:.1f} minutes of recording, {training:.1f} of training."
    )
    return " ".join([text, *result.notes])


def evaluate_summary(result: dict) -> str:
    """A summary in a few lines."""
    rmse, ms = result["rmse_mm"], result["ms"]["total"]
    return "\n".join(
        [
            f"{result['frames']} unseen frames; {result['skin_vertices']} skin vertices, {result['controls']} controls",
            f"RMSE: {rmse['all']:.3f} mm of all, {rmse['deformed']:.2f} mm of deformed, {rmse['contact']:.2f} mm of "
            f"touching vertices; p95 {result['p95_mm']:.2f} mm, largest {result['max_mm']:.1f} mm",
            f"Penetration added: p95 {result['added_penetration_mm']['p95']:.2f} mm; at rest "
            f"{result['rest_error_mm']:.4f} mm; drift {result['drift_mm_per_min']:+.3f} mm per minute",
            f"Time: {ms['p50']:.2f} ms per frame, physics {result['physics_ms']['in_contact_p50']:.0f} ms in contact",
        ]
    )


class TrainingOptions:
    """What the operators that train ask the user for."""

    minutes: FloatProperty(  # type: ignore[valid-type]
        name="Minutes", description="Training time after the recording, in minutes", default=TRAINING_MINUTES, min=0.1
    )
    sequences: IntProperty(  # type: ignore[valid-type]
        name="Sequences", description="Sequences of 240 frames to record; more improve the network but take longer",
        default=TRAINING_SEQUENCES, min=2,
    )  # fmt: skip
    scratch: BoolProperty(  # type: ignore[valid-type]
        name="From Scratch", description="Ignore the existing network and start from scratch"
    )


class NEPHIM_OT_train(TrainingOptions, JobOperator, bpy.types.Operator):
    """Record the physics of this character and train a network that reproduces it in real time; slow, needs PyTorch"""

    bl_idname = "nephim.train"
    bl_label = "Train Network"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return train_job(context.scene, minutes=self.minutes, sequences=self.sequences, scratch=self.scratch)

    def summary(self, result: Any) -> str:
        return train_summary(result)


class NEPHIM_OT_evaluate(JobOperator, bpy.types.Operator):
    """Measure how far the network is from the physics on motions it has not seen"""

    bl_idname = "nephim.evaluate"
    bl_label = "Evaluate Network"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return evaluate_job(context.scene)

    def summary(self, result: Any) -> str:
        return evaluate_summary(result)
