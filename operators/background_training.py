# SPDX-License-Identifier: GPL-3.0-or-later
"""Training in a separate process: Blender stays responsive, may even be closed, and finds the training again.

Its state is stored beside the .blend: `training.json` (the process) and `training.log` (its output). A process that has
printed nothing for a while counts as ended.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..bridge.cache.manifest import write_json
from ..bridge.cache.open_file import folder
from ..bridge.characters import active_label
from ..compat import is_module
from ..errors import NephimError, SimulationError
from . import problems
from .jobs import redraw_sidebars
from .train import TrainingOptions
from .volume import needs_setup

_SILENT_SECONDS = 60.0  # a training prints every two seconds; saving the file or a busy machine may delay it
_LOOK_SECONDS = 1.0
_TAIL_BYTES = 2000
# A line of progress as `progress.drive` prints it: "training:  45 %, 3 min left (rollout 0.3 mm)".
_LINE = re.compile(r"(?P<step>[^:]+): +(?P<percent>\d+) %(?P<rest>.*)")


@dataclass(frozen=True)
class Training:
    """runs; done: share of the current step, 0..1; text: its latest output, to show."""

    runs: bool
    done: float
    text: str


def _files() -> tuple[Path, Path]:
    return folder().training, folder().training_log


def training_command(blend: Path, minutes: float, sequences: int, scratch: bool) -> list[str]:
    """The command line that trains the network of a file, in the same kind of Blender."""
    character = active_label(bpy.context.scene)
    options = ["--minutes", f"{minutes:g}", "--sequences", str(sequences), *(["--scratch"] if scratch else [])]
    options += ["--character", character] if character else []
    if is_module():
        return [sys.executable, "-m", "nephim", "train", str(blend), *options]
    return [bpy.app.binary_path, "-b", str(blend), "--command", "nephim", "train", *options]


def start(command: list[str]) -> None:
    """Starts training for the open file. Raises SimulationError if one is running, CacheError for an unsaved file."""
    state, log = _files()
    present = training()
    if present is not None and present.runs:
        raise SimulationError("This character is already being trained.", advice="Wait for it to finish, or stop it.")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    write_json(state, {"process": process.pid, "command": command})


def training() -> Training | None:
    """The training of the open file, running or ended; None if there was none."""
    if not bpy.data.filepath:
        return None
    state, log = _files()
    try:
        ended = bool(json.loads(state.read_text(encoding="utf-8")).get("ended"))
        silent = time.time() - log.stat().st_mtime
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = stream.read().decode(errors="replace").split("\n")
    except (OSError, ValueError):
        return None
    said = [line.strip() for line in lines if line.strip() and not line.startswith("Blender ")]
    last = said[-1] if said else "starting"
    match = _LINE.match(last)
    runs = not ended and silent < _SILENT_SECONDS and (match is not None or last == "starting")
    if match is None:
        return Training(runs, 0.0, last)
    return Training(runs, int(match["percent"]) / 100, f"{match['step']} {match['percent']} %{match['rest']}")


def stop() -> None:
    """Stops the training; recordings and the last checkpoint are kept, and the next training continues from there."""
    state, _ = _files()
    present = training()
    if present is None or not present.runs:
        return
    known = json.loads(state.read_text(encoding="utf-8"))
    with contextlib.suppress(ProcessLookupError):  # it may have just ended on its own
        if sys.platform == "win32":
            os.kill(known["process"], signal.SIGTERM)
        else:
            os.killpg(known["process"], signal.SIGTERM)  # including the processes that record for it
    write_json(state, known | {"ended": True})


def watch() -> float | None:
    """A timer: shows the progress of the training in the sidebar until it ends."""
    present = training()
    redraw_sidebars(bpy.context)
    return _LOOK_SECONDS if present is not None and present.runs else None


def begin_watching() -> None:
    """Call after loading a file or starting a training."""
    if not bpy.app.background and not bpy.app.timers.is_registered(watch):
        bpy.app.timers.register(watch, first_interval=_LOOK_SECONDS)


def end_watching() -> None:
    if bpy.app.timers.is_registered(watch):
        bpy.app.timers.unregister(watch)


class NEPHIM_OT_start_training(TrainingOptions, bpy.types.Operator):
    """Train a network for this character in the background, after recording its physics; Blender may be closed meanwhile, and results are saved beside the file"""  # noqa: E501

    bl_idname = "nephim.start_training"
    bl_label = "Train"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        from .state import has_torch, volume_state

        if not needs_setup(cls, context):
            return False
        present = training()
        if not has_torch():
            cls.poll_message_set("Training needs PyTorch in Blender's Python")
        elif not volume_state().exists:
            cls.poll_message_set("Build the volume first")
        elif bpy.data.is_dirty:
            cls.poll_message_set("Save the file first: the training reads it from disk")
        elif present is not None and present.runs:
            cls.poll_message_set("This character is already being trained")
        else:
            return True
        return False

    def invoke(self, context: bpy.types.Context, event: Any) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            start(training_command(Path(bpy.data.filepath), self.minutes, self.sequences, self.scratch))
        except NephimError as error:
            return problems.refuse(self, error)
        begin_watching()
        self.report({"INFO"}, "Training started; the Network panel shows its progress")
        return {"FINISHED"}


class NEPHIM_OT_stop_training(bpy.types.Operator):
    """Stop the training; recordings and the last checkpoint are kept, and the next training continues from there"""

    bl_idname = "nephim.stop_training"
    bl_label = "Stop Training"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        present = training()
        if present is None or not present.runs:
            cls.poll_message_set("Nothing is being trained")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        stop()
        return {"FINISHED"}
