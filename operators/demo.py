# SPDX-License-Identifier: GPL-3.0-or-later
"""Demo: the whole job on a MakeHuman character, from download to pictures."""

from pathlib import Path

import bpy
from bpy.props import StringProperty

from ..errors import NephimError
from ..progress import Job, Progress, drive
from . import bake, report, rig, simulate, volume
from .paths import cache_path, volume_path
from .save import save_blend


def demo_job(out: Path, assets: Path | None = None) -> Job[str]:
    """Replaces the open file by the demo and leaves demo.blend, contact-sheet.png, cut.png, demo.mp4 and report.json
    in `out`; returns a table for people. Raises NephimError. assets: folder that keeps the download for the next time,
    default `out`/character.
    """
    from ..bridge.cut_picture import cut_picture_job
    from ..bridge.pictures import contact_sheet_job
    from ..bridge.video import video_job
    from ..presets.demo.assets import fetch_character_data
    from ..presets.demo.scene import HEAD, HEAD_BONE, JAW_BONE, LEFT, NEUTRAL_FRAME, RIGHT, build_demo_scene
    from ..sim.template import Template

    archive = yield from fetch_character_data(assets or out / "character")
    yield Progress("demo scene", 0.0)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)
    build_demo_scene(archive)
    save_blend(out / "demo.blend")
    yield Progress("demo scene", 1.0)
    scene = bpy.context.scene
    rig.setup(
        scene, head=HEAD, left=LEFT, right=RIGHT, head_bone=HEAD_BONE, jaw_bone=JAW_BONE, neutral_frame=NEUTRAL_FRAME
    )
    # The demo shows the whole way, so nothing of an earlier run is taken over.
    volume_path().unlink(missing_ok=True)
    cache_path().with_suffix(".json").unlink(missing_ok=True)
    save_blend()
    yield from volume.volume_job(scene)
    yield from simulate.simulate_job(scene)
    yield from bake.bake_job(scene, to="shape-keys")
    save_blend()
    measured = yield from report.report_to_job(scene, out / "report.json")
    yield from cut_picture_job(Template.load(volume_path()), out / "cut.png")
    yield from contact_sheet_job(scene, out / "contact-sheet.png")
    yield from video_job(scene, out / "demo.mp4")
    return f"{report.table(measured)}\n{out / 'demo.blend'}"


class NEPHIM_OT_demo(bpy.types.Operator):
    """Open a new file with the demo character, and simulate and bake it. Takes some minutes"""

    bl_idname = "nephim.demo"
    bl_label = "Demo"

    out: StringProperty(name="Folder", subtype="DIR_PATH")  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Blocks, also in the window: a new file ends every modal operator."""
        if bpy.data.is_dirty and not bpy.app.background:
            self.report({"ERROR"}, "The open file has unsaved changes. Save it first.")
            return {"CANCELLED"}
        if not self.out:
            self.report({"ERROR"}, "No folder is given for the demo. Give one (out=…).")
            return {"CANCELLED"}
        try:
            text = drive(demo_job(Path(bpy.path.abspath(self.out)).absolute()))
        except NephimError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, text)
        return {"FINISHED"}
