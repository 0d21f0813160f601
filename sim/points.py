# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums over points in one pass and without a new array."""

from numba import njit


@njit(cache=True)
def add_scaled(factor, points, out):
    """out (n, 3) += factor * points (n, 3)."""
    for i in range(len(out)):
        out[i, 0] += factor * points[i, 0]
        out[i, 1] += factor * points[i, 1]
        out[i, 2] += factor * points[i, 2]


@njit(cache=True)
def largest_difference(a, b):
    """The largest |a - b| of any coordinate of a, b (n, 3)."""
    largest = 0.0
    for i in range(len(a)):
        x, y, z = abs(a[i, 0] - b[i, 0]), abs(a[i, 1] - b[i, 1]), abs(a[i, 2] - b[i, 2])
        largest = max(largest, x, y, z)
    return largest
