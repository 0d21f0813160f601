# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of the network on the command line: `train`, `evaluate` and `export-network`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .choices import TRAINING_MINUTES, TRAINING_SEQUENCES
from .progress import drive


def add_arguments(verb: Callable[[str, str], Any], positive: Callable[[str], float]) -> None:
    """Adds the verbs to the grammar. verb: adds one with its help; positive: the type of numbers above 0."""
    train = verb("train", "Record the physics of the character and train its network, resuming where it stopped.")
    train.add_argument(
        "--minutes",
        type=positive,
        default=TRAINING_MINUTES,
        metavar="N",
        help=f"minutes of training, default {TRAINING_MINUTES:g}",
    )
    train.add_argument(
        "--sequences",
        type=int,
        default=TRAINING_SEQUENCES,
        metavar="N",
        help=f"sequences to record, default {TRAINING_SEQUENCES}",
    )
    train.add_argument("--processes", type=int, metavar="N", help="parallel recording processes, default one per core")
    train.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers record instead")
    train.add_argument("--scratch", action="store_true", help="ignore the existing network")

    verb("evaluate", "Measure the network against the physics on unseen motions.")

    export = verb("export-network", "Write the network for game engines: ONNX, and arrays with their meaning.")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="made where it is missing")


def train(parsed: argparse.Namespace) -> str:
    """Trains, and returns what to print. Raises NephimError."""
    import bpy

    from .operators import train

    job = train.train_job(
        bpy.context.scene,
        minutes=parsed.minutes,
        sequences=parsed.sequences,
        processes=parsed.processes,
        scheduler=parsed.scheduler,
        scratch=parsed.scratch,
    )
    return train.train_summary(drive(job))


def evaluate(parsed: argparse.Namespace) -> str:
    """Measures the network, and returns what to print. Raises NephimError."""
    import bpy

    from .operators import train

    return train.evaluate_summary(drive(train.evaluate_job(bpy.context.scene)))


def export(parsed: argparse.Namespace) -> str:
    """Writes the network for other programs, and returns what to print. Raises NephimError."""
    import bpy

    from .operators import export_network

    job = export_network.export_network_job(bpy.context.scene, parsed.output.absolute())
    return export_network.summary(drive(job))
