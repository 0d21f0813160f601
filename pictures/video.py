# SPDX-License-Identifier: GPL-3.0-or-later
"""A video of the whole animation, tracked and simulated side by side."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bridge.cache.results import ResultReader
from ..bridge.scene_time import playback_rate
from ..progress import Job, Progress
from .contact_sheet import Framing, frame_shot, gesture_name
from .encoding import encode_job
from .highlights import episodes
from .images import write_png
from .lettering import write_text
from .raster import Light, View, render_all
from .staging import Shot, Stage

# Two halves; h264 wants even sides.
_HALF = (480, 540)
# The camera needs this long from one view to the next [s]: slow enough not to distract.
_TURN_SECONDS = 0.8


def video_job(scene: Any, path: Path) -> Job[Path]:
    """Writes an h264 mp4 of all simulated frames. Raises RigError, SurfaceError and CacheError."""
    path = Path(path)
    step = "video"
    with ResultReader(scene) as result, tempfile.TemporaryDirectory(prefix="nephim-") as folder:
        stage = Stage(result)
        frames, rate = result.frames, playback_rate(scene)
        largest = yield from result.largest_displacements(step, 0.1)
        peaks = [first + int(np.argmax(largest[first:end])) for first, end in episodes(largest)]
        framings = {k: frame_shot(stage, stage.shot(frames[k])) for k in peaks or [0]}
        cameras = smooth_cameras(framings, len(frames), rate)
        for k, frame in enumerate(frames):
            picture = _picture(stage.shot(frame), cameras[k], frame, gesture_name(scene, frame))
            write_png(Path(folder) / f"{k:06d}.png", picture, compression=1)
            yield Progress(step, 0.1 + 0.8 * (k + 1) / len(frames), f"frame {frame}")
        yield from encode_job({path: Path(folder)}, (2 * _HALF[0], _HALF[1]), rate, step, 0.9)
    return path


def smooth_cameras(
    framings: dict[int, Framing], count: int, frame_rate: float, pixels: tuple[int, int] = _HALF
) -> list[tuple[View, Light]]:
    """View and light of each of `count` frames: those of the nearest key frame, blended where they change."""
    keys = np.array(sorted(framings))
    nearest = keys[np.abs(np.arange(count)[:, None] - keys).argmin(axis=1)]
    spread = max(1, round(_TURN_SECONDS * frame_rate))
    window = np.hanning(2 * spread + 1)
    window /= window.sum()

    def blended(values: NDArray) -> NDArray:
        padded = np.pad(values, ((spread, spread), (0, 0)), mode="edge")
        return np.stack([np.convolve(padded[:, d], window, mode="valid") for d in range(values.shape[1])], axis=1)

    def of(name: str) -> NDArray:
        return blended(np.array([np.atleast_1d(getattr(framings[k], name)) for k in nearest], float))

    direction, centre = of("direction"), of("centre")
    height = max(f.height for f in framings.values())
    key = blended(np.array([framings[k].light.key for k in nearest]))
    fill = blended(np.array([framings[k].light.fill for k in nearest]))
    rim = blended(np.array([framings[k].light.rim for k in nearest]))
    up = framings[int(keys[0])].up
    return [
        (
            View(centre[k], -direction[k] / np.linalg.norm(direction[k]), up, height, pixels),
            Light(key=tuple(key[k]), fill=tuple(fill[k]), rim=tuple(rim[k])),
        )
        for k in range(count)
    ]


def _picture(shot: Shot, camera: tuple[View, Light], frame: int, gesture: str) -> NDArray[np.uint8]:
    shown = ([shot.tracked, *shot.hands], [shot.simulated, *shot.simulated_hands])
    halves = render_all([([*models, *shot.others], *camera) for models in shown])
    picture = np.concatenate(halves, axis=1)
    picture[:, _HALF[0] - 1 : _HALF[0] + 1] = 30
    write_text(picture, "tracked", 16, 12, 22)
    write_text(picture, "simulated", _HALF[0] + 16, 12, 22)
    write_text(picture, gesture, 16, _HALF[1] - 34, 22)
    write_text(picture, f"frame {frame}", 2 * _HALF[0] - 16, _HALF[1] - 34, 22, align="right")
    return picture
