# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a character of `characters.ROWS` came out right: its skull, what is left of the penetration, what moved."""

import re
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from nephim.bridge.cache.results import ResultReader
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.template import Template
from nephim.sim.volume.parting import touching
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .characters import Row
from .person import TRUTH

_MOVED = 5e-4  # displacement from which skin counts as moved [m]
_NEAR = 0.06  # of the hand: a press moves skin at most a few centimetres around it [m]


@dataclass(frozen=True)
class Similarity:
    """x → scale · rotation x + offset; the rotation may mirror."""

    rotation: NDArray[np.float64]
    scale: float
    offset: NDArray[np.float64]

    @classmethod
    def fit(cls, source: NDArray, target: NDArray) -> "Similarity":
        """Least squares from source to target, (n, 3) each (Umeyama 1991, mirroring allowed)."""
        a, b = source - source.mean(0), target - target.mean(0)
        u, s, vt = np.linalg.svd(b.T @ a)
        rotation, scale = u @ vt, float(s.sum() / (a**2).sum())
        return cls(rotation, scale, target.mean(0) - scale * rotation @ source.mean(0))

    def __call__(self, points: NDArray) -> NDArray[np.float64]:
        return self.scale * points @ self.rotation.T + self.offset


@dataclass(frozen=True)
class Upright:
    """The untouched person's template."""

    template: Template


@dataclass(frozen=True)
class Found:
    """All in the upright person's space [m]: place leads there. skin, hand: (n, 3) and (m, 3) triangles at the deepest
    frame; figures: by name; notes: what was said."""

    place: Similarity
    skin: NDArray[np.float64]
    skin_triangles: NDArray[np.int32]
    hand: NDArray[np.float64]
    hand_triangles: NDArray[np.int32]
    figures: dict[str, float]
    notes: list[str]


def measured(reader: ResultReader, report: dict[str, Any], upright: Upright) -> Found:
    """Reads all frames of a result inside its context."""
    rig, template = reader.rig, Template.load(reader.folder.volume)
    place = Similarity.fit(template.head_vertices, _truth(rig.head)[rig.head.indices])
    far, most, deepest = 0.0, -1.0, None
    for frame in reader.frames:
        read = reader.read(frame)
        moved = place.scale * np.linalg.norm(read.skin - read.tracked.head, axis=1)
        hand = place(read.hand("right"))
        away = cKDTree(hand).query(place(read.tracked.head))[0] > _NEAR
        far = max(far, float(moved[away].max(initial=0.0)))
        if moved.max() > most:
            most, deepest = float(moved.max()), (place(read.skin), hand)
    assert deepest is not None
    penetration = report["penetration_mm"]["after"]["avoidable"]
    figures = {
        "moved_mm": 1e3 * most,
        "far_mm": 1e3 * far,
        "avoidable_p95_mm": penetration["p95"],
        "avoidable_max_mm": penetration["max"],
        "conforming": float(template.conforming),
        **_skull(template, place, upright.template),
        "pierced": float(_pierced(template)),
    }
    if report["shown_error_mm"] is not None:
        figures["shown_error_mm"] = report["shown_error_mm"]
    rounded = {name: round(value, 3) for name, value in figures.items()}
    return Found(place, deepest[0], rig.head.triangles, deepest[1], rig.right.triangles, rounded, report["notes"])


def judged(row: Row, found: Found) -> list[str]:
    """What is not as expected, for people."""
    f, limits = found.figures, row.limits
    checks = [
        (f["moved_mm"] >= limits.least_mm, f"the skin moved by {f['moved_mm']:.2f} mm only"),
        (f["far_mm"] <= 1e3 * _MOVED, f"skin moved by {f['far_mm']:.2f} mm far from the hand"),
        (
            f["avoidable_p95_mm"] <= limits.avoidable[0],
            f"{f['avoidable_p95_mm']:.2f} mm of avoidable penetration (p95)",
        ),
        (
            f["avoidable_max_mm"] <= limits.avoidable[1],
            f"{f['avoidable_max_mm']:.2f} mm of avoidable penetration (max)",
        ),
    ]
    checks.append((f["pierced"] == 0, f"bone meets skin or other bone in {f['pierced']:.0f} places"))
    checks.append((f["depth_mm"] <= limits.depth_mm, f"bone lies {f['depth_mm']:.1f} mm too deep or too shallow"))
    if limits.tilt is not None:
        checks.append((f["tilt"] <= limits.tilt, f"the skull is tilted by {f['tilt']:.0f}°"))
    if limits.skull_mm is not None:
        checks.append((f["skull_mm"] <= limits.skull_mm, f"the skull is {f['skull_mm']:.1f} mm off on average"))
    if row.bake:
        tolerance, shown = bpy.context.scene.nephim.tolerance_mm, f.get("shown_error_mm", np.inf)
        checks.append((shown <= tolerance, f"what is shown is {shown:.2f} mm off the simulation"))
    said = " ".join(found.notes)
    checks += [(re.search(note, said) is not None, f"nothing is said of: {note} (but: {said})") for note in row.notes]
    return [problem for good, problem in checks if not good]


def _skull(template: Template, place: Similarity, upright: Template) -> dict[str, float]:
    """tilt [°]: of the top and the front that were found, the larger one; skull_mm: mean distance of the bones from the
    untouched person's; depth_mm: median difference of the tissue's depth from theirs, on skin that a hand can reach."""
    assert template.axes is not None and upright.axes is not None
    cosine = np.einsum("ij,ij->i", template.axes @ place.rotation.T, upright.axes).min()
    reached = np.flatnonzero(template.outer[: template.n_head])
    same = cKDTree(upright.head_vertices).query(place(template.head_vertices[reached]))[1]
    deeper = place.scale * template.tissue_depth[reached] - upright.tissue_depth[same]
    figures = {
        "tilt": float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
        "skull_mm": np.inf,
        "depth_mm": 1e3 * float(np.median(np.abs(deeper))),
    }
    if len(template.jaw_vertices) and len(template.cranium_vertices):
        off = [
            TriangleTree(v, t).closest(place(own))[0].mean()
            for v, t, own in (
                (upright.jaw_vertices, upright.jaw_triangles, template.jaw_vertices),
                (upright.cranium_vertices, upright.cranium_triangles, template.cranium_vertices),
            )
        ]
        figures["skull_mm"] = 1e3 * float(max(off))
    return figures


def _pierced(template: Template) -> int:
    """In how many places bone meets the skin that a hand can reach, or the other bone."""
    shown = template.skin_triangles[template.outer[template.skin_triangles].all(axis=1)]
    jaw = template.jaw_vertices, template.jaw_triangles
    return touching([(template.skin_vertices, shown), jaw, (template.cranium_vertices, template.cranium_triangles)])


def _truth(head: Any) -> NDArray[np.float64]:
    mesh = bpy.data.objects[head.object_name].data
    values = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.attributes[TRUTH].data.foreach_get("vector", values)
    return values.reshape(-1, 3).astype(np.float64)
