# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-interactions`: every scripted interaction by each method, measured, tabulated and pictured.

Writes interactions.json, interactions.md and NAME.png into build/bench/; the last line printed is a JSON object with
the medians over the set.
"""

import argparse
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from nephim.bridge.cache.manifest import write_json
from nephim.demo.assets import fetch_character_data
from nephim.demo.character import Character, load_character
from nephim.errors import CacheError
from nephim.files import atomic_write
from nephim.progress import drive
from nephim.sim import flesh, measure
from nephim.sim.frame import SimulatedFrame, TrackedFrame
from nephim.sim.geometry.surface import Surface
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import Template
from nephim.sim.tuning import DEFAULT, Tuning
from nephim.sim.volume.build import VolumeSettings, build_template, fingerprint
from nephim.threads import one_blas_thread

from .interactions import FACE_EDGE, FRAME_RATE, Face, Interaction, perform
from .meters import Meters, Run, hands_of
from .scripts import SCRIPTS

METHODS = ("tracked", "surface_pbd", "physics")
SHIFT = 2e-5  # [m] of the hands, for the sensitivity: what no camera and no animator can tell


class Tracked:
    """The input itself as a method: nothing is resolved."""

    def __init__(self, template: Template):
        self._refinement = template.refinement

    def step(self, frame: TrackedFrame) -> SimulatedFrame:
        skin = (self._refinement @ frame.head.astype(np.float64)).astype(np.float32)
        return SimulatedFrame(skin, skin, np.zeros(0, np.int32), {})


def available_methods() -> list[str]:
    """The methods there are here, the tracked input first."""
    baseline = importlib.util.find_spec("nephim.sim.surface_pbd") is not None
    return [name for name in METHODS if name != "surface_pbd" or baseline]


def make_method(
    name: str,
    template: Template,
    settings: PhysicsSettings,
    hands: dict[str, Surface],
    tuning: Tuning = DEFAULT,
    *,
    yielding_hands: bool = True,
):
    """What has `step(TrackedFrame)`."""
    if name == "tracked":
        return Tracked(template)
    others = {"left": hands.get("L"), "right": hands.get("R"), "frame_rate": FRAME_RATE}
    if name == "surface_pbd":
        from nephim.sim.surface_pbd import SurfacePBD

        return SurfacePBD(template, settings, **others)
    return Physics(template, settings, tuning=tuning, yielding_hands=yielding_hands, **others)


def hand_surfaces(character: Character, frame: TrackedFrame) -> dict[str, Surface]:
    """The hands that take part, by side."""
    return {
        side: Surface(vertices, character.hands[side].triangles, f"Hand.{side}") for side, vertices in hands_of(frame)
    }


def cached_template(head: Surface, path: Path, edge: float) -> Template:
    """The volume of a head of the demo's, with edges of this length [m], built once."""
    settings = VolumeSettings(target_edge=edge)
    try:
        template = Template.load(path)
        if template.fingerprint == fingerprint([head, None, None], settings):
            return template
    except CacheError:
        pass  # not there yet, or of another version
    template = drive(build_template(head, None, None, settings=settings))
    template.save(path)
    return template


def run(interaction: Interaction, method) -> Run:
    """All frames in order, as the add-on runs them."""
    with one_blas_thread():
        results = [method.step(frame) for frame in interaction.frames]
    frames = [result.resolved(frame) for frame, result in zip(interaction.frames, results, strict=True)]
    yielded = any(r.yielded for r in results)
    return Run(np.stack([r.skin for r in results]), [r.statistics for r in results], frames if yielded else None)


