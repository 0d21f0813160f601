# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-sim`: what a frame of the physics costs and how good it is, against the surface-only baseline and
Blender's cloth and soft body on the same scene in the same run.

The scene is the interaction `face_rub`: both hands rub down the face. Writes sim.json and sim.md into build/bench-sim/;
the last line printed is a JSON object whose keys docs/measures.md explains.
"""

import argparse
import cProfile
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nephim.bridge.cache.manifest import write_json
from nephim.demo.assets import fetch_character_data
from nephim.demo.character import Character, load_character
from nephim.files import atomic_write
from nephim.progress import drive
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import TISSUE, Template
from numpy.typing import NDArray

from .bench_interactions import FRAME_RATE, hand_surfaces, make_method, run
from .blender_cloth import BlenderScene
from .convergence import Recorder, compare
from .interactions import Face, Interaction, perform, with_head
from .loaded import loaded, summary
from .meters import Meters, Run
from .resolutions import MIDDLE, RESOLUTIONS, head_template
from .scripts import SCRIPTS
from .stages import files, stages
from .tunnelling import tunnelled

SCRIPT = "face_rub"
BLENDER = {"blender_cloth": "CLOTH", "blender_softbody": "SOFT_BODY"}
_BEFORE, _AFTER = 3, 6  # frames played before the first contact and after the last
_CONVERGENCE_FRAMES = 3  # of those in contact; Newton's method takes a minute for one


class Bench:
    """One resolution of the head in the fixed scene."""

    def __init__(self, character: Character, template: Template, interaction: Interaction, folder: Path):
        self.template, self.folder = template, folder
        self.settings = PhysicsSettings.load("default", "touch")
        interaction = with_head(interaction, template)
        frames = interaction.frames
        self.hands = hand_surfaces(character, frames[0])
        self.hand_triangles = {side: hand.triangles for side, hand in self.hands.items()}
        self.meters = Meters(template, self.settings, character)
        self.interaction = interaction
        self.tracked = self.play("tracked").skins
        self.before = self.meters.depths(self.interaction, self.tracked)
        # Frames in which the tracked hands touch: the others cost next to nothing and would flatter the physics.
        touching = [k for k, found in enumerate(self.before) if any(p.gap == 0 for p in found)]
        first, end = max(touching[0] - _BEFORE, 0), touching[-1] + 1 + _AFTER
        self.touching = [k - first for k in touching]
        self.tracked, self.before = self.tracked[first:end], self.before[first:end]
        self.interaction = dataclasses.replace(interaction, frames=frames[first:end])

    def play(self, method: str) -> Run:
        return run(self.interaction, make_method(method, self.template, self.settings, self.hands))

    def timed(self, method: str) -> Run:
        """Played once for nothing up to the first contacts, so that compiling is not measured."""
        warm = dataclasses.replace(self.interaction, frames=self.interaction.frames[: self.touching[2]])
        run(warm, make_method(method, self.template, self.settings, self.hands))
        return self.play(method)

    def row(self, result: Run) -> dict[str, Any]:
        return self.meters.measure(self.interaction, self.tracked, self.before, result)

    def tunnelled(self, skins: NDArray) -> int:
        depths = self.meters.depths(self.interaction, skins)
        total = 0
        for frame, skin, found in zip(self.interaction.frames, skins, depths, strict=True):
            hands = {"L": frame.left, "R": frame.right}
            pairs = [(hands[side], triangles) for side, triangles in self.hand_triangles.items()]
            total += tunnelled(skin, self.template.skin_triangles, pairs, found)
        return total

    def profiled(self) -> dict[str, float]:
        """Mean time [ms] that the physics spends in each file, over the frames in which hands touch."""
        method = make_method("physics", self.template, self.settings, self.hands)
        profile = cProfile.Profile()
        for k, frame in enumerate(self.interaction.frames):
            if k in self.touching:
                profile.enable()
            method.step(frame)
            profile.disable()
        return {name: 1000 * seconds / len(self.touching) for name, seconds in files(profile).items()}

    def error(self) -> dict[str, float]:
        """Largest p95 and largest distance [mm] from the converged reference, of some frames in contact."""
        left, right = self.hands.get("L"), self.hands.get("R")
        method = Recorder(self.template, self.settings, left=left, right=right, frame_rate=FRAME_RATE)
        chosen = np.linspace(0, len(self.touching) - 1, _CONVERGENCE_FRAMES + 2)[1:-1].round().astype(int)
        wanted = {self.touching[k] for k in chosen}
        found = []
        for k, frame in enumerate(self.interaction.frames[: max(wanted) + 1]):
            method.step(frame)
            if k in wanted:
                found.append(compare(method)[0])
                print(f"frame {k}: {found[-1]['p95_mm']:.3f} mm p95 from the converged reference", flush=True)
        return {"p95": max(f["p95_mm"] for f in found), "max": max(f["max_mm"] for f in found)}

    def blender(self) -> tuple[dict[str, Run], float]:
        """Blender's own simulations, and the mean time [ms] to write a result into a shape key."""
        runs = {}
        for name, kind in BLENDER.items():
            # A new scene takes the place of the one before.
            scene = BlenderScene(
                kind, self.template, self.tracked[0], self.interaction.frames, self.hand_triangles, self.folder
            )
            runs[name] = scene.run()
        return runs, float(np.mean([scene.write(self.tracked[k]) for k in self.touching]))


