# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-skull PAIRS=FOLDER`: how far a found skull lies from a real one, under the skin that belongs to it.

The folder holds surfaces as npz with `vertices` (n, 3) [m], z up, and `faces` (m, 3). One is the skin: `skin….npz`, a
closed head that may be cut off below, or `face….npz`, a closed block of flesh with the face outside. Names with "jaw"
or "mandible" are jaws, all others craniums. Such data are judged by and never fitted to,
though the tolerance of tissue depths was chosen with figures of two such heads in view (docs/physics.md).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nephim.errors import NephimError, VolumeError
from nephim.files import read_arrays
from nephim.sim.geometry.solid_angle import winding_number
from nephim.sim.geometry.surface import Surface, triangle_normals, vertex_normals
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.volume.landmarks import Landmarks, find_landmarks
from nephim.sim.volume.regions import openness, visible
from nephim.sim.volume.registered_skull import RegisteredSkull, register_skull
from nephim.sim.volume.registration import similarity, transformed
from nephim.sim.volume.skull import place_skull
from nephim.sim.volume.template_head import load_template_head
from numpy.typing import NDArray

_FRONTS = np.array([(1.0, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)])
_CUT = 0.002  # [m] a head that is cut off below has no skin this close to its lowest point
_OUTWARDS = 0.2  # least cosine between a face block's skin and the direction from the middle of the head
_REACH = 0.035  # [m] bone that has no skin over it within this distance is not visible
_LIFT = 1e-4  # [m] of rays off the bone
_ALIGNING = 40  # rounds of the best similarity
_MM = 1000.0


@dataclass(frozen=True)
class RealHead:
    """skin: closed; shown: (m, 3) the triangles of its real skin; bones: by name; seen: by name, which vertices are
    visible; landmarks: with the right front."""

    skin: Surface
    shown: NDArray[np.int32]
    bones: dict[str, Surface]
    seen: dict[str, NDArray[np.bool_]]
    landmarks: Landmarks


def is_jaw(name: str) -> bool:
    return "jaw" in name or "mandible" in name


def read_head(folder: Path) -> tuple[RealHead, RegisteredSkull]:
    """The head and its registered skull: of four fronts, the one in which the template fits best.

    Raises NephimError for a folder without skin or bones.
    """
    surfaces = {path.stem: _surface(path) for path in sorted(Path(folder).glob("*.npz"))}
    skins = [name for name in surfaces if name.startswith(("skin", "face"))]
    if len(skins) != 1 or len(surfaces) < 2:
        raise NephimError(f"{folder} does not hold one skin and at least one bone.", advice="See skull_real.py.")
    skin = surfaces.pop(skins[0])
    best, misfit = None, np.inf
    for front in _FRONTS:
        try:
            landmarks = find_landmarks(skin.vertices, skin.triangles, (0, 0, 1), front, skin.name)
            shown = _shown(skin, landmarks)
            found = register_skull(skin.vertices, shown, landmarks)
        except VolumeError:  # no profile of a face from there
            continue
        if not found.doubt and found.misfit < misfit:
            best, misfit = (landmarks, shown, found), found.misfit
    if best is None:
        raise NephimError(f"No skull could be registered to the skin in {folder}.")
    landmarks, shown, found = best
    return RealHead(skin, shown, surfaces, _seen(surfaces, skin, shown), landmarks), found


def judge(head: RealHead, jaw: Surface, cranium: Surface) -> dict[str, dict[str, float]]:
    """For each bone the distance in mm of its visible surface from the found one: mean, p95, and signed mean, which is
    positive where the found bone lies too deep."""
    result = {}
    for name, bone in head.bones.items():
        points = bone.vertices[head.seen[name]]
        found = jaw if is_jaw(name) else cranium
        if not len(points) or not len(found.triangles):
            continue
        tree = TriangleTree(found.vertices, found.triangles)
        distance = _MM * tree.closest(points)[0]
        deep = np.where(winding_number(tree, points) > 0.5, -1, 1)
        result[name] = {
            "mean": float(distance.mean()),
            "p95": float(np.percentile(distance, 95)),
            "signed": float((deep * distance).mean()),
        }
    return result


