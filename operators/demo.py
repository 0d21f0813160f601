# SPDX-License-Identifier: GPL-3.0-or-later
"""Demo: the whole workflow on a MakeHuman character, from download to pictures."""

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty

from ..bridge.cache.open_file import folder
from ..errors import NephimError
from ..progress import Job, Progress, drive
from . import bake, compare_network, report, setup, simulate, volume
from .jobs import JobOperator, is_free
from .save import save_blend


def demo_job(out: Path, assets: Path | None = None) -> Job[str]:
    """Replaces the open file with the demo; writes demo.blend, contact-sheet.png, network-strip.png, cut.png, demo.mp4
    and report.json to `out`; returns a table to print. Raises NephimError. assets: folder that keeps the download for
    next time; default: the character packed with the add-on, or `out`/character.
    """
    from ..bridge.cache.manifest import write_json
    from ..demo.assets import fetch_character_data
    from ..demo.scene import HEAD, HEAD_BONE, JAW_BONE, LEFT, NEUTRAL_FRAME, RIGHT, build_demo_scene
    from ..pictures.contact_sheet import contact_sheet_job
    from ..pictures.cut_picture import cut_picture_job
    from ..pictures.video import video_job

    archive = yield from fetch_character_data(assets or _packed() or out / "character")
    yield Progress("demo scene", 0.0)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)
    build_demo_scene(archive)
    save_blend(out / "demo.blend")
    yield Progress("demo scene", 1.0)
    scene = bpy.context.scene
    setup.setup(
        scene,
        head=HEAD,
        left=LEFT,
        right=RIGHT,
        head_bone=HEAD_BONE,
        jaw_bone=JAW_BONE,
        neutral_frame=NEUTRAL_FRAME,
    )
    # The demo shows every step, so it reuses nothing from an earlier run.
    folder().volume.unlink(missing_ok=True)
    folder().cache.with_suffix(".json").unlink(missing_ok=True)
    save_blend()
    template = yield from volume.volume_job(scene)
    yield from cut_picture_job(template, out / "cut.png")  # something to look at within minutes
    yield from simulate.simulate_job(scene)
    yield from bake.bake_job(scene, to="shape-keys")
    save_blend()
    measured = yield from report.report_to_job(scene, out / "report.json")
    yield from contact_sheet_job(scene, out / "contact-sheet.png")
    measured["network"] = yield from compare_network.compare_job(scene, out / "network-strip.png")
    write_json(out / "report.json", measured)
    yield from video_job(scene, out / "demo.mp4")
    network = compare_network.compare_summary(measured["network"])
    return "\n".join([report.table(measured), network, str(out / "demo.blend")])


def add_demo_job(archive: Path | None = None) -> Job[str]:
    """Adds the demo character with its motion, set up: to the open scene if it is empty, else to a new one.

    archive: the result of `fetch_character_data`, if available. Raises NephimError if the character's data cannot be
    fetched or the character is already there.
    """
    from ..demo import scene as demo
    from ..demo.assets import fetch_character_data

    taken = [name for name in (demo.HEAD, demo.LEFT, demo.RIGHT, demo.RIG) if name in bpy.data.objects]
    if taken:
        raise NephimError(
            f"The file already has an object '{taken[0]}', a name that the demo character needs.",
            advice="Rename yours, or add the demo character to another file.",
        )
    if archive is None:
        archive = yield from fetch_character_data(_assets_folder())
    yield Progress("demo scene", 0.0)
    if bpy.context.scene.objects:
        bpy.context.window.scene = bpy.data.scenes.new("NePHIM Demo")
    demo.build_demo_scene(archive)
    scene = bpy.context.scene
    found = setup.setup(
        scene,
        head=demo.HEAD,
        left=demo.LEFT,
        right=demo.RIGHT,
        head_bone=demo.HEAD_BONE,
        jaw_bone=demo.JAW_BONE,
        neutral_frame=demo.NEUTRAL_FRAME,
    )
    for obj in scene.objects:  # bones drawn over the face would hide it
        if obj.type == "ARMATURE":
            obj.hide_set(True)
    yield Progress("demo scene", 1.0)
    return setup.summary(found)


def _packed() -> Path | None:
    """The folder of the character's data if the add-on came with it."""
    folder = Path(__file__).resolve().parent.parent / "presets" / "demo"
    return folder if (folder / "character.npz").is_file() else None


def _assets_folder() -> Path:
    """Where the character's data is stored: in the add-on if it came with it, else in the user's own folder."""
    packed = _packed()
    if packed is not None:
        return packed
    package = __package__.rpartition(".")[0]
    if package.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(package, path="demo", create=True))
    return Path(bpy.utils.user_resource("DATAFILES", path="nephim", create=True))


class NEPHIM_OT_add_demo(bpy.types.Operator):
    """Add a character whose hands touch its face, set up and ready to simulate; an unsaved file is saved first, because results are stored beside it"""  # noqa: E501

    bl_idname = "nephim.add_demo"
    bl_label = "Add Demo Character"
    bl_options = {"REGISTER"}

    filepath: StringProperty(subtype="FILE_PATH", description="Where to save a new file")  # type: ignore[valid-type]
    filter_glob: StringProperty(default="*.blend", options={"HIDDEN"})  # type: ignore[valid-type]
    check_existing: BoolProperty(default=True, options={"HIDDEN"})  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_free(cls)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.data.filepath:
            return self.execute(context)
        if not self.filepath:
            self.filepath = str(Path.home() / "nephim-demo.blend")
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not bpy.data.filepath:
            if not self.filepath:
                self.report({"ERROR"}, "The file has not been saved yet. Say where to save it (filepath=…).")
                return {"CANCELLED"}
            try:
                save_blend(Path(bpy.path.ensure_ext(bpy.path.abspath(self.filepath), ".blend")))
            except NephimError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
        # The job needs an operator of its own: Blender lets none continue after its file browser has closed.
        return bpy.ops.nephim.build_demo("EXEC_DEFAULT" if bpy.app.background else "INVOKE_DEFAULT")


class NEPHIM_OT_build_demo(JobOperator, bpy.types.Operator):
    """Add the demo character to the saved file"""

    bl_idname = "nephim.build_demo"
    bl_label = "Demo Character"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    def job(self, context: bpy.types.Context) -> Job[Any]:
        return add_demo_job()

    def summary(self, result: Any) -> str:
        return result

    def finished(self, context: bpy.types.Context, result: Any) -> None:
        for area in context.screen.areas:
            if area.type == "VIEW_3D":
                area.spaces.active.region_3d.view_perspective = "CAMERA"
                area.spaces.active.shading.color_type = "VERTEX"  # hair, brows and lips are vertex colours
                region = next(region for region in area.regions if region.type == "WINDOW")
                with context.temp_override(area=area, region=region):
                    bpy.ops.view3d.view_center_camera()


class NEPHIM_OT_demo(bpy.types.Operator):
    """Open a new file with the demo character, and simulate and bake it; takes several minutes"""

    bl_idname = "nephim.demo"
    bl_label = "Demo"

    out: StringProperty(name="Folder", subtype="DIR_PATH")  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Blocks, even in the window: a new file ends every modal operator."""
        if bpy.data.is_dirty and not bpy.app.background:
            self.report({"ERROR"}, "The open file has unsaved changes. Save it first.")
            return {"CANCELLED"}
        if not self.out:
            self.report({"ERROR"}, "No folder was given for the demo. Give one (out=…).")
            return {"CANCELLED"}
        try:
            text = drive(demo_job(Path(bpy.path.abspath(self.out)).absolute()))
        except NephimError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, text)
        return {"FINISHED"}
