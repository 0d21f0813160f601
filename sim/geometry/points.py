# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums, distances and moves of points in one pass, without allocating arrays."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def add_scaled(factor, points, out):
    """out (n, 3) += factor * points (n, 3)."""
    for i in range(len(out)):
        out[i, 0] += factor * points[i, 0]
        out[i, 1] += factor * points[i, 1]
        out[i, 2] += factor * points[i, 2]


@njit(cache=True, nogil=True)
def largest_difference(a, b):
    """The largest |a - b| of any coordinate of a, b (n, 3)."""
    largest = 0.0
    for i in range(len(a)):
        x, y, z = abs(a[i, 0] - b[i, 0]), abs(a[i, 1] - b[i, 1]), abs(a[i, 2] - b[i, 2])
        largest = max(largest, x, y, z)
    return largest


@njit(cache=True, nogil=True)
def farthest_move(before, after):
    """The largest distance between a point of before and the same point of after, (n, 3)."""
    largest = 0.0
    for i in range(len(before)):
        x, y, z = after[i, 0] - before[i, 0], after[i, 1] - before[i, 1], after[i, 2] - before[i, 2]
        largest = max(largest, x * x + y * y + z * z)
    return np.sqrt(largest)


@njit(cache=True, nogil=True)
def shorten_moves(before, most, after):
    """Moves points after (n, 3) back towards before (n, 3) if they are further away than `most`."""
    for i in range(len(before)):
        x, y, z = after[i, 0] - before[i, 0], after[i, 1] - before[i, 1], after[i, 2] - before[i, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > most:
            share = most / length
            after[i, 0] = before[i, 0] + share * x
            after[i, 1] = before[i, 1] + share * y
            after[i, 2] = before[i, 2] + share * z


@njit(cache=True, nogil=True)
def displace(skin, tracked, indices, to_local, positions):
    """positions[indices] (m, 3) += what skin (n, 3) is off tracked (n, 3), turned by to_local (3, 3); what is not moved
    is kept bit for bit."""
    for v in range(len(indices)):
        x, y, z = skin[v, 0] - tracked[v, 0], skin[v, 1] - tracked[v, 1], skin[v, 2] - tracked[v, 2]
        if x != 0 or y != 0 or z != 0:
            for d in range(3):
                positions[indices[v], d] += np.float32(to_local[d, 0] * x + to_local[d, 1] * y + to_local[d, 2] * z)


@njit(cache=True, nogil=True)
def apply_into(transform, points, out):
    """Points (n, 3) moved by an affine transform (4, 4), as by `rigid.apply`, in one pass: computed in double
    precision, stored in that of `out` (n, 3)."""
    for v in range(len(points)):
        for d in range(3):
            out[v, d] = (
                transform[d, 0] * points[v, 0] + transform[d, 1] * points[v, 1] + transform[d, 2] * points[v, 2]
            ) + transform[d, 3]
