# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-characters`: what people really own. Each row of `characters.ROWS` goes through check, volume, simulation
and report as a user would take it, in a process and a file of its own, and must come out as expected.

Writes a picture of each, sheet.png and characters.json into build/bench-characters/; the last line is a JSON object.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bpy
from nephim import registration
from nephim.bridge.cache.manifest import write_json
from nephim.bridge.cache.results import ResultReader
from nephim.choices import PHYSICS, VOLUMETRIC
from nephim.demo.assets import fetch_character_data
from nephim.errors import NephimError
from nephim.motions.identities import load_identity
from nephim.operators import bake, find, report, setup, simulate, volume
from nephim.operators.save import save_blend
from nephim.progress import drive
from nephim.sim.template import Template

from .character_measures import Found, Upright, judged, measured
from .characters import ROWS, Refusal, Row
from .person import HAND, HEAD, RIG, add_person, make_person

# Coarser than users choose: a volume takes a few seconds, and what is asked here does not depend on it.
_EDGE_MM = 8.0
_TIME_LIMIT = 240.0  # of a character [s]; the slowest takes a quarter of it


def prepare(row: Row, assets: Path, blend: Path) -> Any:
    """The character in a file of its own, with the roles that a user would choose, not yet checked."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)
    person = row.person(make_person(load_identity(assets, row.identity)))
    scene = add_person(person)
    settings = scene.nephim
    settings.target_edge_mm, settings.neutral_frame = _EDGE_MM, scene.frame_start
    row.scene(scene)
    if not row.find:
        settings.head, settings.right = scene.objects[HEAD], scene.objects[HAND]
        if row.bones:
            settings.head_armature = settings.jaw_armature = scene.objects[RIG]
            settings.head_bone, settings.jaw_bone = "head", "jaw"
    save_blend(blend)
    return scene


def carry_out(row: Row, scene: Any, blend: Path, to: str) -> dict[str, Any]:
    """Check, volume, simulation, the bake to `to`, if any, and the report, which is returned. Raises NephimError."""
    if row.find:
        find.find(scene, list(scene.objects))
    setup.checked_rig(scene)
    drive(volume.volume_job(scene), _Quiet())
    drive(simulate.simulate_job(scene), _Quiet())
    if to:
        drive(bake.bake_job(scene, to=to), _Quiet())
    return drive(report.report_to_job(scene, blend.with_suffix(".json")), _Quiet())


def run(row: Row, out: Path, assets: Path, mode: str) -> dict[str, Any]:
    """One character, simulated in a mode: {name, problems, said, …figures}; no problems if all is as expected."""
    blend = out / row.name / "character.blend"
    blend.parent.mkdir(parents=True, exist_ok=True)
    for old in blend.parent.glob("character.nephim/*"):
        old.unlink()
    started, problems, said = time.monotonic(), [], ""
    result: dict[str, Any] = {"name": row.name, "text": row.text}
    try:
        upright = reference(row, out, assets)
        scene = prepare(row, assets, blend)
        scene.nephim.mode = mode
        if row.refusal is not None:
            said, problems = refused(row, row.refusal, scene, blend)
        written = carry_out(row, scene, blend, row.bake[-1] if row.bake else "")
        with ResultReader(scene) as reader:
            found = measured(reader, written, upright)
        problems += judged(row, found)
        result |= found.figures
        _picture(blend, out / f"{row.name}.png", found, result)
    except NephimError as error:
        said = str(error)
        problems.append(f"refused: {error}")
    return result | {"problems": problems, "said": said, "seconds": round(time.monotonic() - started, 1)}


def refused(row: Row, expected: Refusal, scene: Any, blend: Path) -> tuple[str, list[str]]:
    """What was said, and what is wrong with it; the step it names has then been carried out."""
    try:
        carry_out(row, scene, blend, row.bake[0] if row.bake else "")
    except NephimError as error:
        expected.step(scene)
        problems = [] if error.object == expected.object else [f"the refusal names {error.object!r}: {error}"]
        if not re.search(expected.advice, error.advice):
            problems.append(f"the refusal does not say what to do ({expected.advice}): {error}")
        return str(error), problems
    return "", ["was not refused"]


def reference(row: Row, out: Path, assets: Path) -> Upright:
    """The untouched person, whose skull this one's is compared with."""
    path = out / f"{row.identity}.npz"
    if not path.exists():
        plain = Row("reference", "", identity=row.identity)
        scene = prepare(plain, assets, out / row.name / "reference.blend")
        drive(volume.volume_job(scene), _Quiet()).save(path)
    return Upright(Template.load(path))


def _picture(blend: Path, path: Path, found: Found, result: dict[str, Any]) -> None:
    from .character_pictures import picture

    picture(Template.load(blend.with_suffix(".nephim") / "volume.npz"), found, path, result["text"])


class _Quiet:
    """Swallows progress lines."""

    def write(self, _text: str) -> int:
        return 0

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


def in_a_process(row: Row, given: argparse.Namespace) -> dict[str, Any]:
    """`run` in a child: neither a traceback, which is a failure like any other, nor a crash ends the others."""
    target = given.out / f"{row.name}.json"
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.bench_characters", "--one", row.name]
    command += ["--out", str(given.out), "--assets", str(given.assets), "--mode", given.mode]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIME_LIMIT)
        if target.exists():
            return json.loads(target.read_text())
        end = f"ended with code {done.returncode}: {done.stderr.strip()[-2000:]}"
    except subprocess.TimeoutExpired:
        end = f"took longer than {_TIME_LIMIT:.0f} s"
    return {"name": row.name, "text": row.text, "problems": [end], "said": ""}


def line(result: dict[str, Any]) -> str:
    """For the table that is printed."""
    figures = [f"{k} {v:g}" for k, v in result.items() if isinstance(v, int | float)]
    verdict = "FAILED" if result["problems"] else "passed"
    return "\n    ".join([f"{verdict}  {result['name']}: {', '.join(figures)}", *result["problems"]])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench-characters"))
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument("--only", nargs="+", choices=[row.name for row in ROWS], help="some characters")
    parser.add_argument("--mode", choices=VOLUMETRIC, default=PHYSICS, help="how contact is resolved")
    parser.add_argument("--jobs", type=int, default=2, help="characters at once")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    given.out, given.assets = given.out.absolute(), given.assets.absolute()
    given.out.mkdir(parents=True, exist_ok=True)
    drive(fetch_character_data(given.assets))
    if given.one:
        registration.register()
        try:
            row = next(row for row in ROWS if row.name == given.one)
            write_json(given.out / f"{row.name}.json", run(row, given.out, given.assets, given.mode))
        finally:  # the bpy module hangs at the interpreter's exit while Python classes are registered
            registration.unregister()
        return
    from .character_pictures import sheet

    for old in given.out.glob("*.npz"):  # references made by another version of the code
        old.unlink()
    rows = [row for row in ROWS if given.only is None or row.name in given.only]
    results = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for result in pool.map(lambda row: in_a_process(row, given), rows):
            print(line(result), flush=True)
            results.append(result)
    sheet(given.out / "sheet.png", [(given.out / f"{r['name']}.png", r) for r in results])
    write_json(given.out / "characters.json", {"characters": results})
    failed = [result["name"] for result in results if result["problems"]]
    print(json.dumps({"characters": len(results), "passed": len(results) - len(failed), "failed": failed}))


if __name__ == "__main__":
    main()
