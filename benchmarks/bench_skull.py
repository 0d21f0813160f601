# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-skull`: how well jaw and cranium are found for heads that were not in the fit.

Each kind of people is left out in turn; the linear model is fitted to the others. Writes skull.json and skull.md into
build/bench/; the last line printed is a JSON object. What the skulls are compared with: see `skull_pairs`. With
`--pairs FOLDER` (`make bench-skull PAIRS="FOLDER …"`), skulls are compared with real ones instead: see `skull_real`.
"""

import argparse
import json
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from nephim.bridge.cache.manifest import write_json
from nephim.files import atomic_write
from nephim.progress import drive
from nephim.sim.geometry.solid_angle import winding_number
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.topology import fan_caps
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.geometry.warp import Warp, carried_volume, folded
from nephim.sim.template import Template
from nephim.sim.volume.axes import find_axes
from nephim.sim.volume.build import VolumeSettings, build_template
from nephim.sim.volume.landmarks import find_landmarks
from nephim.sim.volume.regions import openness, visible
from nephim.sim.volume.skull import MIN_TISSUE, Skull, place_skull
from nephim.sim.volume.skull_model import SkullModel
from numpy.typing import NDArray

from . import skull_real
from .skull_pairs import GENDERS, RACES, Pairs, build_pairs

METHODS = ("tissue thickness", "warp of the mean", "linear model", "linear model and warp")
_SHALLOW = 0.03  # [m] skin over deeper bone, as at the neck, says nothing about placement
_MOUTH = 0.040  # [m] around the middle of the lips, for an adult head
_MM = 1000.0


class Person:
    """One head that was left out, with the skull it is judged by."""

    def __init__(self, pairs: Pairs, index: int):
        self.head, self.triangles = pairs.heads[index], pairs.head_triangles
        self.truth = Skull(pairs.jaws[index], pairs.jaw_triangles, pairs.craniums[index], pairs.cranium_triangles)
        self.closed = np.concatenate([self.triangles, fan_caps(self.triangles)])
        seen = visible(openness(self.head, self.triangles), self.triangles)
        self.outer = np.zeros(len(self.closed), bool)
        self.outer[: len(self.triangles)] = seen[self.triangles].all(axis=1)
        axes = find_axes(self.head, self.triangles)
        self.landmarks = find_landmarks(self.head, self.triangles, axes.up, axes.front)
        local = self.landmarks.frame.into(self.head)
        face = seen & (local[:, 1] > self.landmarks.points["menton"][1])
        # In front of the teeth, which are no bone of the volume, depth comes from the table whatever the skull.
        face &= np.linalg.norm(local - self.landmarks.points["stomion"], axis=1) > _MOUTH * self.landmarks.scale
        self.depth = depth_to(self.truth, self.head)
        self.skin = np.flatnonzero(face & (self.depth < _SHALLOW))
        shown = self.closed[self.outer]
        self.shell = TriangleTree(self.head, np.concatenate([shown, fan_caps(shown)]))

    @cached_property
    def placed(self) -> Skull:
        """By tissue thickness."""
        return place_skull(self.head, self.closed, self.outer, self.landmarks)

    def judge(self, skull: Skull) -> dict[str, float]:
        """Errors in mm: of the tissue's depth under the skin, of bone vertices where they correspond, and the share of
        bone vertices outside the visible skin or closer to it than tissue may be thin."""
        depth = _MM * np.abs(depth_to(skull, self.head)[self.skin] - self.depth[self.skin])
        bones = np.concatenate([skull.jaw_vertices, skull.cranium_vertices])
        bare = (winding_number(self.shell, bones) < 0.5) | (self.shell.closest(bones)[0] < MIN_TISSUE)
        errors = {"depth_mean": depth.mean(), "depth_p95": np.percentile(depth, 95), "bare_percent": 100 * bare.mean()}
        true = np.concatenate([self.truth.jaw_vertices, self.truth.cranium_vertices])
        if bones.shape == true.shape:
            moved = _MM * np.linalg.norm(bones - true, axis=1)
            errors |= {"vertex_mean": moved.mean(), "vertex_p95": np.percentile(moved, 95)}
        return {name: float(value) for name, value in errors.items()}


def depth_to(skull: Skull, points: NDArray) -> NDArray[np.float64]:
    """Distance (k,) [m] of points (k, 3) to the nearer bone."""
    bones = [(skull.jaw_vertices, skull.jaw_triangles), (skull.cranium_vertices, skull.cranium_triangles)]
    return np.min([TriangleTree(v, t).closest(points)[0] for v, t in bones if len(t)], axis=0)


def fit(pairs: Pairs, which: NDArray[np.bool_]) -> SkullModel:
    """The model of some of the people (e,)."""
    return SkullModel.fit(
        pairs.heads[which], pairs.jaws[which], pairs.craniums[which],
        pairs.head_triangles, pairs.jaw_triangles, pairs.cranium_triangles,
    )  # fmt: skip


def warped_mean(model: SkullModel, head: NDArray) -> Skull:
    """The model's mean skull, carried from its mean head to another one by the warp alone."""
    bones = Warp(model.head_mean, head)(model.bone_mean)
    return Skull(bones[: model.jaw_count], model.jaw_triangles, bones[model.jaw_count :], model.cranium_triangles)