_COLUMNS = (
    ("avoidable penetration p95", lambda r: r["penetration_mm"]["avoidable"]["p95"], "{:.2f}"),
    ("max", lambda r: r["penetration_mm"]["avoidable"]["max"], "{:.2f}"),
    ("bone-limited p95", lambda r: r["penetration_mm"]["bone_limited"]["p95"], "{:.2f}"),
    ("max", lambda r: r["penetration_mm"]["bone_limited"]["max"], "{:.2f}"),
    ("all: mean", lambda r: r["penetration_mm"]["mean"], "{:.2f}"),
    ("volume p1", lambda r: r["volume_ratio_p1"], "{:.2f}"),
    ("volume returned", lambda r: r["volume_returned"], "{:.2f}"),
    ("bulge", lambda r: r["bulge_mm"], "{:.2f}"),
    ("sensitivity", lambda r: r.get("sensitivity_mm"), "{:.2f}"),
    ("inverted", lambda r: r["inverted_tets"], "{:.0f}"),
    ("pops", lambda r: len(r["pops"]), "{:d}"),
    ("flicker", lambda r: r["flicker_mm"], "{:.2f}"),
    ("acceleration / hand", lambda r: r["acceleration_ratio"], "{:.2f}"),
    ("moved", lambda r: r["displacement_max_mm"], "{:.1f}"),
    ("end", lambda r: r["end_mm"], "{:.2f}"),
    ("ms p50", lambda r: r["ms"]["p50"], "{:.0f}"),
    ("p95", lambda r: r["ms"]["p95"], "{:.0f}"),
)