def compare(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """method → bone → errors of one folder."""
    head, found = read_head(folder)
    raw = register_skull(head.skin.vertices, head.shown, head.landmarks, tolerated=np.inf)
    strict = register_skull(head.skin.vertices, head.shown, head.landmarks, tolerated=0.0)
    result = {
        "registered": judge(head, found.jaw, found.cranium),
        "depths not corrected": judge(head, raw.jaw, raw.cranium),
        "depths exactly as usual": judge(head, strict.jaw, strict.cranium),
        "template's skull, best similarity": judge(head, *_best_similarity(head)),
    }
    if head.skin.name.startswith("skin"):  # in a block of flesh, bone has no room
        outer = np.zeros(len(head.skin.triangles), bool)
        outer[
            visible(openness(head.skin.vertices, head.skin.triangles), head.skin.triangles)[head.skin.triangles].all(1)
        ] = True
        placed = place_skull(head.skin.vertices, head.skin.triangles, outer, head.landmarks)
        result["tissue thickness"] = judge(
            head,
            Surface(placed.jaw_vertices, placed.jaw_triangles),
            Surface(placed.cranium_vertices, placed.cranium_triangles),
        )
    return result


def table(folder: Path, result: dict[str, dict[str, dict[str, float]]]) -> str:
    """One table in Markdown, lengths in mm."""
    bones = list(next(iter(result.values())))
    lines = [f"## Real bone in {Path(folder).name}: mean / p95 / signed, mm", ""]
    lines += ["| skull | " + " | ".join(bones) + " |", "|" + "---|" * (len(bones) + 1)]
    for method, row in result.items():
        cells = [" / ".join(f"{row[b][k]:.2f}" for k in ("mean", "p95", "signed")) if b in row else "–" for b in bones]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _surface(path: Path) -> Surface:
    stored = read_arrays(path)
    return Surface(stored["vertices"].astype(np.float64), stored["faces"].astype(np.int32), path.stem)


def _shown(skin: Surface, landmarks: Landmarks) -> NDArray[np.int32]:
    """The triangles that are real skin: not cavities, cuts, or the inside of a block."""
    local = landmarks.frame.into(skin.vertices)
    seen = visible(openness(local, skin.triangles), skin.triangles)[skin.triangles].all(axis=1)
    if skin.name.startswith("face"):
        middle = np.array([0.0, local[:, 1].mean(), local[:, 2].min()])
        away = local[skin.triangles].mean(axis=1) - middle
        normals = triangle_normals(local, skin.triangles)
        cosine = (away * normals).sum(1) / (np.linalg.norm(away, axis=1) * np.linalg.norm(normals, axis=1) + 1e-15)
        return skin.triangles[seen & (cosine > _OUTWARDS)]
    return skin.triangles[seen & (local[skin.triangles, 1].max(axis=1) > local[:, 1].min() + _CUT)]


def _seen(bones: dict[str, Surface], skin: Surface, shown: NDArray) -> dict[str, NDArray[np.bool_]]:
    """Which vertices of each bone lie open, with skin over them."""
    vertices = np.concatenate([bone.vertices for bone in bones.values()])
    starts = np.cumsum([0] + [len(bone.vertices) for bone in bones.values()])
    triangles = np.concatenate([bone.triangles + k for bone, k in zip(bones.values(), starts, strict=False)])
    normals = vertex_normals(vertices, triangles)
    over = TriangleTree(skin.vertices, shown).hit(vertices + _LIFT * normals, normals) < _REACH
    seen = visible(openness(vertices, triangles), triangles) & over
    return {name: seen[a:b] for name, a, b in zip(bones, starts, starts[1:], strict=False)}


def _best_similarity(head: RealHead) -> tuple[Surface, Surface]:
    """The template's skull moved, turned and scaled onto the real one: what a skull of other proportions can reach."""
    template = load_template_head()
    faces = {True: template.jaw_triangles, False: template.cranium_triangles}
    out = head.landmarks.frame.out_of
    found = {True: out(template.jaw_vertices), False: out(template.cranium_vertices)}
    for _ in range(_ALIGNING):
        source, target = [], []
        for name, bone in head.bones.items():
            points = bone.vertices[head.seen[name]]
            tree = TriangleTree(found[is_jaw(name)], faces[is_jaw(name)])
            _, triangle, barycentric, _ = tree.closest(points)
            source.append(tree.points_at(triangle, barycentric))
            target.append(points)
        motion = similarity(np.concatenate(source), np.concatenate(target), np.ones(sum(map(len, target))))
        found = {jaw: transformed(motion, vertices) for jaw, vertices in found.items()}
    return Surface(found[True], faces[True]), Surface(found[False], faces[False])
