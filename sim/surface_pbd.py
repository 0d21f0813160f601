# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface-only baseline: position-based dynamics of the skin alone, for comparison with the volumetric physics.

After Shimada et al., "Decaf: Monocular Deformation Capture for Face and Hand Interactions", 2023: skin stretch and bend
constraints (Müller et al., "Position Based Dynamics", 2007), stiffness by the distance to the skull, pushes to the
closest point of the current frame's hands. There is no tissue, no bone and no history: every frame starts from the
tracked skin. How firmly the skin is held at the tracked surface, which Decaf leaves to its face model, is our choice.
"""

import time

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .frame import SimulatedFrame, TrackedFrame
from .geometry.surface import Surface
from .geometry.topology import edges_and_hinges
from .geometry.triangle_bvh import TriangleTree
from .hands import Hands
from .settings import PhysicsSettings
from .template import Template

ITERATIONS = 200  # Decaf's
_DETECT_EVERY = 20  # iterations between searches for closest points; the skin moves little meanwhile
# Fraction of its violation that a constraint removes in one iteration. Chosen so that a pressed cheek gets a dent as
# round as the skin alone allows: softer constraints punch a hole with a sharp edge.
_STRETCH, _BEND = 0.13, 0.045
_SOFT_DEPTH = 0.012  # [m] skin over tissue as thick as this, a cheek, is the softest
# Fractions of a displacement from the tracked surface that all iterations together undo, for skin on bone and for the
# softest; without the latter a push would carry the whole face away.
_HOLD_ON_BONE, _HOLD_LEAST = 0.99, 0.02
_NEAR = 0.001  # [m] skin this close to a hand is kept out of it until the next search
_DEEPEST = 0.03  # [m] hands are too thin for skin to be further inside
_MET = 1e-7  # [m] a constraint violated by less is ignored, which limits the spreading of a dent
_TOUCHING = 1e-4  # [m] skin this close to its closest-point plane is in contact


class SurfacePBD:
    """Position-based dynamics of one head's skin with its hands: the same `step` and `reset` as `Physics`.

    Of the settings only `gap` is used. left, right: the hands' surfaces (any pose; topology only). frame_rate is part
    of the common interface: without history there is no time. Raises SimulationError if there is no hand, SurfaceError
    if a frame does not fit the surfaces.
    """

    def __init__(
        self,
        template: Template,
        settings: PhysicsSettings,
        *,
        left: Surface | None = None,
        right: Surface | None = None,
        frame_rate: float = 24.0,
    ):
        self.template, self.settings, self.frame_rate = template, settings, frame_rate
        self._hands = Hands(template, left, right)
        self._hand_tree = TriangleTree(self._hands.vertices, self._hands.triangles)
        self._edges, self._hinges = edges_and_hinges(template.skin_triangles)
        stiffness = np.clip(1 - template.tissue_depth / _SOFT_DEPTH, _HOLD_LEAST, _HOLD_ON_BONE)
        self._hold = per_iteration(stiffness)
        self._mobility = np.where(template.rim, 0.0, 1 - stiffness)

    def reset(self) -> None:
        """Does nothing: no frame depends on another."""

    def step(self, frame: TrackedFrame) -> SimulatedFrame:
        """Resolves one frame on its own."""
        started = time.perf_counter()
        hands = self._hands.read(frame)
        tracked = self.template.refinement @ frame.head.astype(np.float64)
        self._hand_tree.refit(hands)
        skin = tracked.copy()
        ids, points, normals = self._closest(skin)
        inside = np.einsum("ij,ij->i", skin[ids] - points, normals) < self.settings.gap
        iterations = 0
        if inside.any():
            lengths, angles = rest_shape(tracked, self._edges, self._hinges)
            moved = np.zeros(len(skin), np.bool_)
            while iterations < ITERATIONS:
                relax(
                    skin, tracked, self._mobility, self._hold, self._edges, lengths, self._hinges, angles, ids, points,
                    normals, self.settings.gap, moved, _DETECT_EVERY,
                )  # fmt: skip
                iterations += _DETECT_EVERY
                if iterations < ITERATIONS:
                    ids, points, normals = self._closest(skin)
        distance = np.einsum("ij,ij->i", skin[ids] - points, normals) - self.settings.gap
        touching = ids[distance < _TOUCHING] if iterations else ids[:0]
        statistics = {
            "substeps": 0.0,
            "iterations": float(iterations),
            "contacts": float(len(touching)),
            "ms": 1000 * (time.perf_counter() - started),
        }
        return SimulatedFrame(
            skin.astype(np.float32), tracked.astype(np.float32), touching.astype(np.int32), statistics
        )

    def _closest(self, skin: NDArray) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Skin vertices (k,) in a hand or close to it, their closest points (k, 3) and outward normals (k, 3) there.

        A vertex beyond the middle of a hand exits on the wrong side: a limit of closest points.
        """
        tree, template = self._hand_tree, self.template
        low, high = tree.vertices.min(axis=0) - _NEAR, tree.vertices.max(axis=0) + _NEAR
        ids = np.flatnonzero(template.outer & (self._mobility > 0) & ((skin > low) & (skin < high)).all(axis=1))
        distance, triangle, weights, sign = tree.closest(skin[ids], _DEEPEST)
        chosen = (sign < 0) | (distance < _NEAR)
        ids, distance, triangle, sign = ids[chosen], distance[chosen], triangle[chosen], sign[chosen]
        points = tree.points_at(triangle, weights[chosen])
        a, b, c = (tree.vertices[tree.triangles[triangle, k]] for k in range(3))
        face = np.cross(b - a, c - a)
        face /= np.maximum(np.linalg.norm(face, axis=1, keepdims=True), 1e-30)
        away = sign[:, None] * (skin[ids] - points) / np.maximum(distance, _MET)[:, None]
        return ids, points, np.where((distance > _MET)[:, None], away, face)


