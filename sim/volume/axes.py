# SPDX-License-Identifier: GPL-3.0-or-later
"""Up and front of a head: from what is known about it, checked by its face.

A head is symmetric, so its lateral axis is the normal of a plane of symmetry. Within such a plane, the face is where a
nose protrudes from its surroundings; what the rig and the scene tell decides between directions that look alike.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ...errors import VolumeError
from ..geometry.sphere import sphere_directions
from ..geometry.surface import triangle_normals
from ..geometry.topology import boundary_loops
from ..geometry.triangle_bvh import TriangleTree
from .hints import Hints

_SAMPLES = 300  # vertices that are mirrored
_DIRECTIONS = 60  # on half a sphere, 20° apart: as far as the fit of a plane reaches
_STARTS = 15  # of these from which a plane is fitted, beside the axes
_ROUNDS, _LAST_ROUNDS = 8, 40  # of that fit, and of that of the best planes
_LONGEST_STEP = 0.3  # of it [rad]
_TRIM = 0.8  # share of the samples that a plane must match: hair, wounds and cuts need not be symmetric
_SAME = np.cos(np.radians(8))  # planes closer than this are one
_KEPT = 3  # planes in which a face is looked for
_ALIGNED = np.cos(np.radians(1.5))  # closer to an axis of the model's own space, that axis is meant
_UPRIGHT = np.cos(np.radians(12))  # the same for up, which the face shows less exactly
_TURNS = 24  # directions in a plane, 15° apart
_FINE = np.radians([-10, -5, 0, 5, 10])  # directions tried around the best of them
_BREADTH = 0.16  # of a head with its ears [m], in the unit of the profiles below
_STEP = 0.004  # of profiles [m]
_SIZES = (0.72, 0.85, 1.0, 1.18, 1.4)  # of a face against the head's breadth
_SPREAD = 0.012  # about twice by how much faces differ from the average [m]
_NO_FACE = 0.45  # likeness below which no face is seen: real heads have 0.6 to 0.9, backs of heads 0.4
_TILTED = np.radians(12)  # off the axes of the model, from which it is said
_ASYMMETRIC = 0.03  # mismatch from which it is said: 5 mm
_FACE, _ASYMMETRY = 4.0, 20.0  # weights of the face and of a plane's mismatch against what is known
# Heights above the tip of the nose, and how far the face reaches to the front there, from the tip: in the middle, a
# tenth and two tenths of the breadth beside it [m]. Medians of twelve adults and children of MakeHuman's.
_HEIGHTS = 1e-3 * np.arange(-56, 97, 8)
_FACE_PROFILES = -1e-3 * np.array(
    [
        [18, 17, 13, 12, 7, 10, 5, 0, 4, 9, 15, 17, 17, 16, 16, 17, 18, 20, 23, 27],
        [24, 21, 18, 16, 15, 16, 17, 17, 19, 23, 26, 25, 19, 17, 17, 17, 19, 21, 24, 28],
        [43, 35, 30, 27, 25, 24, 24, 25, 26, 28, 28, 38, 23, 21, 20, 23, 25, 28, 31, 37],
    ]
)
_FLAT = 0.02  # thickness against the largest extent, below which nothing is seen of a face: half-mask shells have 0.2
_CHOSEN = np.cos(np.radians(50))  # what was set by hand is meant to within this


@dataclass(frozen=True)
class Axes:
    """up, front: (3,) unit vectors, world space. face: how much a face can be seen there, 0 to 1. mismatch: between
    the head and its mirror image, relative to its breadth. tilt: how far up is from the nearest axis of the space that
    the head was modelled in [rad]. middle: where the plane of symmetry lies, along `left`."""

    up: NDArray[np.float64]
    front: NDArray[np.float64]
    face: float
    mismatch: float
    tilt: float
    middle: float

    @property
    def left(self) -> NDArray[np.float64]:
        """Towards the person's left, (3,)."""
        return np.cross(self.up, self.front)


