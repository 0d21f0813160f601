# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb `compare` of the command line."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .choices import METHODS, STUDIED, STUDY_CLIPS
from .errors import NephimError, StudyError
from .progress import drive

_TEXT = (
    "Films and sheets of the take as tracked, by the skin alone, by the physics and its reduced form, and by the "
    "network, side by side; a blind study of them and its evaluation; the take as arrays."
)


def add_arguments(verbs: Any) -> None:
    """Adds the verb to the grammar."""
    compare = verbs.add_parser("compare", help=_TEXT, description=_TEXT)
    compare.add_argument("files", nargs="*", type=Path, metavar="FILE.blend")
    compare.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="default: FILE.nephim/comparison, or beside the first RESULTS"
    )
    compare.add_argument(
        "--methods",
        nargs="+",
        choices=list(METHODS),
        metavar="METHOD",
        help=f"what is compared, of: {', '.join(METHODS)}; default: all that exist for the file, and "
        f"for a study those of {', '.join(STUDIED)}",
    )
    what = compare.add_mutually_exclusive_group()
    what.add_argument("--study", type=Path, metavar="DIR", help="write a blind study of all files, as a page")
    what.add_argument(
        "--evaluate", type=Path, nargs="+", metavar="RESULTS.json", help="evaluate the answers that people have saved"
    )
    what.add_argument("--export", choices=("npz",), help="write the simulated takes as arrays")
    compare.add_argument(
        "--clips", type=_count, metavar="N", help=f"contacts of each file in the study, default {STUDY_CLIPS}"
    )
    compare.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of names, order and sides in the study, default 0"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return int(text)


def run(parsed: argparse.Namespace, open_file: Callable[[Path | None], None]) -> str:
    """Returns what to print; open_file: opens a .blend. Raises NephimError."""
    if parsed.evaluate is not None:
        from .operators.study import evaluate_study

        if parsed.files:
            raise StudyError("--evaluate needs only the answers.", advice=f"Leave {parsed.files[0]} out.")
        return evaluate_study([path.absolute() for path in parsed.evaluate], _absolute(parsed.output))
    files = [path.absolute() for path in parsed.files] or [None]
    names = [path.stem for path in files if path is not None]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice and (parsed.study or parsed.output):
        raise NephimError(f"Two files are called '{twice[0]}'.", advice="Rename one: results are told apart by name.")
    if parsed.study is not None:
        return _study(parsed, files, open_file)
    return "\n".join(_one(parsed, path, open_file) for path in files)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _one(parsed: argparse.Namespace, path: Path | None, open_file: Callable[[Path | None], None]) -> str:
    import bpy

    open_file(path)
    scene, blend = bpy.context.scene, Path(bpy.data.filepath)
    if parsed.export:
        from .operators import export_take

        out = (_absolute(parsed.output) or blend.parent) / f"{blend.stem}.npz"
        return export_take.summary(drive(export_take.export_take_job(scene, out)))
    from .operators import compare

    out = _absolute(parsed.output) or compare.folder().comparison
    return compare.summary(drive(compare.compare_job(scene, out, methods=parsed.methods)))


def _study(parsed: argparse.Namespace, files: list[Path | None], open_file: Callable[[Path | None], None]) -> str:
    import bpy

    from .operators import study

    writer = study.StudyWriter(parsed.study.absolute(), parsed.seed)
    for path in files:
        open_file(path)
        drive(writer.add_job(bpy.context.scene, parsed.methods, parsed.clips or STUDY_CLIPS))
    return study.summary(writer.write())
