# SPDX-License-Identifier: GPL-3.0-or-later
"""How all operators run jobs: in slices between redraws in the window, to the end in background mode and scripts."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, StringProperty

from ..errors import NephimError
from ..progress import Job, Progress, drive, remaining
from . import problems

# Long enough to lose little to the event loop, short enough that Esc and the progress bar feel immediate.
_BUDGET_SECONDS = 0.1
_TIMER_SECONDS = 0.02
# Events that only change the view may pass while a job reads the scene.
_HARMLESS = {
    "MOUSEMOVE", "INBETWEEN_MOUSEMOVE", "MIDDLEMOUSE", "WHEELUPMOUSE", "WHEELDOWNMOUSE", "TRACKPADPAN", "TRACKPADZOOM",
    "WINDOW_DEACTIVATE", "NDOF_MOTION",
}  # fmt: skip


@dataclass
class Running:
    """The job that runs in the window. left: remaining time of its step, as text; cancelled: by the button."""

    label: str
    progress: Progress
    step_started: float
    left: str = ""
    cancelled: bool = False

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.step != self.progress.step:
            self.step_started = now
        self.progress, self.left = progress, remaining(progress.done, now - self.step_started)


running: Running | None = None


def is_free(cls: Any) -> bool:
    """For `poll`: no job is running."""
    if running is not None:
        cls.poll_message_set(f"{running.label} is running")
        return False
    return True


def has_head(cls: Any, context: bpy.types.Context, advice: str = "Choose a head") -> bool:
    """For `poll`: no job is running, and the scene has a head; what to do if it has none."""
    if not is_free(cls):
        return False
    if context.scene.nephim.head is None:
        cls.poll_message_set(advice)
        return False
    return True


class JobOperator:
    """Mixin for an operator around a job. The operator provides `job(context)` and `summary(result)`, one sentence.

    A button (invoke) runs it modally: each timer tick runs a slice of it, and Esc or Cancel closes the generator, which
    undoes its unfinished work. A script or `-b` (execute) runs it to the end and raises what it raises.
    """

    _job: Job[Any] | None = None
    _timer: Any = None

    def job(self, context: bpy.types.Context) -> Job[Any]:
        raise NotImplementedError

    def summary(self, result: Any) -> str:
        raise NotImplementedError

    def finished(self, context: bpy.types.Context, result: Any) -> None:
        """What else to do in the window after a job started by a button."""

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            return self._finish(drive(self.job(context)))
        except NephimError as error:
            return problems.refuse(self, error)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        global running
        if bpy.app.background:
            return self.execute(context)
        try:
            self._job = self.job(context)
        except NephimError as error:
            return problems.refuse(self, error)
        if context.screen.is_animation_playing:  # it would change the frame between those that the job reads
            bpy.ops.screen.animation_cancel(restore_frame=False)
        running = Running(self.bl_label, Progress(self.bl_label, 0.0), time.monotonic())  # type: ignore[attr-defined]
        self._timer = context.window_manager.event_timer_add(_TIMER_SECONDS, window=context.window)
        context.window_manager.progress_begin(0, 100)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Swallows most events: the scene must not change while the job reads it."""
        if event.type == "ESC" or (running is not None and running.cancelled):
            self.cancel(context)
            self.report({"WARNING"}, "Cancelled; the scene is as it was")  # type: ignore[attr-defined]
            return {"CANCELLED"}
        if event.type in _HARMLESS or (event.type == "LEFTMOUSE" and _over_our_panel(context, event)):
            return {"PASS_THROUGH"}
        if event.type != "TIMER" or self._job is None:
            return {"RUNNING_MODAL"}
        started = time.monotonic()
        try:
            while time.monotonic() - started < _BUDGET_SECONDS:
                progress = next(self._job)
        except StopIteration as end:
            self.cancel(context)
            result = self._finish(end.value)
            self.finished(context, end.value)
            return result
        except NephimError as error:
            self.cancel(context)
            return problems.refuse(self, error)
        except BaseException:
            # A bug of ours must leave the window usable; Blender shows the traceback.
            self.cancel(context)
            raise
        self._show(context, progress)
        return {"PASS_THROUGH"}  # other timers, such as those of tooltips, keep running

    def cancel(self, context: bpy.types.Context) -> None:
        """Closes the job and restores the window; Blender also calls it when the window or the file closes."""
        global running
        if self._job is not None:
            self._job.close()
            self._job = None
        if self._timer is not None:
            running = None
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
            context.window_manager.progress_end()
            if context.workspace is not None:
                context.workspace.status_text_set(None)
            redraw_sidebars(context)

    def _show(self, context: bpy.types.Context, progress: Progress) -> None:
        assert running is not None
        running.show(progress)
        context.window_manager.progress_update(100 * progress.done)
        if context.workspace is not None:
            context.workspace.status_text_set(f"NePHIM: {describe(running)}. Esc cancels")
        redraw_sidebars(context)

    def _finish(self, result: Any) -> set[str]:
        problems.forget()
        self.report({"INFO"}, self.summary(result))  # type: ignore[attr-defined]
        return {"FINISHED"}


class FileJobOperator(JobOperator):
    """A `JobOperator` on a file, for which a button opens the file browser first."""

    filepath: StringProperty(subtype="FILE_PATH", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]
    chosen: BoolProperty(options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.chosen or bpy.app.background:
            return super().invoke(context, event)
        self.chosen = True
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.chosen and not bpy.app.background:  # from the file browser: once more, with progress and Esc
            again = getattr(bpy.ops.nephim, self.bl_idname.partition(".")[2])  # type: ignore[attr-defined]
            return again("INVOKE_DEFAULT", **self.given())
        return super().execute(context)

    def given(self) -> dict[str, Any]:
        """The properties as arguments."""
        return self.as_keywords(ignore=("files", "filter_glob", "check_existing"))  # type: ignore[attr-defined]


class FilesJobOperator(FileJobOperator):
    """The same on one or more files."""

    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def given(self) -> dict[str, Any]:
        return {**super().given(), "files": [{"name": file.name} for file in self.files]}

    def paths(self) -> list[Path]:
        """The chosen files."""
        names = [file.name for file in self.files if file.name]
        if self.directory and names:
            return [Path(bpy.path.abspath(self.directory)) / name for name in names]
        return [Path(bpy.path.abspath(self.filepath))]


def describe(job: Running) -> str:
    """One line: step, share, detail, remaining time."""
    progress = job.progress
    parts = [f"{progress.step} {100 * progress.done:.0f} %", progress.detail, f"{job.left} left" if job.left else ""]
    return ", ".join(part for part in parts if part)


def redraw_sidebars(context: bpy.types.Context) -> None:
    """Redraws the panels in all windows."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _over_our_panel(context: bpy.types.Context, event: bpy.types.Event) -> bool:
    """Whether the mouse is over our own tab, where only Cancel can be pressed while a job runs."""
    for area in context.screen.areas:
        if area.type != "VIEW_3D":
            continue
        for region in area.regions:
            inside = (
                region.type == "UI"
                and region.x <= event.mouse_x < region.x + region.width
                and region.y <= event.mouse_y < region.y + region.height
            )
            if inside:
                return getattr(region, "active_panel_category", "NePHIM") == "NePHIM"
    return False


class NEPHIM_OT_cancel(bpy.types.Operator):
    """Cancel the running job and restore the scene; frames already simulated are kept"""

    bl_idname = "nephim.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if running is None:
            cls.poll_message_set("Nothing is running")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        if running is not None:
            running.cancelled = True
        return {"FINISHED"}