def table(rows: dict[str, dict[str, dict]]) -> str:
    """Markdown: a line per interaction and method, lengths in mm; at the end the medians of each method."""
    head = ["interaction", "method", *(title for title, *_ in _COLUMNS)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, methods in rows.items():
        for method, row in methods.items():
            cells = [_cell(value(row), form) for _, value, form in _COLUMNS]
            lines.append("| " + " | ".join([name, method, *cells]) + " |")
    for method in next(iter(rows.values())):
        values = [[value(methods[method]) for methods in rows.values()] for _, value, _ in _COLUMNS]
        middle = [None if None in column else float(np.median(column)) for column in values]
        cells = [_cell(m, "{:.1f}" if form == "{:d}" else form) for m, (*_, form) in zip(middle, _COLUMNS, strict=True)]
        lines.append("| " + " | ".join(["**median**", method, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def overall(rows: dict[str, dict[str, dict]], template: Template) -> dict:
    """The set in a few numbers per method."""
    result: dict = {"skin_vertices": template.n_skin, "tets": len(template.tets), "cores": os.cpu_count()}
    for method in next(iter(rows.values())):
        mine = [methods[method] for methods in rows.values()]
        avoidable = [row["penetration_mm"]["avoidable"] for row in mine]
        returned = [row["volume_returned"] for row in mine if row["volume_returned"] is not None]
        volume = [row["volume_ratio_p1"] for row in mine if row["volume_ratio_p1"] is not None]
        result[method] = {
            "avoidable_mm": {
                "p95_median": float(np.median([a["p95"] for a in avoidable])),
                "max": max(a["max"] for a in avoidable),
            },
            "pops": sum(len(row["pops"]) for row in mine),
            "inverted_tets": max((row["inverted_tets"] or 0 for row in mine), default=0),
            "volume_ratio_p1": min(volume, default=None),
            "volume_returned": {"median": _middle(returned), "least": min(returned, default=None)},
            "sensitivity_mm": max((row["sensitivity_mm"] for row in mine if "sensitivity_mm" in row), default=None),
            "end_mm": max(row["end_mm"] for row in mine),
            "ms_p50_median": float(np.median([row["ms"]["p50"] for row in mine])),
            "pulls": pulls(mine),
        }
    return result


def _middle(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def shifted(interaction: Interaction, offset: float = SHIFT) -> Interaction:
    """The same motion with the hands moved by `offset` [m]."""
    by = np.float32(offset / np.sqrt(3))
    frames = [
        replace(
            frame,
            left=None if frame.left is None else frame.left + by,
            right=None if frame.right is None else frame.right + by,
        )
        for frame in interaction.frames
    ]
    return replace(interaction, frames=frames)


def pulls(rows: Sequence[dict]) -> dict:
    """How many of the scripted pulls were found, how many pushes were taken for pulls, and how long after the pads
    opened [ms] the latest release came; None where none was found."""
    late = []
    for row in rows:
        if row["held_expected"] and row["held"]:
            late.append(1000 / FRAME_RATE * (max(row["held"]) + 1 - row["held_expected"][1]))
    return {
        "expected": sum(row["held_expected"] is not None for row in rows),
        "found": len(late),
        "false": sum(bool(row["held"]) and row["held_expected"] is None for row in rows),
        "release_ms": max(late, default=None),
    }


def write(folder: Path, rows: dict[str, dict[str, dict]], template: Template) -> None:
    """interactions.json and interactions.md."""
    write_json(folder / "interactions.json", {"summary": overall(rows, template), "interactions": rows})
    with atomic_write(folder / "interactions.md", "The table could not be written", "Free disk space.") as stream:
        stream.write(table(rows).encode())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument(
        "--only", nargs="+", choices=[s.name for s in SCRIPTS], metavar="NAME", help="some interactions"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS[1:], help="default: all there are")
    parser.add_argument("--preset", default="default", help="tissue preset")
    parser.add_argument("--interaction", default="touch", help="interaction preset of what pushes; pulls take `pull`")
    parser.add_argument("--rigid-hands", action="store_true", help="whose flesh does not yield")
    parser.add_argument("--no-pictures", action="store_true")
    parser.add_argument(
        "--tune",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="of sim/tuning.py, as step.follow 2",
    )
    given = parser.parse_args(arguments)

    tuning = DEFAULT
    for name, value in given.tune:
        try:
            tuning = tuning.changed(name, float(value))
        except ValueError as error:
            parser.error(str(error))

    character = load_character(drive(fetch_character_data(given.assets)))
    face = Face(character)
    template = cached_template(face.surface, given.out / "template.npz", FACE_EDGE)
    methods = [m for m in available_methods() if m == "tracked" or not given.methods or m in given.methods]
    studio = None
    if not given.no_pictures:
        from .strips import Studio  # needs the bpy module for lettering

        studio = Studio(character, template.skin_vertices, template.skin_triangles)
    rigid = {"yielding_hands": not given.rigid_hands}
    rows: dict[str, dict[str, dict]] = {}
    for script in SCRIPTS:
        if given.only and script.name not in given.only:
            continue
        settings = PhysicsSettings.load(given.preset, "pull" if script.held else given.interaction)
        meters = Meters(template, settings, character)
        interaction = perform(script, character, face)
        hands = hand_surfaces(character, interaction.frames[0])
        runs = {
            name: run(interaction, make_method(name, template, settings, hands, tuning, **rigid)) for name in methods
        }
        tracked = runs["tracked"].skins
        before = meters.depths(interaction, tracked)
        rows[script.name] = {name: meters.measure(interaction, tracked, before, r) for name, r in runs.items()}
        if "physics" in runs:
            other = run(shifted(interaction), make_method("physics", template, settings, hands, tuning, **rigid))
            difference = flesh.sensitivity(runs["physics"].skins, other.skins, tracked)
            rows[script.name]["physics"]["sensitivity_mm"] = measure.MM * difference
        line = rows[script.name][methods[-1]]
        avoidable = line["penetration_mm"]["avoidable"]
        print(
            f"{script.name:15s} {methods[-1]}: avoidable p95 {avoidable['p95']:.2f} max {avoidable['max']:.2f} mm, "
            f"{line['ms']['p50']:.0f} ms, pops {line['pops']}",
            flush=True,
        )
        if studio is not None:
            skins = {name: r.skins for name, r in runs.items()}
            title = f"{script.name.replace('_', ' ')}: {script.text}"
            line["pictured"] = studio.strip(
                given.out / f"{script.name}.png",
                title,
                interaction.frames,
                skins,
                methods[-1],
                {name: r.frames for name, r in runs.items() if r.frames},
            )
        write(given.out, rows, template)  # after each, so that an interrupted run leaves what it has
    print(table(rows))
    print(json.dumps(overall(rows, template)))


if __name__ == "__main__":
    main()
