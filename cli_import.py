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
    take.add_argument("-o", "--output", type=Path, metavar="OUT.blend", help="the scene; default: the file of --onto")
    take.add_argument(
        "--onto", type=Path, metavar="FILE.blend", help="add to this file's scene, such as a face capture to its head"
    )
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
    take.add_argument("--turn-head", action="store_true", help="a face capture turns the head bone, or head, as well")
    take.add_argument("--bake", action="store_true", help="then build the volume, simulate and bake")
    take.add_argument("--smooth", type=positive, metavar="HZ", help="filter jitter above HZ, without delay")


def run(parsed: argparse.Namespace) -> str:
    """Builds and saves OUT.blend from an empty file, or from that of --onto; returns what to print at the end.

    Raises NephimError.
    """
    import bpy

    from .bridge.takes import relative_paths
    from .operators import import_take
    from .operators.save import save_blend

    if parsed.onto is None:
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)
    scene, out = bpy.context.scene, (parsed.output or parsed.onto).absolute()
    job = import_take.import_job(
        scene,
        [path.absolute() for path in parsed.takes],
        out,
        frame_rate=parsed.fps,
        units=parsed.units,
        up=parsed.up,
        roles=parsed.role,
        models=[path.absolute() for path in parsed.model],
        smooth=parsed.smooth,
        rotate_head=parsed.turn_head,
    )
    said = drive(job)
    save_blend(out)
    relative_paths(out)
    said.append(f"Saved {save_blend(out)}.")
    if parsed.bake:
        print(import_take.summary(said), flush=True)  # not only after the bake, or after its failure
        said = _baked(scene)
    return import_take.summary(said)


def _baked(scene: Any) -> list[str]:
    """Volume, simulation and bake, as the verbs of these names do them; what they say."""
    from .operators import bake, import_take, simulate, volume
    from .operators.save import save_blend

    said = [volume.summary(drive(volume.volume_job(scene))), volume.carried(scene)]
    said.append(simulate.summary(drive(simulate.simulate_job(scene))))
    said.append(bake.summary(drive(bake.bake_job(scene, to=import_take.bake_target(scene)))))
    return [*filter(None, said), f"Saved {save_blend()}."]