def spread(row: dict[str, Any]) -> dict[str, float]:
    """Mean, p95 and max of the avoidable penetration [mm] of a row."""
    return {name: row["penetration_mm"]["avoidable"][name] for name in ("mean", "p95", "max")}


def measure(bench: Bench) -> tuple[dict[str, Any], dict[str, Run], dict[str, float]]:
    """The figures of one resolution, the results behind them, and the physics' time by file [ms]."""
    runs = {name: bench.timed(name) for name in ("physics", "surface_pbd")}
    by_file = bench.profiled()
    others, write = bench.blender()
    runs |= others
    rows = {name: bench.row(result) for name, result in runs.items()}
    statistics = [runs["physics"].statistics[k] for k in bench.touching]
    times = np.array([s["ms"] for s in statistics])
    ratios = {name: np.array([s[f"volume_ratio_{name}"] for s in statistics]) for name in ("p1", "p50", "p99")}
    physics = rows["physics"]
    staged = stages(by_file)
    figures = {
        "skin_vertices": bench.template.n_skin,
        "tets": int((bench.template.tet_region == TISSUE).sum()),
        "iterations": physics["iterations"],
        "fps": 1000 / (times.mean() + write),
        "ms": {
            "frame_p50": float(np.percentile(times, 50)),
            "frame_p95": float(np.percentile(times, 95)),
            **{name: staged[name] for name in ("contact", "local", "solve")},
            "write": write,
        },
        "error_mm": None,
        "penetration_mm": spread(physics),
        "tunnelled": bench.tunnelled(runs["physics"].skins),
        "pops": len(physics["pops"]),
        "inverted_tets": physics["inverted_tets"],
        "volume_ratio": {
            "p1": ratios["p1"].min(),
            "p50": float(np.median(ratios["p50"])),
            "p99": ratios["p99"].max(),
        },
    }
    for name in ("surface_pbd", *BLENDER):
        figures[f"{name}_ms"] = rows[name]["ms"]["p50"]
        figures[f"{name}_penetration_mm"] = spread(rows[name])
    return figures, runs, by_file


_COLUMNS = (
    ("skin", lambda f: f["skin_vertices"], "{:d}"),
    ("tets", lambda f: f["tets"], "{:d}"),
    ("iterations", lambda f: f["iterations"], "{:.1f}"),
    ("fps", lambda f: f["fps"], "{:.2f}"),
    ("ms p50", lambda f: f["ms"]["frame_p50"], "{:.0f}"),
    ("p95", lambda f: f["ms"]["frame_p95"], "{:.0f}"),
    ("contact", lambda f: f["ms"]["contact"], "{:.0f}"),
    ("local", lambda f: f["ms"]["local"], "{:.0f}"),
    ("solve", lambda f: f["ms"]["solve"], "{:.0f}"),
    ("write", lambda f: f["ms"]["write"], "{:.1f}"),
    ("penetration p95", lambda f: f["penetration_mm"]["p95"], "{:.2f}"),
    ("volume p1", lambda f: f["volume_ratio"]["p1"], "{:.2f}"),
    *(
        column
        for name, short in (("surface_pbd", "PBD"), ("blender_cloth", "cloth"), ("blender_softbody", "soft body"))
        for column in (
            (f"{short} ms", lambda f, name=name: f[f"{name}_ms"], "{:.0f}"),
            ("penetration p95", lambda f, name=name: f[f"{name}_penetration_mm"]["p95"], "{:.2f}"),
        )
    ),
)


