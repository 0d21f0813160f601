# SPDX-License-Identifier: GPL-3.0-or-later
"""Correct Hand Pose: takes hands out of bone by the smallest smooth shift, on a layer of its own."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge.cache.results import spans
from ..bridge.plan import Plan, read_plan
from ..bridge.pose_correction import (
    add_correction,
    as_animated,
    check_correctable,
    corrected,
    hands_of,
    remove_correction,
)
from ..bridge.surfaces import SurfaceReader
from ..progress import Job, Progress, aside, call
from ..threads import one_blas_thread
from .jobs import JobOperator, has_head
from .preview import switch_off
from .volume import load_volume, needs_setup

_STEP = "pose correction"
_SEEN_MM = 0.05  # a hand that remains less too deep is where it should be


@dataclass(frozen=True)
class CorrectedHand:
    """shifted: frames in which the hand is moved; shift_mm, before_mm, after_mm: the largest shift, and how much too
    deep the hand was and remains."""

    shifted: list[int]
    shift_mm: float
    before_mm: float
    after_mm: float


def correct_pose_job(scene: Any) -> Job[dict[str, CorrectedHand]]:
    """Corrects the poses of the hands as animated, replacing earlier corrections; returns by side those that need it.

    The scene changes only at the end. Raises NephimError.
    """
    plan = read_plan(scene)
    check_correctable(plan.rig)
    switch_off(scene)  # its object stands in for hands as well
    with as_animated(scene):
        solved, to_local = yield from _solve_job(scene, plan)
    # From here to the end in one go: Esc must not leave a half of it.
    remove(scene)
    frames, result = plan.rig.frames, {}
    for side, one in solved.items():
        offsets = np.einsum("fij,fj->fi", to_local[side], one.shift) + 0.0  # no -0
        add_correction(scene, plan.rig, side, frames, offsets, (one.largest, float(one.after.max())))
        moved = [frame for frame, shift in zip(frames, one.shift, strict=True) if shift.any()]
        result[side] = CorrectedHand(moved, *(1e3 * float(x) for x in (one.largest, one.before.max(), one.after.max())))
    scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)
    return result


def _solve_job(scene: Any, plan: Plan) -> Job[tuple[dict[str, Any], dict[str, NDArray[np.float64]]]]:
    """By side, the corrections of the hands that need one, and for all, what maps the world to a hand's object in each
    frame, (f, 3, 3) [units per m], 0 where the hand is missing."""
    from ..sim.hand_depth import HandDepth  # scipy and numba load on first use
    from ..sim.hand_pose import PoseCorrection

    rig, method = plan.rig, plan.method
    parts = {side: part for side, part in (("left", rig.left), ("right", rig.right)) if part is not None}
    to_local: dict[str, list[NDArray[np.float64]]] = {side: [] for side in parts}
    yield Progress(_STEP, 0.0, "preparing")
    with SurfaceReader(scene, rig) as reader:
        surfaces = reader.neutral()
        depth = HandDepth(
            load_volume(surfaces, plan),
            method.settings(),
            left=surfaces.left,
            right=surfaces.right,
            yielding_hands=method.hands_yield,
        )
        take = PoseCorrection(depth, method.frame_rate)
        for frame in rig.frames:
            progress = Progress(_STEP, (frame - rig.frames.start) / len(rig.frames), f"frame {frame}")
            tracked = reader.read(frame)
            with one_blas_thread():
                yield from aside(call(progress, partial(take.add, tracked, reader.missing)))
            for side, part in parts.items():
                matrix = reader.states[part.object_name].matrix[:3, :3]
                to_local[side].append(np.zeros((3, 3)) if side in reader.missing else np.linalg.pinv(matrix))
        solved = yield from aside(take.solve_job())
    return solved, {side: np.stack(each) for side, each in to_local.items()}


def remove(scene: Any) -> list[str]:
    """Removes the corrections of the character's hands; returns their sides."""
    return [side for side, obj in hands_of(scene.nephim).items() if remove_correction(obj, side)]


def summary(result: dict[str, CorrectedHand]) -> str:
    """What was moved and what remains, in sentences."""
    if not result:
        return "No hand is deeper in the head than skin and hand can yield: nothing to correct."
    said = [_said(side, hand) for side, hand in result.items()]
    return " ".join([*said, "Your keys are as they were. Simulate again."])


def _said(side: str, hand: CorrectedHand) -> str:
    text = (
        f"The {side} hand was up to {hand.before_mm:.1f} mm too deep and is shifted by up to {hand.shift_mm:.1f} mm in "
        f"{len(hand.shifted)} frames ({spans(hand.shifted)})"
    )
    if hand.after_mm < _SEEN_MM:
        return f"{text}; nothing remains."
    return f"{text}; {hand.after_mm:.1f} mm remain, because no shift of the whole hand takes it out everywhere."


def removed(sides: list[str]) -> str:
    """The same for `remove`."""
    if not sides:
        return "No hand is corrected."
    return f"Removed the correction of the {' and the '.join(sides)} hand. Simulate again."


class NEPHIM_OT_correct_pose(JobOperator, bpy.types.Operator):
    """Shift hands that are deeper in the head than skin and hand can yield: as little and as smoothly as possible, on a
    layer of its own; your keys stay as they are"""

    bl_idname = "nephim.correct_pose"
    bl_label = "Correct Hand Pose"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return correct_pose_job(context.scene)

    def summary(self, result: Any) -> str:
        return summary(result)


class NEPHIM_OT_remove_pose_correction(bpy.types.Operator):
    """Remove the correction of the hands' pose: they move as animated again"""

    bl_idname = "nephim.remove_pose_correction"
    bl_label = "Remove Correction"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not has_head(cls, context):
            return False
        if not corrected(context.scene.nephim):
            cls.poll_message_set("No hand is corrected")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        switch_off(context.scene)
        self.report({"INFO"}, removed(remove(context.scene)))
        return {"FINISHED"}