_REMEMBERED = 4  # heads: of two characters, each as checked and as built
_found: dict[str, Axes] = {}


def find_axes(vertices: NDArray, triangles: NDArray, hints: Hints | None = None, name: str = "head") -> Axes:
    """Up and front of a head (n, 3) with triangles (m, 3), of any size: seams joined, one part.

    The last few heads are remembered, as checking and building ask for the same one. Raises VolumeError for a head
    that is flat.
    """
    hints = hints or Hints()
    key = _told(vertices, triangles, hints)
    if key not in _found:
        found = _look_for_axes(vertices, triangles, hints, name)
        while len(_found) >= _REMEMBERED:
            _found.pop(next(iter(_found)), None)  # the oldest
        _found[key] = found
        return found
    return _found[key]


def _told(vertices: NDArray, triangles: NDArray, hints: Hints) -> str:
    """Fingerprint of all that the axes depend on."""
    digest = hashlib.sha256()
    for value in (vertices, triangles, *(getattr(hints, f.name) for f in fields(hints))):
        array = np.zeros(0) if value is None else np.ascontiguousarray(value)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _look_for_axes(vertices: NDArray, triangles: NDArray, hints: Hints, name: str) -> Axes:
    """See `find_axes`."""
    _check_solid(vertices[np.unique(triangles)], name)
    turned = np.eye(3) if hints.upright is None else np.asarray(hints.upright, float)
    shape = _Shape.of(vertices @ turned, triangles)
    known = _Known.of(hints, turned, shape)
    planes = symmetry_planes(shape)
    if known.up.any() or known.front.any():  # what is set by hand may lie in no plane of symmetry
        planes += [
            _plane(shape, axis) for axis in turned.T if not max(abs(axis @ known.up), abs(axis @ known.front)) > 0.1
        ]
    best = max((face for plane in planes for face in _faces(shape, *plane, known)), key=lambda one: one.score)
    fine = [
        face
        for angle in _FINE
        for face in _both_ways_up(
            shape, best.normal, best.offset, np.cos(angle) * best.front + np.sin(angle) * best.up, best.mismatch, known
        )
    ]
    best = max(fine, key=lambda one: one.score)
    up = best.up
    nearest = int(np.argmax(np.abs(up)))
    # Up is seen less exactly than left and right. If these lie along an axis of the model, up does as well.
    if np.abs(best.normal).max() == 1 and abs(up[nearest]) > _UPRIGHT:
        up = np.sign(up[nearest]) * np.eye(3)[nearest]
    left = best.normal * np.sign(np.cross(up, best.front) @ best.normal)
    front = np.cross(left, up)
    tilt = float(np.arccos(np.clip(np.abs(up).max(), 0, 1)))
    plane = turned @ (best.offset * best.normal)  # a point of it
    up, front = turned @ up, turned @ front
    return Axes(up, front, best.face, best.mismatch, tilt, float(plane @ np.cross(up, front)))


def _check_solid(used: NDArray, name: str) -> None:
    """Raises VolumeError if the vertices (n, 3) lie, nearly, in a plane or on a line."""
    spread = np.linalg.svd(used - used.mean(0), compute_uv=False)
    if not spread[2] > _FLAT * spread[0]:
        raise VolumeError(
            "the head is flat: all of it lies in a plane.",
            object=name,
            advice="Undo a scale of zero on the object, its bones or its shape keys, and check that the neutral frame "
            "shows the whole head.",
        )


@dataclass(frozen=True)
class _Candidate:
    """A direction of the face in a plane of symmetry, in the space of the model; see `Axes`."""

    score: float
    up: NDArray[np.float64]
    front: NDArray[np.float64]
    normal: NDArray[np.float64]
    offset: float
    face: float
    mismatch: float


