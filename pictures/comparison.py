# SPDX-License-Identifier: GPL-3.0-or-later
"""Films and sheets of several methods side by side: the same camera, the same light, the measures under them."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bridge.comparison import ComparedTake, Measures
from ..bridge.scene_time import playback_rate
from ..choices import METHODS, TRACKED
from ..progress import Job, Progress
from ..study.page import make_alike
from .contact_sheet import Framing, frame_shot, gesture_name
from .encoding import encode_job
from .follow import Cameras, ContactPath, mean_displacement
from .highlights import choose_frames, episodes
from .images import write_png
from .raster import Model, render_all
from .side_by_side import CLOSE, GAP, WIDE, FilmLayout, Sheet, stacked
from .staging import Shot, Stage

# A film of the study shows a contact from this long before it until this long after it [s], but no longer than this
# in all: people watch it several times.
_BEFORE, _LONGEST, _SHORTEST = 0.5, 5.0, 1.5
_COLUMNS = 5  # of the sheet
_CONTACT = 0.5e-3  # [m] frames in which nothing moves farther show nothing to compare
_STUDY = (560, 360), (560, 436)  # pixels of the two views of a film of the study, one above the other
_DRAWN = 0.8  # share of the time of a film of the study until it is drawn; the rest encodes it
_STEP = "side by side"


@dataclass(frozen=True)
class Clip:
    """One contact: indices of its first frame, of the one after its last, and of its strongest; a name to show."""

    first: int
    end: int
    peak: int
    name: str


class Watched:
    """A take that was looked at once: where contact is, how strong, and the measures. Made by `watch_job`."""

    def __init__(self, scene: Any, take: ComparedTake):
        self.scene, self.take = scene, take
        self.stage = Stage(take.result)
        self.path = ContactPath()
        self.measures = Measures(take)
        self.rate = playback_rate(scene)

    def add(self, frame: int) -> None:
        read, surfaces = self.take.result.read(frame), self.take.surfaces(frame)
        self.measures.add(read, surfaces)
        self.path.add(read.tracked.head, [of_mode["head"] for of_mode in surfaces.values()])

    def shot(self, k: int) -> tuple[Shot, dict[str, list[Model]]]:
        """Frame number k with everything that all methods share, and head and hands by each method."""
        shot = self.stage.shot(self.take.frames[k])
        tracked = [shot.tracked, *shot.hands]
        surfaces = self.take.surfaces(shot.frame)
        return shot, {TRACKED: tracked} | {mode: self.stage.moved(tracked, of) for mode, of in surfaces.items()}

    def framing(self, k: int) -> Framing:
        """Views of frame number k that favour no method: of the displacement that all have on average."""
        shot = self.stage.shot(self.take.frames[k])
        skins = [of_mode["head"] for of_mode in self.take.surfaces(shot.frame).values()]
        displacement = mean_displacement(shot.skin_tracked, skins)
        return frame_shot(self.stage, replace(shot, displacement=displacement, skin=np.mean(skins, axis=0)))

    def cameras(self, wide: tuple[int, int], close: tuple[int, int]) -> Cameras:
        largest = np.array(self.path.largest)
        peaks = [first + int(np.argmax(largest[first:end])) for first, end in episodes(largest)]
        return self.path.cameras({k: self.framing(k) for k in peaks or [0]}, self.rate, wide, close)

    def clips(self, count: int) -> list[Clip]:
        """The `count` strongest contacts, in the order of time."""
        largest = np.array(self.path.largest)
        found = []
        for first, end in episodes(largest):
            peak = first + int(np.argmax(largest[first:end]))
            start, stop = _span(first, end, peak, len(largest), self.rate)
            numbers = f"frames {self.take.frames[start]}-{self.take.frames[stop - 1]}"
            gesture = gesture_name(self.scene, self.take.frames[peak])
            found.append(Clip(start, stop, peak, f"{gesture}, {numbers}" if gesture else numbers))
        strongest = sorted(found, key=lambda clip: -largest[clip.peak])[:count]
        return sorted(strongest, key=lambda clip: clip.first)


def _span(first: int, end: int, peak: int, count: int, rate: float) -> tuple[int, int]:
    """First frame and the one after the last of a clip about a contact."""
    before, longest, shortest = (max(1, round(rate * seconds)) for seconds in (_BEFORE, _LONGEST, _SHORTEST))
    start, stop = first - before, end + before
    if stop - start > longest:
        start = int(np.clip(peak - longest // 2, start, stop - longest))
        stop = start + longest
    missing = max(0, shortest - (stop - start))
    start, stop = start - missing // 2, stop + missing - missing // 2
    return max(0, start), min(count, stop)


def watch_job(scene: Any, take: ComparedTake, share: float = 1.0) -> Job[Watched]:
    """Reads and measures every frame, which is the first `share` of the work. Raises SurfaceError and CacheError."""
    watched = Watched(scene, take)
    for k, frame in enumerate(take.frames):
        watched.add(frame)
        yield Progress(_STEP, share * (k + 1) / len(take.frames), f"measuring frame {frame}")
    return watched


def film_job(watched: Watched, path: Path) -> Job[Path]:
    """Writes the film of the whole take as mp4. Raises SurfaceError and CacheError."""
    take, cameras = watched.take, watched.cameras(WIDE, CLOSE)
    layout = FilmLayout([METHODS[m] for m in take.methods], list(_by_method(take, watched.measures.deepest_mm())))
    moved = watched.measures.moved_mm()
    with tempfile.TemporaryDirectory(prefix="nephim-") as folder:
        for k, frame in enumerate(take.frames):
            shot, models = watched.shot(k)
            columns = _columns(shot, [models[m] for m in take.methods], cameras, k)
            picture = layout.picture(
                columns, k, [moved[m][k] for m in take.methods], gesture_name(watched.scene, frame), f"frame {frame}"
            )
            write_png(Path(folder) / f"{k:06d}.png", picture, compression=1)
            yield Progress("film", 0.9 * (k + 1) / len(take.frames), f"frame {frame}")
        yield from encode_job({path: Path(folder)}, layout.pixels, watched.rate, "film", 0.9)
    return path


def _by_method(take: ComparedTake, values: Mapping[str, NDArray]) -> Sequence[NDArray]:
    return [values[method] for method in take.methods]


def _columns(shot: Shot, models: Sequence[Sequence[Model]], cameras: Cameras, k: int) -> list[NDArray[np.uint8]]:
    """For head and hands of each method the whole view above the close-up."""
    views = (cameras.wide[k], cameras.close[k])
    cells = render_all([([*some, *shot.others], *view) for some in models for view in views])
    return [stacked(cells[i], cells[i + 1]) for i in range(0, len(cells), 2)]


def sheet_job(watched: Watched, path: Path) -> Job[Path]:
    """Writes the sheet: the strongest contacts close up, a row for each method, and the table of measures."""
    take, measures = watched.take, watched.measures
    deepest, moved = measures.deepest_mm(), measures.moved_mm()
    largest = np.array(watched.path.largest)
    chosen = choose_frames(largest, _COLUMNS)
    chosen = [k for k in chosen if largest[k] > _CONTACT] or chosen
    sheet = Sheet(f"{take.result.rig.head.label}: {', '.join(METHODS[m] for m in take.methods)}")
    for done, k in enumerate(chosen):
        framing = watched.framing(k)
        shot, models = watched.shot(k)
        view, light = framing.close_view(sheet.cell), framing.close_light
        cells = render_all([([*models[m], *shot.others], view, light) for m in take.methods])
        under = [(f"{deepest[m][k]:.1f} mm inside", f"moved {moved[m][k]:.1f} mm") for m in take.methods]
        sheet.add_column(f"Frame {shot.frame}", gesture_name(watched.scene, shot.frame), cells, under)
        yield Progress("sheet", (done + 1) / len(chosen), f"frame {shot.frame}")
    write_png(path, sheet.compose([METHODS[m] for m in take.methods], _table(measures.summary())))
    return path


def _table(summary: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Name and value of each measure, a value for each method."""

    def row(name: str, key: str, form: str, scale: float = 1.0) -> tuple[str, list[str]]:
        values = [numbers[key] for numbers in summary.values()]
        return name, ["–" if value is None else form.format(scale * value) for value in values]

    return [
        row("deepest penetration", "penetration_max_mm", "{:.1f} mm"),
        row("collision distance", "collision_distance_mm", "{:.3f} mm"),
        row("free of collision (5 mm)", "non_collision", "{:.0f} %", 100),
        row("touches kept", "touchness", "{:.0f} %", 100),
        row("skin moved by up to", "displacement_max_mm", "{:.1f} mm"),
        row("frames with pops", "pops", "{:d}", 1),
        row("acceleration, skin to hand", "acceleration_ratio", "{:.2f}"),
        row("time per frame", "ms_per_frame", "{:.1f} ms"),
    ]


