# SPDX-License-Identifier: GPL-3.0-or-later
"""Points and vectors in compiled loops, as tuples of three numbers.

A row taken as an array is reference counted, and threads counting on the same array wait for each other.
"""

from numba import njit


@njit(cache=True, inline="always")
def corner(values, i):
    """Row i of values (n, 3)."""
    return values[i, 0], values[i, 1], values[i, 2]


@njit(cache=True, inline="always")
def triangle_corners(vertices, triangles, t):
    """The three corners of triangle t."""
    return corner(vertices, triangles[t, 0]), corner(vertices, triangles[t, 1]), corner(vertices, triangles[t, 2])


@njit(cache=True, inline="always")
def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True, inline="always")
def cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