@dataclass(frozen=True)
class _Shape:
    """A head in the space it was modelled in: its tree and normals, some of its vertices, its middle and the way out of
    it through its largest opening, and where its vertices are densest, (3,) each."""

    tree: TriangleTree
    normals: NDArray[np.float64]
    used: NDArray[np.float64]
    samples: NDArray[np.float64]
    middle: NDArray[np.float64]
    opening: NDArray[np.float64]
    dense: NDArray[np.float64]

    @classmethod
    def of(cls, vertices: NDArray, triangles: NDArray) -> "_Shape":
        normals = triangle_normals(vertices, triangles)
        areas = np.linalg.norm(normals, axis=1)
        normals = normals / np.maximum(areas, 1e-30)[:, None]
        middle = np.average(vertices[triangles].mean(1), axis=0, weights=areas)
        used = vertices[np.unique(triangles)]
        opening = np.zeros(3)
        loops = boundary_loops(triangles)
        if loops:
            largest = max(loops, key=lambda loop: float(np.linalg.norm(np.ptp(vertices[loop], axis=0))))
            opening = vertices[largest].mean(0) - middle
            opening /= max(float(np.linalg.norm(opening)), 1e-12)
        tree = TriangleTree(vertices, triangles)
        samples = used[:: max(1, len(used) // _SAMPLES)]
        return cls(tree, normals, used, samples, middle, opening, used.mean(0) - middle)


@dataclass(frozen=True)
class _Known:
    """The hints in the space of the model; zero where nothing is known."""

    neck: NDArray[np.float64]
    left: NDArray[np.float64]
    eyes: NDArray[np.float64]
    up: NDArray[np.float64]
    front: NDArray[np.float64]
    scene_up: NDArray[np.float64]

    @classmethod
    def of(cls, hints: Hints, turned: NDArray, shape: _Shape) -> "_Known":
        def direction(vector: NDArray | None) -> NDArray[np.float64]:
            own = np.zeros(3) if vector is None else np.asarray(vector, float) @ turned
            return own / max(float(np.linalg.norm(own)), 1e-12)

        left = np.zeros(3) if hints.left is None else np.asarray(hints.left, float) @ turned
        eyes = np.zeros(3) if hints.eyes is None else np.asarray(hints.eyes, float) @ turned - shape.middle
        eyes = eyes / max(float(np.linalg.norm(eyes)), 1e-12)
        scene_up = np.array([0.0, 0.0, 1.0]) if hints.upright is None and hints.neck is None else np.zeros(3)
        return cls(direction(hints.neck), left, eyes, direction(hints.up), direction(hints.front), scene_up)

    def agrees(self, up: NDArray, front: NDArray, shape: _Shape, unit: float) -> float:
        """How well up and front fit what is known, as a sum of weighted cosines."""
        left = np.cross(up, front)
        chosen = [float(axis @ wanted) for axis, wanted in ((up, self.up), (front, self.front)) if wanted.any()]
        return float(
            # A hand's choice outweighs everything, bones outweigh what is only likely.
            100.0 * sum(cosine > _CHOSEN for cosine in chosen)
            + sum(chosen)
            + 1.5 * (up @ self.neck)
            + 0.6 * (left @ self.left)
            + 0.8 * (front @ self.eyes)
            + 0.3 * (up @ self.scene_up)
            - 0.8 * max(0.0, float(up @ shape.opening))
            - 0.8 * max(0.0, float(front @ shape.opening))
            + 0.3 * np.clip(front @ shape.dense / (0.01 * unit), -1, 1)
        )


def symmetry_planes(shape: _Shape) -> list[tuple[NDArray, float, float]]:
    """Planes that mirror a head onto itself, best first: normal (3,), offset along it, mismatch relative to breadth.

    Each plane is fitted to the vertices and the closest points of their mirror images, as in iterated closest points.
    The axes of the model come first where they are as good.
    """
    half = sphere_directions(2 * _DIRECTIONS)[:_DIRECTIONS]  # of a sphere: planes have no sides
    found: list[tuple[NDArray, float, float]] = []
    coarse = sorted((_mismatch(shape, normal, shape.middle @ normal), tuple(normal)) for normal in half)
    starts = [np.array(normal) for _, normal in coarse[:_STARTS]]
    for start in [*np.eye(3), *starts]:
        normal, offset = _fitted(shape, start, float(shape.middle @ start), _ROUNDS)
        found.append((normal, offset, _mismatch(shape, normal, offset)))
    best: list[tuple[NDArray, float, float]] = []
    for normal, offset, _ in sorted(found, key=lambda plane: plane[2]):
        if any(abs(normal @ other) > _SAME for other, _, _ in best):
            continue
        normal, offset = _fitted(shape, normal, offset, _LAST_ROUNDS)
        nearest = int(np.argmax(np.abs(normal)))
        if abs(normal[nearest]) > _ALIGNED:  # artists model along the axes of their scene
            best.append(_plane(shape, np.eye(3)[nearest]))
        else:
            best.append((normal, offset, _mismatch(shape, normal, offset)))
        if len(best) == _KEPT:
            break
    return best


def _plane(shape: _Shape, normal: NDArray) -> tuple[NDArray, float, float]:
    """The plane through the middle of a head's width, as from `symmetry_planes`."""
    along = shape.used @ normal
    offset = 0.5 * float(along.min() + along.max())
    return normal, offset, _mismatch(shape, normal, offset)


def _mirrored(shape: _Shape, normal: NDArray, offset: float) -> tuple[NDArray, NDArray]:
    """Distance (k,) of the mirrored samples to the head, and the closest points (k, 3)."""
    image = shape.samples - 2 * np.outer(shape.samples @ normal - offset, normal)
    distance, triangle, barycentric, _ = shape.tree.closest(image)
    return distance, shape.tree.points_at(triangle, barycentric)


def _mismatch(shape: _Shape, normal: NDArray, offset: float) -> float:
    distance = np.sort(_mirrored(shape, normal, offset)[0])
    breadth = float(np.ptp(shape.used @ normal))
    return float(distance[: int(_TRIM * len(distance))].mean()) / breadth


def _fitted(shape: _Shape, normal: NDArray, offset: float, rounds: int) -> tuple[NDArray, float]:
    """The plane of symmetry near a normal (3,), by Gauss-Newton steps on the distances of the mirrored samples from
    the planes of the triangles closest to them."""
    offset -= float(shape.middle @ normal)  # from the middle
    points = shape.samples - shape.middle
    for _ in range(rounds):
        along = points @ normal - offset
        image = points - 2 * np.outer(along, normal)
        distance, triangle, barycentric, _ = shape.tree.closest(image + shape.middle)
        away = image + shape.middle - shape.tree.points_at(triangle, barycentric)
        facing = shape.normals[triangle]
        near = distance <= np.quantile(distance, _TRIM)
        basis = np.linalg.svd(normal[None])[2][1:]  # (2, 3), across the normal
        slope = np.column_stack(
            [
                *(-2 * ((points @ e) * (facing @ normal) + along * (facing @ e)) for e in basis),
                2 * facing @ normal,
            ]
        )
        step = np.linalg.lstsq(slope[near], -np.einsum("ij,ij->i", away, facing)[near], rcond=1e-6)[0]
        length = np.linalg.norm(step[:2])
        step *= min(1.0, _LONGEST_STEP / max(float(length), 1e-12))
        normal = normal + step[:2] @ basis
        normal /= np.linalg.norm(normal)
        offset += step[2]
        if length < 1e-4:
            break
    return normal, offset + float(shape.middle @ normal)


def _faces(shape: _Shape, normal: NDArray, offset: float, mismatch: float, known: _Known) -> Iterator[_Candidate]:
    """Every direction in a plane of symmetry."""
    first = np.eye(3)[int(np.argmin(np.abs(normal)))]
    first = first - normal * (first @ normal)
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    for turn in range(_TURNS):
        angle = 2 * np.pi * turn / _TURNS
        yield from _both_ways_up(shape, normal, offset, np.cos(angle) * first + np.sin(angle) * second, mismatch, known)


def _both_ways_up(
    shape: _Shape, normal: NDArray, offset: float, front: NDArray, mismatch: float, known: _Known
) -> Iterator[_Candidate]:
    unit = float(np.ptp(shape.used @ normal)) / _BREADTH
    up = np.cross(front, normal)
    profiles = _profiles(shape, normal, offset, up, front, unit)
    for sign in (1, -1):
        face = _likeness(profiles[:, ::sign] / unit)
        score = _FACE * face + known.agrees(sign * up, front, shape, unit) - _ASYMMETRY * mismatch
        yield _Candidate(score, sign * up, front, normal, offset, face, mismatch)


def _profiles(
    shape: _Shape, normal: NDArray, offset: float, up: NDArray, front: NDArray, unit: float
) -> NDArray[np.float64]:
    """How far (3, h) the head reaches to the front along its middle, a tenth and two tenths of its breadth beside it,
    at even heights; -inf: nothing."""
    heights = np.arange(float((shape.used @ up).min()), float((shape.used @ up).max()), _STEP * unit)
    far = float((shape.used @ front).max()) + unit
    beside = offset + _BREADTH * unit * np.array([0.0, 0.1, -0.1, 0.2, -0.2])
    origins = beside[:, None, None] * normal + heights[:, None] * up + far * front
    reach = (far - shape.tree.hit(origins.reshape(-1, 3), -front)).reshape(len(beside), -1)
    return np.stack([reach[0], 0.5 * (reach[1] + reach[2]), 0.5 * (reach[3] + reach[4])])


def _likeness(profiles: NDArray) -> float:
    """How much profiles (3, h) [m of a head of average breadth], heights ascending, look like a face's, 0 to 1.

    The average face is laid on every height as its nose, in several sizes; what differs by more than its spread does
    not count further.
    """
    count = profiles.shape[1]
    best = 0.0
    for size in _SIZES:
        rows = np.round(np.arange(count)[:, None] + size * _HEIGHTS / _STEP).astype(int)  # (tip, height)
        inside = (rows >= 0) & (rows < count)
        reach = np.where(inside, profiles[:, np.clip(rows, 0, count - 1)], -np.inf)  # (3, tip, height)
        with np.errstate(invalid="ignore"):  # beside the head there is no nose: inf - inf
            off = np.abs(reach - profiles[0][:, None] - size * _FACE_PROFILES[:, None]) / size
        off = np.where(np.isfinite(off), np.minimum(off, _SPREAD), _SPREAD)
        best = max(best, 1 - float(off.mean(axis=(0, 2)).min(initial=_SPREAD)) / _SPREAD)
    return best


def axes_notes(axes: Axes, hints: Hints | None = None) -> list[str]:
    """What is unlikely about a head's axes, for people."""
    hints = hints or Hints()
    notes = []
    said = f"The head is taken to look towards {_in_words(axes.front)}, its top towards {_in_words(axes.up)}"
    advice = "If that is wrong, set Up and Front (setup --up, --front)."
    if axes.face < _NO_FACE and hints.front is None:
        notes.append(f"{said}, although hardly any face can be seen there. {advice}")
    elif axes.tilt > _TILTED:
        notes.append(f"{said}: {np.degrees(axes.tilt):.0f}° off the axes it was modelled along. {advice}")
    if axes.mismatch > _ASYMMETRIC:
        notes.append(f"Left and right half of the head differ by {100 * axes.mismatch:.0f} % of its breadth. {advice}")
    return notes


def _in_words(axis: NDArray) -> str:
    """The axis of the world nearest to a direction (3,): '-Y'."""
    nearest = int(np.argmax(np.abs(axis)))
    return f"{'-' if axis[nearest] < 0 else ''}{'XYZ'[nearest]}"
