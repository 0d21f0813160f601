# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit: landmarks over time become keys on the character's own rig."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import FloatProperty, IntProperty, StringProperty

from ..bridge.cache.open_file import folder
from ..bridge.fit_keys import check_keys, key_motion
from ..bridge.fit_rig import read_chain_job
from ..bridge.scene_time import frame_rate
from ..errors import TrackError
from ..files import atomic_write
from ..progress import Job, Progress, aside
from .jobs import FilesJobOperator, has_head

if TYPE_CHECKING:  # scipy and numba load on first use, so that enabling the add-on stays fast
    from ..fit.takes import LandmarkTake

last: list[str] = []  # what the last fit in this session said, for the sidebar
_GLOB = "*.npz;*.npy;*.json;*.pose"


def fit_job(
    scene: Any,
    paths: Sequence[Path],
    *,
    cameras: Path | None = None,
    names: Path | None = None,
    rate: float | None = None,
    first: int | None = None,
    report: Path | None = None,
) -> Job[list[str]]:
    """Fits the chosen character to landmarks and keys the result; returns what was found and done, to show.

    paths: a file, or one for each camera of the calibration `cameras`; names: a TOML map for points with other names
    than MediaPipe's; rate [1/s] and first, the scene's frame, override the file's rate and the scene's first frame;
    report: where all figures are written as JSON. Raises NephimError before anything changes.
    """
    from ..fit.fit import fit_job as solve_job
    from ..fit.report import lines
    from ..fit.report import report as figures

    take = yield from aside(_read_job(paths, cameras, names))
    chain = yield from read_chain_job(scene, face="face" in take.observed)
    check_keys(scene, chain)
    rig = chain.rig
    usable = [part for part in take.observed if part in rig.hands or part == "face"]
    if not usable:
        raise TrackError(
            f"Its points are of {' and '.join(take.observed)}, which the character lacks.",
            object=chain.head.name,
            advice="Choose the hand's mesh as well (setup --left or --right).",
        )
    notes = [f"{part}: in the take, but not on the character" for part in take.observed if part not in usable]
    speed = rate or take.frame_rate or frame_rate(scene)
    observed = {part: take.observed[part] for part in usable}
    fitted = yield from aside(solve_job(rig, observed, speed, take.labels))
    yield Progress("Keying", 0.0)
    # From here to the end in one go: Esc must not leave a half of it.
    start = scene.frame_start if first is None else first
    if report is not None:
        text = json.dumps(figures(fitted, [path.name for path in paths], speed, start), indent=1)
        with atomic_write(report, f"{report} cannot be written", "Choose another file.") as stream:
            stream.write(text.encode())
    done = key_motion(scene, chain, fitted, take.name, speed, start)
    return [*take.notes, *chain.notes, *notes, *lines(fitted, start, frame_rate(scene) / speed), *done]


def _read_job(paths: Sequence[Path], cameras: Path | None, names: Path | None) -> Job["LandmarkTake"]:
    from ..fit.takes import read_landmark_take

    yield Progress("Reading landmarks", 0.0)
    return read_landmark_take(paths, cameras, names)


def report_path() -> Path | None:
    """Beside the .blend; nowhere if it was never saved."""
    return folder().fit if bpy.data.filepath else None


class NEPHIM_OT_fit(FilesJobOperator, bpy.types.Operator):
    """Fit the character's own bones and expressions to landmarks over time; your actions are left as they are"""

    bl_idname = "nephim.fit"
    bl_label = "Fit to Landmarks"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: StringProperty(default=_GLOB, options={"HIDDEN"})  # type: ignore[valid-type]
    cameras: StringProperty(name="Cameras", description="Calibration, for points in images", subtype="FILE_PATH")  # type: ignore[valid-type]
    names: StringProperty(name="Names", description="TOML map of the points' names", subtype="FILE_PATH")  # type: ignore[valid-type]
    frame_rate: FloatProperty(name="Frame Rate", description="Of the take; 0: as the file says", min=0)  # type: ignore[valid-type]
    first: IntProperty(name="First Frame", description="Where the take begins; 0: the scene's first frame")  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return has_head(cls, context, "Choose head and hands first")

    def job(self, context: bpy.types.Context) -> Job[list[str]]:
        return fit_job(
            context.scene,
            self.paths(),
            cameras=Path(bpy.path.abspath(self.cameras)) if self.cameras else None,
            names=Path(bpy.path.abspath(self.names)) if self.names else None,
            rate=self.frame_rate or None,
            first=self.first or None,
            report=report_path(),
        )

    def summary(self, result: list[str]) -> str:
        last[:] = result
        return summary(result)


def summary(said: Sequence[str]) -> str:
    """Everything that was found and done, a line each."""
    return "\n".join(said)
