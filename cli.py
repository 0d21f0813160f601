# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: one grammar in `python -m nephim VERB …` and `blender FILE.blend --command nephim VERB …`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import cli_compare, cli_fit, cli_import, cli_network
from .choices import (
    ADD,
    AXES,
    MODES,
    POINT_CACHE,
    REGIONS,
    REPLACE,
    SHAPE_KEYS,
    SKULL,
    SKULLS,
    TOLERANCE_MM,
    parse_frames,
)
from .errors import NephimError, RigError
from .progress import drive

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


class _UsageError(Exception):
    """The arguments do not fit the grammar; `str` is the message."""


class _Parser(argparse.ArgumentParser):
    """argparse exits the process on a wrong argument, which must not happen inside Blender."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise _UsageError(f"{message}. {self.format_usage().strip()}")


def _frames(text: str) -> tuple[int, int]:
    try:
        return parse_frames(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _millimetres(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of millimetres") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} mm is not a tolerance above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of frames")
    return int(text)


def _painted(text: str) -> tuple[str, str]:
    region, _, group = text.partition("=")
    if region not in REGIONS or not group:
        raise argparse.ArgumentTypeError(f"'{text}' is not REGION=GROUP with a region of {', '.join(REGIONS)}")
    return region, group


def build_parser(file_needed: bool) -> argparse.ArgumentParser:
    """The grammar. `file_needed`: FILE.blend is required, because no file is open (outside Blender)."""
    parser = _Parser(prog="nephim", description="Hands that really touch faces.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text)
        made.add_argument("file", metavar="FILE.blend", type=Path, nargs=None if file_needed else "?")
        made.add_argument("--character", metavar="NAME", help="of several, default the active one; setup adds it")
        return made

    setup = verb("setup", "Choose head and hands and save the choice in the .blend.")
    setup.add_argument("--head", required=True, metavar="OBJECT[:VERTEX_GROUP]")
    setup.add_argument("--left", metavar="OBJECT[:VERTEX_GROUP]", help="left hand")
    setup.add_argument("--right", metavar="OBJECT[:VERTEX_GROUP]", help="right hand")
    setup.add_argument("--jaw", metavar="OBJECT", help="the character's own jaw bone surface")
    setup.add_argument("--cranium", metavar="OBJECT", help="the character's own skull surface without jaw")
    setup.add_argument("--head-bone", metavar="ARMATURE:BONE", help="the bone that carries the cranium")
    setup.add_argument("--jaw-bone", metavar="ARMATURE:BONE", help="the bone that carries the jaw")
    setup.add_argument("--skull-model", type=Path, metavar="FILE.npz", help="linear model of jaw and cranium")
    setup.add_argument(
        "--skull",
        choices=[name for name, _, _ in SKULLS],
        default=SKULL,
        help="where other bones come from: usual depths of tissue, or a real skull registered to the skin",
    )
    setup.add_argument(
        "--stiffness",
        type=_painted,
        action="append",
        default=[],
        metavar="REGION=GROUP",
        help=f"vertex group or float attribute as stiff as REGION, one of: {', '.join(REGIONS)}; may be repeated",
    )
    setup.add_argument(
        "--leave-behind",
        action="append",
        default=[],
        metavar="OBJECT[:MATERIAL]",
        help="lashes, brows or other pieces on the skin that must not follow it; may be repeated",
    )
    setup.add_argument(
        "--no-obstacle",
        action="append",
        default=[],
        metavar="OBJECT[:MATERIAL]",
        help="eyes, teeth or other pieces that lids and lips must not be kept off; may be repeated",
    )
    setup.add_argument(
        "--no-skull-teeth", action="store_true", help="lips are not kept off the teeth of a registered skull"
    )
    setup.add_argument("--neutral-frame", type=int, metavar="N", help="frame with the face at rest and untouched")
    setup.add_argument("--unit-scale", type=_positive, metavar="METRES", help="metres per unit for NePHIM alone")
    for name, what in (("--up", "top of the head"), ("--front", "face")):
        text = f"the scene's axis to which the {what} points, roughly: {', '.join(AXES)} (--up=-X); default: found"
        setup.add_argument(name, choices=AXES, metavar="AXIS", help=text)
    setup.add_argument("-o", "--output", type=Path, metavar="OUT.blend", help="save here instead of FILE.blend")

    cli_import.add_arguments(verbs, _positive)
    cli_compare.add_arguments(verbs)
    cli_fit.add_arguments(verb("fit", cli_fit.TEXT), _positive)
    verb("volume", "Build the tetrahedral volume of the head.")

    simulate = verb("simulate", "Simulate all frames into the point cache, resuming where it was interrupted.")
    simulate.add_argument("--frames", type=_frames, metavar="A-B", help="default: the scene's range")
    simulate.add_argument("--preset", metavar="NAME", help="tissue preset")
    simulate.add_argument("--interaction", metavar="NAME", help="interaction preset: touch, firm_press or pull")
    simulate.add_argument(
        "--mode",
        choices=MODES,
        help="physics: the volume with its history; reduced: the same with less work per frame; network: trained on "
        "the physics, in real time; surface: the skin alone, a baseline for comparison; default: as set in the file",
    )
    hands = simulate.add_mutually_exclusive_group()
    hands.add_argument(
        "--yielding-hands",
        action="store_true",
        default=None,
        help="hands flatten where they press, as skin does (physics only); default: as set in the file",
    )
    hands.add_argument(
        "--rigid-hands", action="store_false", default=None, dest="yielding_hands", help="hands stay as animated"
    )
    simulate.add_argument(
        "--device", metavar="DEVICE", help="PyTorch device for the network, such as cuda; default: without PyTorch"
    )

    bake = verb("bake", "Bake the simulation into the character.")
    bake.add_argument("--to", choices=(SHAPE_KEYS, POINT_CACHE), required=True)
    bake.add_argument(
        "--tolerance", type=_millimetres, metavar="MM", help=f"largest error of the shape keys, default {TOLERANCE_MM}"
    )
    bake.add_argument("--per-frame", action="store_true", help="one shape key per frame instead of a few with weights")
    bake.add_argument(
        "--existing",
        choices=(REPLACE, ADD),
        default=REPLACE,
        help="replace the shape keys of earlier bakes (default), or add a further set beside them; of sets for the "
        "same frames only the newest plays, the others are muted",
    )
    bake.add_argument(
        "--fade",
        type=_count,
        metavar="FRAMES",
        help="frames in which a contact in the first or the last frame fades outside the bake; 0 holds it; default: as "
        "set in the file",
    )

    report = verb("report", "Measure the simulation and the bake.")
    report.add_argument("--json", type=Path, required=True, metavar="PATH")

    correct = verb("correct-pose", "Shift hands out of bone, as little as possible, on a layer beside the animation.")
    correct.add_argument("--remove", action="store_true", help="remove the correction instead")

    cli_network.add_arguments(verb, _positive)
    demo = verbs.add_parser("demo", help="Run the whole workflow on the demo character.")
    demo.add_argument("--out", type=Path, default=Path("build/demo"), metavar="DIR")
    demo.add_argument("--assets", type=Path, metavar="DIR", help="folder that keeps the character's download")
    return parser


def command(arguments: list[str]) -> int:
    """`blender FILE.blend --command nephim …`; FILE may be repeated or left out. Returns the exit code."""
    code, parsed = parse(arguments, file_needed=False)
    return code if parsed is None else run(parsed)


def parse(arguments: Sequence[str], file_needed: bool) -> tuple[int, argparse.Namespace | None]:
    """The exit code, and the arguments if they fit the grammar."""
    try:
        parsed = build_parser(file_needed).parse_args(list(arguments))
        if parsed.verb == "import" and parsed.output is None and parsed.onto is None:
            raise _UsageError("import needs -o OUT.blend, or --onto FILE.blend")
        return EXIT_OK, parsed
    except _UsageError as error:
        print(f"nephim: {error}", file=sys.stderr)
        return EXIT_USAGE, None
    except SystemExit:  # --help has printed
        return EXIT_OK, None


def run(parsed: argparse.Namespace) -> int:
    """Runs the command with the add-on registered. Returns the exit code."""
    try:
        file = parsed.onto if parsed.verb == "import" else getattr(parsed, "file", None)
        if parsed.verb not in ("demo", "import", "compare") or file is not None:
            _open(file)
            _choose(getattr(parsed, "character", None), may_add=parsed.verb == "setup")
        print(_VERBS[parsed.verb](parsed))
        return EXIT_OK
    except NephimError as error:
        print(f"nephim: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("nephim: Interrupted. Finished work is kept; run the same command again to continue.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _open(path: Path | None) -> None:
    import bpy

    if path is None:
        if not bpy.data.filepath:
            raise RigError("No file is open.", advice="Name it: blender FILE.blend --command nephim …")
        return
    path = path.absolute()
    if not path.is_file():
        raise RigError(f"There is no file {path}.", advice="Check the path.")
    if bpy.data.filepath and Path(bpy.data.filepath) == path:
        return
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False)
    except RuntimeError as error:
        raise RigError(
            f"Blender cannot open {path}: {error}", advice="Check that it is a .blend of this version."
        ) from error


def _choose(character: str | None, may_add: bool) -> None:
    if character:
        import bpy

        from .operators.characters import choose

        choose(bpy.context.scene, character, may_add=may_add)


def _setup(parsed: argparse.Namespace) -> str:
    import bpy

    from .operators import setup
    from .operators.save import save_blend

    found = setup.setup(
        bpy.context.scene,
        head=parsed.head,
        left=parsed.left,
        right=parsed.right,
        jaw=parsed.jaw,
        cranium=parsed.cranium,
        head_bone=parsed.head_bone,
        jaw_bone=parsed.jaw_bone,
        neutral_frame=parsed.neutral_frame,
        stiffness=dict(parsed.stiffness),
        unit_scale=parsed.unit_scale,
        up=parsed.up,
        front=parsed.front,
        skull_model=parsed.skull_model and str(parsed.skull_model.absolute()),
        skull=parsed.skull,
        left_behind=parsed.leave_behind,
        no_obstacle=parsed.no_obstacle,
        skull_teeth=not parsed.no_skull_teeth,
    )
    return f"{setup.summary(found, setup.notes(bpy.context.scene))} Saved {save_blend(parsed.output)}."


def _volume(parsed: argparse.Namespace) -> str:
    import bpy

    from .operators import volume

    text = volume.summary(drive(volume.volume_job(bpy.context.scene)))
    return f"{text} {volume.carried(bpy.context.scene)}".rstrip()


def _simulate(parsed: argparse.Namespace) -> str:
    import bpy

    from .operators import simulate
    from .operators.save import save_blend

    changed = simulate.choose(
        bpy.context.scene,
        frames=parsed.frames,
        preset=parsed.preset,
        interaction=parsed.interaction,
        mode=parsed.mode,
        yielding_hands=parsed.yielding_hands,
    )
    if changed:
        save_blend()
    return simulate.summary(drive(simulate.simulate_job(bpy.context.scene, device=parsed.device)))


def _bake(parsed: argparse.Namespace) -> str:
    import bpy

    from .operators import bake
    from .operators.save import save_blend

    job = bake.bake_job(
        bpy.context.scene,
        to=parsed.to,
        tolerance_mm=parsed.tolerance,
        per_frame=parsed.per_frame,
        existing=parsed.existing,
        fade=parsed.fade,
    )
    text = bake.summary(drive(job))
    return f"{text} Saved {save_blend()}."


def _report(parsed: argparse.Namespace) -> str:
    import bpy

    from .operators import report

    return report.table(drive(report.report_to_job(bpy.context.scene, parsed.json.absolute())))


def _correct_pose(parsed: argparse.Namespace) -> str:
    import bpy

    from .operators import correct_pose
    from .operators.save import save_blend

    if parsed.remove:
        sides = correct_pose.remove(bpy.context.scene)
        text = correct_pose.removed(sides)
    else:
        text = correct_pose.summary(drive(correct_pose.correct_pose_job(bpy.context.scene)))
    return f"{text} Saved {save_blend()}."


def _demo(parsed: argparse.Namespace) -> str:
    from .operators import demo

    return drive(demo.demo_job(parsed.out.absolute(), parsed.assets and parsed.assets.absolute()))


_VERBS = {
    "import": cli_import.run,
    "compare": lambda parsed: cli_compare.run(parsed, _open),
    "fit": cli_fit.run,
    "setup": _setup,
    "volume": _volume,
    "simulate": _simulate,
    "bake": _bake,
    "report": _report,
    "correct-pose": _correct_pose,
    "train": cli_network.train,
    "evaluate": cli_network.evaluate,
    "export-network": cli_network.export,
    "demo": _demo,
}
