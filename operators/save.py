# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving the .blend, all or nothing."""

from pathlib import Path

import bpy

from ..errors import BakeError


def save_blend(path: Path | None = None) -> Path:
    """Saves the open file to `path` (default: its own) and returns that path. Raises BakeError.

    Blender writes beside the file and renames at the end, so the old file stays intact if the disk is full;
    the unfinished file (FILE.blend@) is removed here.
    """
    target = Path(path).absolute() if path is not None else Path(bpy.data.filepath)
    if path is None and not bpy.data.filepath:
        raise BakeError("The .blend has never been saved.", advice="Save the file first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        bpy.ops.wm.save_as_mainfile(filepath=str(target), check_existing=False)
    except (OSError, RuntimeError) as error:
        Path(f"{target}@").unlink(missing_ok=True)
        reason = " ".join(str(error).split()).removeprefix("Error: ").rstrip(".")
        if reason in ("", "Success"):  # 4.5 loses the system's reason when the disk fills up while writing
            reason = "the disk is full or not writable"
        raise BakeError(
            f"{target} could not be saved: {reason}.",
            advice="The file on disk is unchanged. Free disk space or make the folder writable, then run this again.",
        ) from error
    return target
