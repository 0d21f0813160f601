# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins pictures into h264 films by Blender's ffmpeg; a separate program.

Rendering an animation holds Blender until it ends, so `encoding.py` starts this file in a child process, which can be
killed. Argument (after `--` when Blender runs it): a JSON file with `pixels` [width, height], `frame_rate` [1/s] and
`films`, a list of [folder of 000000.png …, path of the mp4]. Prints a line for each frame.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import bpy


def main(job: str) -> None:
    wanted = json.loads(Path(job).read_text(encoding="utf-8"))
    bpy.app.handlers.render_write.append(lambda *_: print("\nwritten", flush=True))  # Blender's lines may lack an end
    for folder, path in wanted["films"]:
        _encode(sorted(Path(folder).glob("*.png")), wanted["pixels"], wanted["frame_rate"], path)


def _encode(pictures: list[Path], pixels: list[int], frame_rate: float, path: str) -> None:
    scene = bpy.data.scenes.new("NePHIM video")
    _strip(scene, pictures)
    render = scene.render
    render.resolution_x, render.resolution_y = pixels
    render.resolution_percentage = 100
    render.fps, render.fps_base = _rate(frame_rate)
    render.use_file_extension = False
    # Pictures are finished: no view transform on top.
    scene.view_settings.view_transform = "Standard"
    scene.sequencer_colorspace_settings.name = "sRGB"
    settings = render.image_settings
    if hasattr(settings, "media_type"):  # since Blender 5.0
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    render.ffmpeg.format = "MPEG4"
    render.ffmpeg.codec = "H264"
    render.ffmpeg.constant_rate_factor = "HIGH"
    render.ffmpeg.ffmpeg_preset = "GOOD"
    render.ffmpeg.audio_codec = "NONE"
    scene.frame_start, scene.frame_end = 1, len(pictures)
    render.filepath = path
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)


def _strip(scene: Any, pictures: list[Path]) -> None:
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences  # renamed in Blender 4.4
    strip = strips.new_image("frames", str(pictures[0]), channel=1, frame_start=1)
    for picture in pictures[1:]:
        strip.elements.append(picture.name)


def _rate(frame_rate: float) -> tuple[int, float]:
    """Blender's whole frames per second and the base they are divided by."""
    whole = max(1, round(frame_rate))
    return whole, whole / frame_rate


if __name__ == "__main__":
    failed = True
    try:
        main((sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])[0])
        failed = False
    finally:
        if failed:
            traceback.print_exc()
        sys.stdout.flush()
        # Not the usual way out: Blender's module can wait for its own threads forever while it frees its memory.
        os._exit(failed)