def per_iteration(stiffness: NDArray | float) -> NDArray[np.float64]:
    """Stiffness per iteration that amounts to `stiffness` in total (Müller et al. 2007, section 3.3)."""
    return 1 - (1 - np.asarray(stiffness, np.float64)) ** (1 / ITERATIONS)


@njit(cache=True, nogil=True)
def hinge_angle(x, hinge, gradient):
    """Signed dihedral angle [rad] of a hinge (4,) at positions x (n, 3), 0 if flat; writes its gradient (4, 3)
    [1/m].

    Returns 0 with gradient 0 for a triangle without area. Gradient as in Bridson et al., "Simulation of clothing with
    folds and wrinkles", 2003.
    """
    gradient[:] = 0.0
    i, j, k, m = hinge[0], hinge[1], hinge[2], hinge[3]
    ex, ey, ez = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1], x[j, 2] - x[i, 2]
    ax, ay, az = x[k, 0] - x[i, 0], x[k, 1] - x[i, 1], x[k, 2] - x[i, 2]
    bx, by, bz = x[m, 0] - x[i, 0], x[m, 1] - x[i, 1], x[m, 2] - x[i, 2]
    px, py, pz = ey * az - ez * ay, ez * ax - ex * az, ex * ay - ey * ax
    qx, qy, qz = by * ez - bz * ey, bz * ex - bx * ez, bx * ey - by * ex
    e2 = ex * ex + ey * ey + ez * ez
    p2, q2 = px * px + py * py + pz * pz, qx * qx + qy * qy + qz * qz
    if e2 == 0.0 or p2 == 0.0 or q2 == 0.0:
        return 0.0
    length = np.sqrt(e2)
    sx, sy, sz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
    sine = (sx * ex + sy * ey + sz * ez) / length
    angle = np.arctan2(sine, px * qx + py * qy + pz * qz)
    s, t = (ax * ex + ay * ey + az * ez) / e2, (bx * ex + by * ey + bz * ez) / e2
    u, v = -length / p2, -length / q2
    gradient[2, 0], gradient[2, 1], gradient[2, 2] = u * px, u * py, u * pz
    gradient[3, 0], gradient[3, 1], gradient[3, 2] = v * qx, v * qy, v * qz
    for d in range(3):
        gradient[0, d] = -(1 - s) * gradient[2, d] - (1 - t) * gradient[3, d]
        gradient[1, d] = -s * gradient[2, d] - t * gradient[3, d]
    return angle