def held_out(pairs: Pairs, people: dict[int, Person], groups: Sequence[str], part: int) -> dict[str, dict[str, float]]:
    """Mean errors of each method over the people (by index) whose group was left out of the fit.

    groups: values of that part of a name, each left out in turn.
    """
    results: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for group in groups:
        out = np.array([name[part] == group for name in pairs.names])
        model = fit(pairs, ~out)
        for person in (person for index, person in people.items() if out[index]):
            skulls = (
                person.placed,
                warped_mean(model, person.head),
                model.predict(person.head, person.triangles, warp=False),
                model.predict(person.head, person.triangles),
            )
            for method, skull in zip(METHODS, skulls, strict=True):
                results[method].append(person.judge(skull))
    return {
        method: {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        for method, rows in results.items()
    }


def volume_of(pairs: Pairs, index: int, model: SkullModel) -> Template:
    """The volume of one person with the model's skull."""
    skull = model.predict(pairs.heads[index], pairs.head_triangles)
    head = Surface(pairs.heads[index], pairs.head_triangles, "-".join(pairs.names[index]))
    jaw = Surface(skull.jaw_vertices, skull.jaw_triangles, "jaw")
    cranium = Surface(skull.cranium_vertices, skull.cranium_triangles, "cranium")
    return drive(build_template(head, jaw, cranium, settings=VolumeSettings()))


def carried(pairs: Pairs, model: SkullModel, first: int, others: Sequence[int]) -> dict[str, float]:
    """One person's volume taken to others by the warp: how many tetrahedra fold, and how long it takes."""
    template = volume_of(pairs, first, model)
    skin = np.arange(template.n_skin)
    bone = np.flatnonzero(template.vertex_region > 0)
    shares, seconds = [], []
    here = model.predict(pairs.heads[first], pairs.head_triangles)
    source = np.concatenate([pairs.heads[first], here.jaw_vertices, here.cranium_vertices])
    for index in others:
        began = time.perf_counter()
        there = model.predict(pairs.heads[index], pairs.head_triangles)
        target = np.concatenate([pairs.heads[index], there.jaw_vertices, there.cranium_vertices])
        bones = Warp(source, target)(template.vertices[bone])
        goal = np.concatenate([template.refinement @ pairs.heads[index], bones])
        vertices = carried_volume(template.vertices, np.concatenate([skin, bone]), goal)
        shares.append(len(folded(vertices, template.tets)) / len(template.tets))
        seconds.append(time.perf_counter() - began)
    return {
        "tets": len(template.tets),
        "conforming": template.conforming,
        "people": len(others),
        "folded_percent_mean": 100 * float(np.mean(shares)),
        "folded_percent_max": 100 * float(np.max(shares)),
        "seconds": float(np.median(seconds)),
    }


def table(title: str, rows: dict[str, dict[str, float]]) -> str:
    """One table in Markdown, lengths in mm."""
    columns = ("depth_mean", "depth_p95", "vertex_mean", "vertex_p95", "bare_percent")
    head = ["tissue depth, mean", "p95", "bone vertices, mean", "p95", "pierces or thin, %"]
    lines = [f"## {title}", "", "| method | " + " | ".join(head) + " |", "|" + "---|" * (len(head) + 1)]
    for method, row in rows.items():
        lines.append(f"| {method} | " + " | ".join(f"{row[c]:.2f}" if c in row else "–" for c in columns) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument(
        "--pairs", type=Path, action="append", metavar="FOLDER", help="real skin with its bones, see skull_real.py"
    )
    parsed = parser.parse_args(arguments)
    if parsed.pairs:
        return _real(parsed.pairs, parsed.out)
    pairs = build_pairs(parsed.assets)
    people = {k: Person(pairs, k) for k, name in enumerate(pairs.names) if name[3] == "averageweight"}
    race, gender = held_out(pairs, people, RACES, 0), held_out(pairs, people, GENDERS, 1)
    known = np.array([name[0] != "asian" for name in pairs.names])
    typical = pairs.names.index(("caucasian", "female", "young", "averageweight"))
    volume = carried(pairs, fit(pairs, known), typical, [k for k in people if not known[k]])
    result = {"people": len(pairs.names), "race_left_out": race, "gender_left_out": gender, "carried_volume": volume}
    parsed.out.mkdir(parents=True, exist_ok=True)
    write_json(parsed.out / "skull.json", result)
    text = table("A race left out", race) + "\n" + table("A gender left out", gender)
    with atomic_write(parsed.out / "skull.md", "skull.md could not be written", "Free disk space.") as stream:
        stream.write(text.encode())
    print(text)
    print(json.dumps(result))
    return 0


def _real(folders: Sequence[Path], out: Path) -> int:
    """Skulls under real skin alone: skull-real.json and skull-real.md."""
    result = {folder.name: skull_real.compare(folder) for folder in folders}
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "skull-real.json", result)
    text = "\n".join(skull_real.table(Path(name), rows) for name, rows in result.items())
    with atomic_write(out / "skull-real.md", "skull-real.md could not be written", "Free disk space.") as stream:
        stream.write(text.encode())
    print(text)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
