# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact field: what the hands do at each control, on the tracked skin and on the skin of the last frame.

On the tracked skin, every nearby hand vertex adds its depth and its area to the controls around its nearest point.
On the skin of the last frame, each control gets its distance from the hand, the direction in which the hand's surface
faces there, and the hand's motion. Distances are looked up on the neutral skin, after each hand vertex has been moved
back by whatever moved the skin there: expression, jaw and earlier contact. A finger that has pushed the nose aside
therefore still finds the side it pushes, even beyond the middle of the tracked nose.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..sim.solver.system import vertex_areas
from ..sim.template import Template
from .controls import Controls
from .distance_grid import CELL, MARGIN, DistanceGrid

# Per control, for the tracked skin: largest depth, mean depth and covered area. For the skin of the last frame: depth
# in the nearest part of the hand, outward normal of that part, and its motion relative to the tracked skin since then
# (x, y, z in the cranium's frame). Depths count from MARGIN outside the skin, so 0 means that there is no hand.
DEPTH, MEAN, AREA, NEAR, NORMAL, MOTION = 0, 1, 2, 3, 4, 7
CHANNELS = 10
# Weights fall with distance r as (1 − r²/R²)³: close to a Gaussian of width R/√6, and cheaper.
REACH = 0.013  # [m] from a hand vertex to the controls that sense it
BLEND = 0.010  # [m] around a hand vertex in which the skin's displacement is averaged for it
ROUNDS = 2  # of looking up displacement and position in turn
PLANE = 5e-3  # [m] around a hand vertex in which its tangent plane approximates the hand
FOLLOWED = 4e-3  # [m] of displacement above which skin is also searched for beyond the margin
_UNIT_AREA = 4e-5  # [m²] of hand that counts as fully covering a control


