# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way operators run jobs: in steps between redraws in the window, to the end in background and scripts."""

import time
from typing import Any

import bpy

from ..errors import NephimError
from ..progress import Job, Progress, drive

# Long enough to lose little to the event loop, short enough that Esc and the progress line feel immediate.
_BUDGET_SECONDS = 0.1
_TIMER_SECONDS = 0.02


class JobOperator:
    """Mixin of an operator around a job. The operator gives `job(context)` and `summary(result)`, one sentence.

    A button (invoke) runs it modally: it takes part of each timer tick, Esc closes the generator, which undoes its
    unfinished work. A script or `-b` (execute) runs it to its end and raises what it raises.
    """

    _job: Job[Any] | None = None
    _timer: Any = None

    def job(self, context: bpy.types.Context) -> Job[Any]:
        raise NotImplementedError

    def summary(self, result: Any) -> str:
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            return self._finish(drive(self.job(context)))
        except NephimError as error:
            return self._refuse(error)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        try:
            self._job = self.job(context)
        except NephimError as error:
            return self._refuse(error)
        self._timer = context.window_manager.event_timer_add(_TIMER_SECONDS, window=context.window)
        context.window_manager.progress_begin(0, 100)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Every other event is swallowed: the job reads the scene, which must not change under it."""
        if event.type == "ESC":
            self.cancel(context)
            self.report({"WARNING"}, "Cancelled.")  # type: ignore[attr-defined]
            return {"CANCELLED"}
        if event.type != "TIMER" or self._job is None:
            return {"RUNNING_MODAL"}
        started = time.monotonic()
        try:
            while time.monotonic() - started < _BUDGET_SECONDS:
                progress = next(self._job)
        except StopIteration as end:
            self.cancel(context)
            return self._finish(end.value)
        except NephimError as error:
            self.cancel(context)
            return self._refuse(error)
        except BaseException:
            # A defect of ours must leave the window usable; Blender shows the traceback.
            self.cancel(context)
            raise
        self._show(context, progress)
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Closes the job and puts the window back; Blender calls it too, when the window or the file goes."""
        if self._job is not None:
            self._job.close()
            self._job = None
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
            context.window_manager.progress_end()
            if context.workspace is not None:
                context.workspace.status_text_set(None)

    def _show(self, context: bpy.types.Context, progress: Progress) -> None:
        context.window_manager.progress_update(100 * progress.done)
        if context.workspace is not None:
            detail = f" ({progress.detail})" if progress.detail else ""
            percent = f"{100 * progress.done:.0f} %"
            context.workspace.status_text_set(f"NePHIM: {progress.step} {percent}{detail}. Esc cancels")

    def _finish(self, result: Any) -> set[str]:
        self.report({"INFO"}, self.summary(result))  # type: ignore[attr-defined]
        return {"FINISHED"}

    def _refuse(self, error: NephimError) -> set[str]:
        self.report({"ERROR"}, str(error))  # type: ignore[attr-defined]
        return {"CANCELLED"}
