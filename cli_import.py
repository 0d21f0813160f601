# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb `import` of the command line."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .progress import drive

_TEXT = "Make a scene of captured surfaces over time: head and hands, checked and set up."


def add_arguments(verbs: Any, positive: Callable[[str], float]) -> None:
    """Adds the verb to the grammar. positive: the type of numbers above 0."""
    take = verbs.add_parser("import", help=_TEXT, description=_TEXT)
    take.add_argument("takes", nargs="+", type=Path, metavar="TAKE", help="file, or folder of numbered OBJ or PLY")
    take.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.blend")
    take.add_argument("--fps", type=positive, metavar="N", help="frames per second; default: as the files say, or 30")
    take.add_argument("--units", choices=("mm", "cm", "m"), help="default: as a head has its size")
    take.add_argument("--up", choices=("y", "z"), help="axis that points up; default: away from the neck's cut")
    take.add_argument(
        "--role",
        choices=("head", "left", "right"),
        action="append",
        default=[],
        help="what a surface is, if its name does not say so; repeated for each surface, in order",
    )
    take.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="mesh with the faces of a take whose file has none, or your own body model; may be repeated",
    )
    take.add_argument("--smooth", type=positive, metavar="HZ", help="filter jitter above HZ, without delay")


def run(parsed: argparse.Namespace) -> str:
    """Builds and saves OUT.blend from an empty file; returns what to print. Raises NephimError."""
    import bpy

    from .operators import import_take
    from .operators.save import save_blend

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)
    out = parsed.output.absolute()
    job = import_take.import_job(
        bpy.context.scene,
        [path.absolute() for path in parsed.takes],
        out,
        frame_rate=parsed.fps,
        units=parsed.units,
        up=parsed.up,
        roles=parsed.role,
        models=[path.absolute() for path in parsed.model],
        smooth=parsed.smooth,
    )
    said = drive(job)
    save_blend(out)
    bpy.ops.file.make_paths_relative()
    return f"{import_take.summary(said)} Saved {save_blend(out)}."