def scaling_table(figures: dict[str, dict[str, Any]]) -> str:
    """Markdown: a line per resolution."""
    lines = ["| head | " + " | ".join(title for title, *_ in _COLUMNS) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for name, found in figures.items():
        cells = [form.format(value(found)) for _, value, form in _COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def files_table(by_file: dict[str, float]) -> str:
    """Markdown: the files of sim/ in which the physics spends a hundredth of its time or more."""
    total = sum(by_file.values())
    lines = ["| file | ms a frame | share |", "|---|---|---|"]
    for name, ms in sorted(by_file.items(), key=lambda item: -item[1]):
        if ms >= 0.01 * total:
            lines.append(f"| {name} | {ms:.1f} | {ms / total:.0%} |")
    return "\n".join(lines) + "\n"


def write(folder: Path, figures: dict[str, dict[str, Any]], by_file: dict[str, dict[str, float]]) -> str:
    """sim.json and sim.md; returns the latter."""
    first = next(iter(figures))
    ordered = dict(sorted(figures.items(), key=lambda item: item[1]["skin_vertices"]))
    text = f"{machine()}\n\n{scaling_table(ordered)}\nThe physics at {first}:\n\n{files_table(by_file[first])}"
    write_json(folder / "sim.json", {"machine": machine(), "resolutions": ordered, "files_ms": by_file})
    with atomic_write(folder / "sim.md", "The table could not be written", "Free disk space.") as stream:
        stream.write(text.encode())
    return text


def machine() -> str:
    """What it ran on."""
    import bpy

    return (
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, numpy {np.__version__}, "
        f"Blender {bpy.app.version_string}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench-sim"))
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument("--only", choices=RESOLUTIONS, help="one resolution; no scaling")
    parser.add_argument("--no-error", action="store_true", help="leave the converged reference out")
    parser.add_argument("--no-pictures", action="store_true")
    given = parser.parse_args(arguments)

    character = load_character(drive(fetch_character_data(given.assets)))
    script = next(s for s in SCRIPTS if s.name == SCRIPT)
    face = Face(character)
    interaction = perform(script, character, face)
    main_resolution = given.only or MIDDLE.name
    figures: dict[str, dict[str, Any]] = {}
    by_file: dict[str, dict[str, float]] = {}
    # The one that counts comes first, and everything is written as soon as it is there: the finest takes long.
    for name in dict.fromkeys([main_resolution] if given.only else [main_resolution, *RESOLUTIONS]):
        bench = Bench(character, head_template(character, RESOLUTIONS[name], given.out), interaction, given.out)
        figures[name], runs, by_file[name] = measure(bench)
        write(given.out, figures, by_file)
        print(f"{name}: {json.dumps(figures[name])}", flush=True)
        if name != main_resolution:
            continue
        figures[name]["loaded"] = loaded(character, face, bench.template)
        print(summary(figures[name]["loaded"]), flush=True)
        if not given.no_pictures:
            from .strips import Studio

            skins = {"tracked": bench.tracked, **{method: result.skins for method, result in runs.items()}}
            studio = Studio(character, bench.template.skin_vertices, bench.template.skin_triangles)
            studio.strip(given.out / "sim.png", script.text, bench.interaction.frames, skins, "physics")
        if not given.no_error:
            figures[name]["error_mm"] = bench.error()
    print(write(given.out, figures, by_file))
    print(json.dumps(figures[main_resolution]))


if __name__ == "__main__":
    main()