class ContactField:
    """Computes the field of a frame. triangles: of the hands together; rest: (n, 3) [m] any pose of them, for areas.

    start (k + 1,), index: the controls within REACH of each one, along the skin; cover: (n,) share of a control that
    each hand vertex covers.
    """

    def __init__(
        self, template: Template, controls: Controls, grid: DistanceGrid, rest: NDArray, triangles: NDArray[np.int32]
    ):
        near = controls.distance.tocsr()
        keep = near.data < REACH
        rows = np.repeat(np.arange(len(controls)), np.diff(near.indptr))[keep]
        self.start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(controls)))]).astype(np.int64)
        self.index = near.indices[keep].astype(np.int32)
        self.cover = (vertex_areas(rest, triangles) / _UNIT_AREA).astype(np.float32)
        self._points = controls.points.astype(np.float32)
        self.grid = grid
        self._low = grid.low.astype(np.float32)
        self.values = np.zeros((len(controls), CHANNELS), np.float32)
        self._touched = np.zeros(len(controls), np.int32)
        self._count = 0
        self.nearest = np.inf  # [m] of a hand vertex to the tracked skin, negative inside, infinite beyond the margin
        self._total = np.zeros((len(controls), 3), np.float32)
        self.triangles = np.ascontiguousarray(triangles, np.int32)
        corners = self.triangles.ravel()
        self._around_start = np.concatenate([[0], np.cumsum(np.bincount(corners, minlength=len(rest)))])
        self._around = (np.argsort(corners, kind="stable") // 3).astype(np.int32)
        self._closest = np.zeros(len(controls), np.float32)
        self._vertex = np.full(len(controls), -1, np.int32)

    def compute(
        self, hands: NDArray, before: NDArray, moved: NDArray, moved_before: NDArray, state: NDArray
    ) -> NDArray[np.int32]:
        """Fills `values` (k, CHANNELS) and returns the controls that sense a hand.

        hands, before: (n, 3) float32 [m] hand vertices of this and the last frame in the cranium's frame; moved,
        moved_before: (k, 3) float32 displacement of the tracked skin at the controls; state: (k, 3) float32 what
        contact added to it until the last frame.
        """
        np.add(moved, state, out=self._total)
        self._count, self.nearest = _splat(
            hands, before, self.triangles, self._around_start, self._around, moved, moved_before, self._total,
            self._low, self.grid.distance, self.grid.control, self.start, self.index, self.cover, self._points,
            self.values, self._closest, self._vertex, self._touched, self._count,
        )  # fmt: skip
        return self._touched[: self._count]


@njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _control(q, low, control):
    """Control nearest to a place (3,) [m], −1 far away."""
    scale = np.float32(1 / CELL)
    x, y, z = (q[0] - low[0]) * scale, (q[1] - low[1]) * scale, (q[2] - low[2]) * scale
    half = np.float32(0.5)
    if not (x >= 0 and y >= 0 and z >= 0):
        return np.int16(-1)
    i, j, k = int(x + half), int(y + half), int(z + half)
    if i >= control.shape[0] or j >= control.shape[1] or k >= control.shape[2]:
        return np.int16(-1)
    return control[i, j, k]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _look_up(q, low, distance, control, foot):
    """Control nearest to a place (3,) [m] (−1 far away) and distance of the neutral skin there; `foot` (3,) becomes the
    nearest point of the skin."""
    shape = distance.shape
    x, y, z = (q[0] - low[0]) / CELL, (q[1] - low[1]) / CELL, (q[2] - low[2]) / CELL
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    if i < 0 or j < 0 or k < 0 or i >= shape[0] - 1 or j >= shape[1] - 1 or k >= shape[2] - 1:
        return -1, np.float32(0)
    fx, fy, fz = np.float32(x - i), np.float32(y - j), np.float32(z - k)
    near = control[i + (fx > 0.5), j + (fy > 0.5), k + (fz > 0.5)]
    if near < 0:
        return -1, np.float32(0)
    c00 = distance[i, j, k] * (1 - fx) + distance[i + 1, j, k] * fx
    c10 = distance[i, j + 1, k] * (1 - fx) + distance[i + 1, j + 1, k] * fx
    c01 = distance[i, j, k + 1] * (1 - fx) + distance[i + 1, j, k + 1] * fx
    c11 = distance[i, j + 1, k + 1] * (1 - fx) + distance[i + 1, j + 1, k + 1] * fx
    low_z, high_z = c00 * (1 - fy) + c10 * fy, c01 * (1 - fy) + c11 * fy
    value = low_z * (1 - fz) + high_z * fz
    gz = high_z - low_z
    gy = (c10 - c00) * (1 - fz) + (c11 - c01) * fz
    gx = (
        (distance[i + 1, j, k] - distance[i, j, k]) * (1 - fy) * (1 - fz)
        + (distance[i + 1, j + 1, k] - distance[i, j + 1, k]) * fy * (1 - fz)
        + (distance[i + 1, j, k + 1] - distance[i, j, k + 1]) * (1 - fy) * fz
        + (distance[i + 1, j + 1, k + 1] - distance[i, j + 1, k + 1]) * fy * fz
    )
    scale = value / (np.sqrt(gx * gx + gy * gy + gz * gz) + 1e-9)
    foot[0], foot[1], foot[2] = q[0] - scale * gx, q[1] - scale * gy, q[2] - scale * gz
    return near, value


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _displacement(near, foot, total, start, index, points, out):
    """Writes to `out` how far the skin at a point (3,) of the neutral skin has moved, averaged over nearby controls."""
    weight = np.float32(1e-4)  # without any other, the nearest control decides
    for d in range(3):
        out[d] = weight * total[near, d]
    for e in range(start[near], start[near + 1]):
        c = index[e]
        r = (points[c, 0] - foot[0]) ** 2 + (points[c, 1] - foot[1]) ** 2 + (points[c, 2] - foot[2]) ** 2
        w = max(np.float32(1) - r * np.float32(1 / (BLEND * BLEND)), np.float32(0))
        w = w * w * w
        weight += w
        for d in range(3):
            out[d] += w * total[c, d]
    for d in range(3):
        out[d] /= weight


@njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _normal(v, points, triangles, start, around, out):
    """Unit outward normal (3,) at a vertex, weighted by the areas of the triangles around it."""
    out[:] = 0.0
    for e in range(start[v], start[v + 1]):
        t = around[e]
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        out[0] += uy * vz - uz * vy
        out[1] += uz * vx - ux * vz
        out[2] += ux * vy - uy * vx
    out /= np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2) + np.float32(1e-20)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _splat(
    hands, before, triangles, around_start, around, moved, moved_before, total, low, distance, control, start, index,
    area, points, values, closest, vertex, touched, count,
):  # fmt: skip
    for t in range(count):
        vertex[touched[t]] = -1
        for d in range(CHANNELS):
            values[touched[t], d] = 0.0
    count = 0
    nearest = np.inf
    q, foot, shift = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
    for v in range(len(hands)):
        for d in range(3):
            q[d] = hands[v, d]
        near = _control(q, low, control)
        if near < 0:
            continue
        # Where expression and jaw have moved the skin, the hand is looked up where it would be on the neutral skin.
        for d in range(3):
            q[d] = hands[v, d] - moved[near, d]
        near, value = _look_up(q, low, distance, control, foot)
        if near < 0:
            continue
        depth = MARGIN - value
        if depth > 0.0:
            nearest = min(nearest, value)
            for e in range(start[near], start[near + 1]):
                c = index[e]
                r = (points[c, 0] - foot[0]) ** 2 + (points[c, 1] - foot[1]) ** 2 + (points[c, 2] - foot[2]) ** 2
                w = np.float32(1) - r * np.float32(1 / (REACH * REACH))
                if w <= 0.0:
                    continue
                w = w * w * w
                if values[c, AREA] == 0.0 and vertex[c] < 0:
                    touched[count] = c
                    count += 1
                s = w * area[v]
                values[c, AREA] += s + 1e-12
                values[c, DEPTH] = max(values[c, DEPTH], w * depth)
                values[c, MEAN] += s * depth
        gone = 0.0
        for d in range(3):
            gone += (total[near, d] - moved[near, d]) ** 2
        if value > MARGIN and gone < FOLLOWED * FOLLOWED:
            continue
        for _ in range(ROUNDS):
            _displacement(near, foot, total, start, index, points, shift)
            for d in range(3):
                q[d] = hands[v, d] - shift[d]
            near, value = _look_up(q, low, distance, control, foot)
            if near < 0:
                break
        if near < 0 or value > MARGIN:
            continue
        for e in range(start[near], start[near + 1]):
            c = index[e]
            r = np.float32(0.0)
            for d in range(3):
                r += (points[c, d] + total[c, d] - hands[v, d]) ** 2
            if vertex[c] < 0:
                if values[c, AREA] == 0.0:
                    touched[count] = c
                    count += 1
            elif r >= closest[c]:
                continue
            closest[c], vertex[c] = r, v
    for t in range(count):
        c = touched[t]
        values[c, MEAN] /= values[c, AREA] + 1e-12
        values[c, AREA] = values[c, AREA] / (1.0 + values[c, AREA])
        v = vertex[c]
        if v < 0:
            continue
        _normal(v, hands, triangles, around_start, around, shift)
        out = np.float32(0.0)
        for d in range(3):
            out += shift[d] * (points[c, d] + total[c, d] - hands[v, d])
        aside = np.sqrt(max(closest[c] - out * out, np.float32(0.0)))
        depth = MARGIN - out - max(aside - np.float32(PLANE), np.float32(0.0))
        if depth <= 0.0:
            continue
        values[c, NEAR] = depth
        for d in range(3):
            values[c, NORMAL + d] = shift[d]
            values[c, MOTION + d] = hands[v, d] - before[v, d] - moved[c, d] + moved_before[c, d]
    return count, nearest
