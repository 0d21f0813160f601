# SPDX-License-Identifier: GPL-3.0-or-later
"""Study: pairs of films that people vote on in a browser, blind, and the evaluation of their votes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from bpy.props import CollectionProperty, IntProperty, StringProperty

from ..choices import METHODS, STUDIED, STUDY_CLIPS
from ..errors import CacheError, StudyError
from ..progress import Job
from .compare import simulations_job
from .jobs import JobOperator, is_free
from .volume import needs_setup


@dataclass(frozen=True)
class Written:
    """page: to open in a browser; clips, pairs: how many; notes: what was left out, and why."""

    page: Path
    clips: int
    pairs: int
    notes: tuple[str, ...]


class StudyWriter:
    """Collects the films of one or several files, then writes the page. Raises StudyError if `folder` holds something
    else than a study; an earlier study in it is replaced.

    seed: of names, order and sides; studies with the same seed and films are the same.
    """

    def __init__(self, folder: Path, seed: int):
        from ..study.page import clear_films

        clear_films(folder)
        self._folder, self._seed = folder, seed
        self._films: dict[str, Any] = {}
        self._clips = 0
        self._notes: list[str] = []

    def add_job(self, scene: Any, methods: Sequence[str] | None = None, count: int = STUDY_CLIPS) -> Job[None]:
        """Films the `count` strongest contacts of the open file by each of the methods; None: those of `STUDIED` that
        exist for it. Raises NephimError."""
        from ..bridge.comparison import ComparedTake
        from ..pictures.comparison import clip_films_job, watch_job
        from ..study.page import FILMS, film_names
        from ..study.sealed import Film, fingerprint

        file = Path(bpy.data.filepath).stem
        if methods is not None and len(set(methods)) < 2:
            raise StudyError("A study needs two methods at least.", advice=f"Choose among: {', '.join(METHODS)}.")
        if any(film.file == file for film in self._films.values()):
            raise StudyError(
                f"Two files are called '{file}'.", advice="Rename one, so that results can tell them apart."
            )
        caches, notes = yield from simulations_job(scene, methods, STUDIED)
        self._notes += [f"{file}: {note}" for note in notes]
        with ComparedTake(scene, caches) as take:
            watched = yield from watch_job(scene, take)
            clips = watched.clips(count)
            if not clips:
                raise StudyError("No hand moves the skin in this take.", object=file, advice="Choose other frames.")
            shown = [method for method in take.methods if methods is None or method in methods]
            names = film_names(len(clips) * len(shown), self._seed, self._films)
            paths = [self._folder / FILMS / name for name in names]
            yield from clip_films_job(watched, clips, shown, paths)
        what = [(method, clip.name, file) for clip in clips for method in shown]
        films = [Film(*shows, fingerprint(path.read_bytes())) for shows, path in zip(what, paths, strict=True)]
        self._films |= dict(zip(names, films, strict=True))
        self._clips += len(clips)

    def write(self) -> Written:
        """Writes the page. Raises StudyError and CacheError."""
        from ..study.page import write_page

        pairs = write_page(self._folder, self._films, self._seed)
        return Written(self._folder / "index.html", self._clips, pairs, tuple(self._notes))


def study_job(scene: Any, folder: Path, seed: int = 0) -> Job[Written]:
    """Writes a study of the open file. Raises NephimError."""
    writer = StudyWriter(folder, seed)
    yield from writer.add_job(scene)
    return writer.write()


def summary(result: Written) -> str:
    """A summary in one line."""
    text = f"Study: {result.pairs} pairs of films of {result.clips} contacts. Open {result.page} in a browser."
    return " ".join([text, *result.notes])


def evaluate_study(paths: Sequence[Path], out: Path | None = None) -> str:
    """Writes out/evaluation.html and evaluation.json, by default beside the first file; returns what to print.

    Raises StudyError and CacheError.
    """
    from ..bridge.cache.manifest import write_json
    from ..files import atomic_write
    from ..study.evaluation import evaluate
    from ..study.results import read_results
    from ..study.results_page import in_words, results_page

    found = evaluate(read_results(paths))
    out = paths[0].parent if out is None else out
    page = out / "evaluation.html"
    with atomic_write(page, f"{page} could not be written", "Free disk space or choose another folder.") as stream:
        stream.write(results_page(found).encode())
    write_json(out / "evaluation.json", found.as_json())
    return "\n".join([*in_words(found), str(page)])


class NEPHIM_OT_study(JobOperator, bpy.types.Operator):
    """Write a study: pairs of films of the same contact by two methods, on a page on which people choose the more natural one without knowing which is which"""  # noqa: E501

    bl_idname = "nephim.study"
    bl_label = "Study"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="A new folder for the page")  # type: ignore[valid-type]
    seed: IntProperty(name="Seed", description="Of names, order and sides")  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        out = Path(bpy.path.abspath(self.directory)) if self.directory else _beside_file()
        return study_job(context.scene, out, self.seed)

    def summary(self, result: Any) -> str:
        return summary(result)

    def finished(self, context: bpy.types.Context, result: Any) -> None:
        bpy.ops.wm.path_open(filepath=str(result.page))


def _beside_file() -> Path:
    blend = Path(bpy.data.filepath)
    return blend.with_name(f"{blend.stem}-study")


class NEPHIM_OT_evaluate_study(bpy.types.Operator):
    """Evaluate the files of answers that people have saved: which method they prefer, how sure that is, whether they agree"""  # noqa: E501

    bl_idname = "nephim.evaluate_study"
    bl_label = "Evaluate Answers"
    bl_options = {"REGISTER"}

    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_free(cls)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder = Path(bpy.path.abspath(self.directory))
        try:
            text = evaluate_study([folder / file.name for file in self.files if file.name])
        except (StudyError, CacheError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if not bpy.app.background:
            bpy.ops.wm.path_open(filepath=str(folder / "evaluation.html"))
        self.report({"INFO"}, text)
        return {"FINISHED"}
