# SPDX-License-Identifier: GPL-3.0-or-later
"""What exporters, artists and other programs do to meshes: functions from `person.Polygons` to others.

Places are those of the upright person of `person.make_person`: z up, the face towards -y, +x the person's left [m].
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from nephim.sim.geometry.surface import vertex_normals
from nephim.sim.geometry.topology import boundary_loops
from nephim.sim.volume.regions import openness, visible
from numpy.typing import NDArray

from .person import Person, Polygons


def with_head(change: Callable[[Polygons], Polygons]) -> Callable[[Person], Person]:
    """The same change for a person."""
    return lambda person: replace(person, head=change(person.head))


def with_hand(change: Callable[[Polygons], Polygons]) -> Callable[[Person], Person]:
    return lambda person: replace(person, hand=change(person.hand))


def split(part: Polygons, label: NDArray) -> Polygons:
    """Vertices doubled where faces of different labels (m,) meet, as exporters do along the seams of texture maps."""
    corners = np.concatenate([np.asarray(face) for face in part.faces])
    sizes = [len(face) for face in part.faces]
    pairs = np.column_stack([np.repeat(label, sizes), corners])
    kinds, numbers = np.unique(pairs, axis=0, return_inverse=True)
    faces = np.split(numbers.ravel(), np.cumsum(sizes)[:-1])
    return part.taken(kinds[:, 1], [face.tolist() for face in faces])


def split_at_planes(part: Polygons) -> Polygons:
    """Split along three planes through the middle: eight islands."""
    centres = part.centres()
    side = centres > np.median(centres, axis=0)
    return split(part, side @ [1, 2, 4])


def flipped(part: Polygons, chosen: NDArray) -> Polygons:
    """The chosen faces (m,) turned over."""
    faces = [list(face)[::-1] if turn else list(face) for face, turn in zip(part.faces, chosen, strict=True)]
    return replace(part, faces=faces)


def every_second_flipped(part: Polygons) -> Polygons:
    return flipped(part, np.arange(len(part.faces)) % 2 == 0)


def half_flipped(part: Polygons) -> Polygons:
    return flipped(part, part.centres()[:, 0] > 0)


def all_flipped(part: Polygons) -> Polygons:
    return flipped(part, np.ones(len(part.faces), bool))


def kept(part: Polygons, chosen: NDArray) -> Polygons:
    """The chosen faces (m,) alone, with the vertices that they use."""
    faces = [face for face, keep in zip(part.faces, chosen, strict=True) if keep]
    used, numbers = np.unique(np.concatenate([np.asarray(face) for face in faces]), return_inverse=True)
    return part.taken(used, [f.tolist() for f in np.split(numbers, np.cumsum([len(f) for f in faces])[:-1])])


def front_only(part: Polygons) -> Polygons:
    """A shell: face, chin and ears, without the back of the head."""
    centres = part.centres()
    top = part.truth[:, 2].max()
    return kept(part, (centres[:, 1] < 0.02) & (centres[:, 2] > 0.08 * top) & (centres[:, 2] < 0.93 * top))


def mask(part: Polygons) -> Polygons:
    """A shell with holes for mouth and eyes, as for facial capture."""
    shown = _shown(part)
    centres = part.centres()
    top = part.truth[:, 2].max()
    front = (centres[:, 1] < -0.02) & (centres[:, 2] > 0.1 * top) & (centres[:, 2] < 0.85 * top)
    return kept(part, shown & front)


def ends_at_jaw(part: Polygons) -> Polygons:
    """Cut along a plane that rises from under the chin past the corners of the jaw to the nape: there is no neck."""
    centres = part.centres()
    top = part.truth[:, 2].max()
    return kept(part, centres[:, 2] > 0.08 * top + 0.33 * (centres[:, 1] - 0.8 * part.truth[:, 1].min()))


def mouth_without_inside(part: Polygons) -> Polygons:
    """The bag of the mouth removed, and the slit between the lips closed by one face."""
    shown = _shown(part)
    centres = part.centres()
    hidden = ~shown & (np.abs(centres[:, 0]) < 0.04)
    top = part.truth[:, 2].max()
    mouth = hidden & (centres[:, 2] < 0.45 * top) & (centres[:, 2] > 0.2 * top)
    part = kept(part, ~mouth)
    loops = boundary_loops(part.triangles())
    front = [loop for loop in loops if part.truth[loop, 1].max() < -0.02]
    # A boundary runs along its faces; the face that closes it runs against it.
    return replace(part, faces=[*part.faces, *(loop[::-1].tolist() for loop in front)])


def joined(*parts: Polygons) -> Polygons:
    """Several meshes in one; a key that a part lacks leaves it where it is."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [[v + start for v in face] for part, start in zip(parts, starts[:-1], strict=True) for face in part.faces]

    def all_of(get: Callable[[Polygons], NDArray]) -> NDArray:
        return np.concatenate([get(part) for part in parts])

    keys = {
        name: all_of(lambda p, name=name: p.keys.get(name, np.zeros_like(p.vertices)))
        for name in dict.fromkeys(name for part in parts for name in part.keys)
    }
    return Polygons(all_of(lambda p: p.vertices), faces, all_of(lambda p: p.weights), all_of(lambda p: p.truth), keys)


