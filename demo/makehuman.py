# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of MakeHuman's text formats, and its axes: decimetres, y up, z front → metres, z up, the face towards -y."""

import gzip
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_METRES = 0.1  # MakeHuman counts in decimetres


@dataclass(frozen=True)
class BaseMesh:
    """vertices: (n, 3) [m]; quads, uv_quads: (m, 4) indices into vertices and uv; uv: (u, 2); groups: (m,) names."""

    vertices: NDArray[np.float64]
    quads: NDArray[np.int32]
    uv: NDArray[np.float64]
    uv_quads: NDArray[np.int32]
    groups: NDArray[np.str_]

    def group_vertices(self, name: str) -> NDArray[np.intp]:
        """Indices of the vertices that the faces of a group use, ascending."""
        return np.unique(self.quads[self.groups == name])


def to_blender(vectors: NDArray) -> NDArray[np.float64]:
    """(…, 3) decimetres y up → metres z up; +x stays the character's left."""
    return np.stack([vectors[..., 0], -vectors[..., 2], vectors[..., 1]], axis=-1) * _METRES


def parse_base(text: bytes) -> BaseMesh:
    """`base.obj`: all faces are quads with texture coordinates."""
    vertices, uv, quads, uv_quads, groups, group = [], [], [], [], [], ""
    for line in text.decode().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(w) for w in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(w) for w in words[1:3]])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f":
            corners = [w.split("/") for w in words[1:5]]
            quads.append([int(c[0]) - 1 for c in corners])
            uv_quads.append([int(c[1]) - 1 for c in corners])
            groups.append(group)
    return BaseMesh(
        to_blender(np.array(vertices)),
        np.array(quads, np.int32),
        np.array(uv),
        np.array(uv_quads, np.int32),
        np.array(groups),
    )


def parse_target(content: bytes, count: int) -> NDArray[np.float64]:
    """A morph target (plain or gzip) as dense displacements, (count, 3) [m]."""
    text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    rows = [line.split() for line in text.decode().splitlines() if line.strip() and not line.startswith("#")]
    delta = np.zeros((count, 3))
    if rows:
        table = np.array(rows, np.float64)
        delta[table[:, 0].astype(int)] = to_blender(table[:, 1:4])
    return delta


@dataclass(frozen=True)
class RigBone:
    """A bone of the default rig at a certain identity; head and tail (3,) [m]."""

    parent: str | None
    head: NDArray[np.float64]
    tail: NDArray[np.float64]


def parse_rig(text: bytes, base: BaseMesh, vertices: NDArray) -> dict[str, RigBone]:
    """The rig's bones fitted to `vertices` (n, 3): joints are centres of small cubes in the mesh, or vertices."""

    def joint(end: dict) -> NDArray[np.float64]:
        if end["strategy"] == "CUBE":
            return vertices[base.group_vertices(end["cube_name"])].mean(0)
        if end["strategy"] == "VERTEX":
            return vertices[end["vertex_index"]]
        return vertices[end["vertex_indices"]].mean(0)

    return {
        name: RigBone(bone["parent"] or None, joint(bone["head"]), joint(bone["tail"]))
        for name, bone in json.loads(text).items()
    }


def parse_weights(text: bytes) -> dict[str, tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Skinning weights: bone → (vertex indices, weights)."""
    return {
        bone: (np.array([p[0] for p in pairs], np.intp), np.array([p[1] for p in pairs], np.float64))
        for bone, pairs in json.loads(text)["weights"].items()
    }
