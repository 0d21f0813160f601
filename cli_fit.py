# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb `fit` of the command line."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .progress import drive

TEXT = "Fit the character's own bones and expressions to landmarks over time, as keys in actions of their own."


def add_arguments(fit: Any, positive: Callable[[str], float]) -> None:
    """Adds the verb's arguments to its parser. positive: the type of numbers above 0."""
    fit.add_argument(
        "--landmarks",
        required=True,
        nargs="+",
        type=Path,
        metavar="TAKE",
        help="npz, npy, JSON or .pose: points in space, or with --cameras a file of image points for each camera",
    )
    fit.add_argument("--cameras", type=Path, metavar="CALIB", help="calibrated cameras as TOML or JSON")
    fit.add_argument(
        "--names", type=Path, metavar="MAP.toml", help="which of the points are which, if they have names of their own"
    )
    fit.add_argument("--fps", type=positive, metavar="N", help="frames per second; default: the file's, or the scene's")
    fit.add_argument("--first", type=int, metavar="N", help="the scene's frame of the first one; default: its first")
    fit.add_argument("-o", "--output", type=Path, metavar="OUT.blend", help="save here instead of FILE.blend")
    fit.add_argument("--json", type=Path, metavar="PATH", help="residuals; default: FILE.nephim/fit.json")


def run(parsed: argparse.Namespace) -> str:
    """Fits, saves, and returns what to print. Raises NephimError."""
    import bpy

    from .bridge.cache.folder import folder_beside
    from .operators import fit
    from .operators.save import save_blend

    target = (parsed.output or Path(bpy.data.filepath)).absolute()
    job = fit.fit_job(
        bpy.context.scene,
        [path.absolute() for path in parsed.landmarks],
        cameras=parsed.cameras and parsed.cameras.absolute(),
        names=parsed.names and parsed.names.absolute(),
        rate=parsed.fps,
        first=parsed.first,
        report=(parsed.json or folder_beside(target).fit).absolute(),
    )
    said = drive(job)
    return fit.summary([*said, f"Saved {save_blend(target)}."])