@njit(cache=True, nogil=True)
def rest_shape(x, edges, hinges):
    """Edge lengths (e,) [m] and hinge angles (h,) [rad] at positions x (n, 3)."""
    lengths, angles = np.empty(len(edges)), np.empty(len(hinges))
    gradient = np.empty((4, 3))
    for k in range(len(edges)):
        lengths[k] = _length(x, edges[k, 0], edges[k, 1])
    for h in range(len(hinges)):
        angles[h] = hinge_angle(x, hinges[h], gradient)
    return lengths, angles


@njit(cache=True, inline="always")
def _length(x, i, j):
    return np.sqrt((x[i, 0] - x[j, 0]) ** 2 + (x[i, 1] - x[j, 1]) ** 2 + (x[i, 2] - x[j, 2]) ** 2)


@njit(cache=True, nogil=True)
def relax(
    x, tracked, mobility, hold, edges, lengths, hinges, angles, pushed, points, normals, gap, moved, iterations
):  # fmt: skip
    """Projects all constraints one after another, `iterations` times; changes x (n, 3), and moved (n,) marks where.

    The order is fixed, so that the result is deterministic. mobility: (n,) inverse masses; hold:
    (n,) stiffness of the tracked position; pushed (k,), points, normals (k, 3): planes of the hands, which come last
    and are met exactly. Constraints are skipped where nothing has moved yet.
    """
    gradient = np.empty((4, 3))
    for _ in range(iterations):
        for v in range(len(x)):
            if moved[v]:
                for d in range(3):
                    x[v, d] += hold[v] * (tracked[v, d] - x[v, d])
        for k in range(len(edges)):
            i, j = edges[k, 0], edges[k, 1]
            if not (moved[i] or moved[j]):
                continue
            weight = mobility[i] + mobility[j]
            length = _length(x, i, j)
            error = length - lengths[k]
            if abs(error) < _MET or weight == 0.0 or length == 0.0:
                continue
            scale = _STRETCH * error / (weight * length)
            for d in range(3):
                step = scale * (x[i, d] - x[j, d])
                x[i, d] -= mobility[i] * step
                x[j, d] += mobility[j] * step
            moved[i] = moved[j] = True
        for k in range(len(hinges)):
            hinge = hinges[k]
            if not (moved[hinge[0]] or moved[hinge[1]] or moved[hinge[2]] or moved[hinge[3]]):
                continue
            error = hinge_angle(x, hinge, gradient) - angles[k]
            error -= 2 * np.pi * np.round(error / (2 * np.pi))
            weight = 0.0
            for c in range(4):
                weight += mobility[hinge[c]] * (gradient[c, 0] ** 2 + gradient[c, 1] ** 2 + gradient[c, 2] ** 2)
            if weight == 0.0 or error * error < _MET * _MET * weight:
                continue
            scale = _BEND * error / weight
            for c in range(4):
                v = hinge[c]
                for d in range(3):
                    x[v, d] -= scale * mobility[v] * gradient[c, d]
                moved[v] = True
        for k in range(len(pushed)):
            v = pushed[k]
            depth = gap
            for d in range(3):
                depth -= (x[v, d] - points[k, d]) * normals[k, d]
            if depth > 0.0:
                for d in range(3):
                    x[v, d] += depth * normals[k, d]
                moved[v] = True