def with_eyes_and_teeth(person: Person) -> Person:
    """Eyeballs, teeth and tongue are pieces of the head's mesh."""
    character = person.character
    bones = person.head_bones.names
    eyes = [_ball(eye.centre, eye.radius, bones, f"eye.{side}") for side, eye in character.eyes.items()]
    return replace(person, head=joined(person.head, *eyes, Polygons.of(character.teeth), Polygons.of(character.tongue)))


def with_hair_cards(part: Polygons, count: int = 60) -> Polygons:
    """Strips of quads that stand 2 mm off the scalp, some rooted in it, as pieces of the same mesh."""
    top = part.truth[:, 2].max()
    normals = vertex_normals(part.vertices, part.triangles())
    scalp = np.flatnonzero((part.truth[:, 2] > 0.8 * top) & (normals[:, 2] > 0.1))
    roots = scalp[np.linspace(0, len(scalp) - 1, count).astype(int)]
    cards = [part]
    for k, root in enumerate(roots):
        out, across = normals[root], np.cross(normals[root], [0.0, 0.0, 1.0])
        across = across / max(np.linalg.norm(across), 1e-9)
        down = np.cross(across, out)
        lift = -0.001 if k % 3 == 0 else 0.002
        rows = [part.vertices[root] + lift * out + 0.006 * r * (down + 0.3 * out) for r in range(6)]
        vertices = np.array([row + side * 0.003 * across for row in rows for side in (-1, 1)])
        faces = [[2 * r, 2 * r + 1, 2 * r + 3, 2 * r + 2] for r in range(5)]
        cards.append(Polygons(vertices, faces, np.repeat(part.weights[root][None], 12, axis=0), vertices))
    return joined(*cards)


def layer(part: Polygons, chosen: NDArray, offset: float) -> Polygons:
    """The chosen faces (m,) once more, `offset` [m] off the skin, as a piece of the same mesh."""
    normals = vertex_normals(part.vertices, part.triangles())
    above = replace(part, vertices=part.vertices + offset * normals)
    return joined(part, kept(above, chosen))


def with_second_layer(part: Polygons) -> Polygons:
    """The right cheek's faces lie there twice."""
    return layer(part, _cheek(part), 0.0)


def with_brows(part: Polygons) -> Polygons:
    """Strips over both brows, 1 mm above the skin."""
    return layer(part, _brows(part), 0.001)


def collapsed(part: Polygons, step: int = 25) -> Polygons:
    """Every `step`-th face has all its corners in one place."""
    vertices = part.vertices.copy()
    for face in list(part.faces)[::step]:
        vertices[list(face)] = vertices[face[0]]
    return replace(part, vertices=vertices)