def clip_films_job(watched: Watched, clips: Sequence[Clip], methods: Sequence[str], paths: Sequence[Path]) -> Job[None]:
    """Writes a film of each clip by each method, without a word in it; paths: clip by clip, in the methods' order.

    Raises SurfaceError and CacheError.
    """
    cameras = watched.cameras(*_STUDY)
    wide, close = _STUDY
    size = (wide[0], wide[1] + GAP + close[1])
    total, done, step = sum(clip.end - clip.first for clip in clips), 0, "films of the study"
    for number, clip in enumerate(clips):
        with tempfile.TemporaryDirectory(prefix="nephim-") as temporary:
            of_clip = paths[number * len(methods) : (number + 1) * len(methods)]
            films = {path: Path(temporary) / method for path, method in zip(of_clip, methods, strict=True)}
            for folder in films.values():
                folder.mkdir()
            for k in range(clip.first, clip.end):
                shot, models = watched.shot(k)
                columns = _columns(shot, [models[m] for m in methods], cameras, k)
                for folder, column in zip(films.values(), columns, strict=True):
                    write_png(folder / f"{k - clip.first:06d}.png", column, compression=1)
                yield Progress(step, (done + _DRAWN * (k - clip.first)) / total, clip.name)
            begin, done = done + _DRAWN * (clip.end - clip.first), done + clip.end - clip.first
            yield from encode_job(films, size, watched.rate, step, begin / total, done / total)
            make_alike(of_clip)