def crossing_lips_and_lids(part: Polygons) -> Polygons:
    """Lips pressed into each other and lids closed over each other, as sculpts with a shut mouth have them."""
    vertices = part.vertices - 0.11 * part.keys["jawOpen"]
    for side in ("Left", "Right"):
        vertices = vertices + 1.1 * part.keys[f"eyeBlink{side}"]
    return replace(part, vertices=vertices)


def triangulated(part: Polygons) -> Polygons:
    return replace(part, faces=part.triangles().tolist())


def with_ngons(part: Polygons) -> Polygons:
    """Pairs of quads that share an edge joined to faces of six corners, where the skin is nearly flat."""
    faces = [list(face) for face in part.faces]
    by_edge: dict[tuple[int, int], int] = {}
    done, result = [False] * len(faces), []
    for number, face in enumerate(faces):
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            by_edge[a, b] = number
    for number, face in enumerate(faces):
        if done[number]:
            continue
        done[number] = True
        for k, (a, b) in enumerate(zip(face, face[1:] + face[:1], strict=True)):
            other = by_edge.get((b, a))
            if other is None or done[other] or not _flat(part.vertices, face, faces[other]):
                continue
            done[other] = True
            second = faces[other]
            start = second.index(a)
            face = (
                face[: k + 1] + [second[(start + j) % len(second)] for j in range(1, len(second) - 1)] + face[k + 1 :]
            )
            break
        result.append(face)
    return replace(part, faces=result)


def without_keys(part: Polygons) -> Polygons:
    return replace(part, keys={})


def _flat(vertices: NDArray, first: Sequence[int], second: Sequence[int]) -> bool:
    normals = []
    for face in (first, second):
        a, b, c = vertices[face[0]], vertices[face[1]], vertices[face[2]]
        normal = np.cross(b - a, c - a)
        normals.append(normal / max(float(np.linalg.norm(normal)), 1e-12))
    return float(normals[0] @ normals[1]) > 0.97


def _shown(part: Polygons) -> NDArray[np.bool_]:
    """Faces (m,) that a hand can reach: not the bag of the mouth, the nostrils or the sockets."""
    triangles = part.triangles()
    outer = visible(openness(part.truth, triangles), triangles)
    return np.array([outer[list(face)].all() for face in part.faces])


def _cheek(part: Polygons) -> NDArray[np.bool_]:
    centres, top = part.centres(), part.truth[:, 2].max()
    level = np.abs(centres[:, 2] / top - 0.32) < 0.12
    return level & (centres[:, 0] < -0.02) & (centres[:, 1] < -0.03) & _shown(part)


def _brows(part: Polygons) -> NDArray[np.bool_]:
    centres, top = part.centres(), part.truth[:, 2].max()
    level = np.abs(centres[:, 2] / top - 0.64) < 0.025
    aside = (np.abs(centres[:, 0]) > 0.012) & (np.abs(centres[:, 0]) < 0.045)
    return level & aside & (centres[:, 1] < -0.06) & _shown(part)


def _ball(centre: NDArray, radius: float, bones: Sequence[str], bone: str) -> Polygons:
    polar, around = np.linspace(0.1, np.pi - 0.1, 12), np.linspace(0, 2 * np.pi, 20, endpoint=False)
    rings = np.array([[np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)] for p in polar for a in around])
    vertices = centre + radius * rings
    faces: list[list[int]] = [
        [r * 20 + k, (r + 1) * 20 + k, (r + 1) * 20 + (k + 1) % 20, r * 20 + (k + 1) % 20]
        for r in range(11)
        for k in range(20)
    ]
    faces += [list(range(20)), list(range(239, 219, -1))]
    weights = np.zeros((len(vertices), len(bones)))
    weights[:, list(bones).index(bone)] = 1.0
    return Polygons(vertices, faces, weights, vertices)
