# SPDX-License-Identifier: GPL-3.0-or-later
"""A hand of cubes: palm, fingers side by side, a stump of the forearm, open there."""

import numpy as np

CUBE = 0.01  # metres


def hand_of_cubes(fingers: int = 5, length: int = 6, arm: int = 3) -> tuple[np.ndarray, list]:
    """Vertices and outward quads; fingers along +z, side by side in x, `length` cubes long. A finger is as wide as the
    gap beside it."""
    width = 2 * fingers - 1
    cubes = {(x, y, z) for x in range(width) for y in range(2) for z in range(4)}
    cubes |= {(x, y, z) for x in range(0, width, 2) for y in range(2) for z in range(4, 4 + length)}
    cubes |= {(x, y, -z) for x in range(1, width - 1) for y in range(2) for z in range(1, arm + 1)}
    number: dict[tuple[int, ...], int] = {}
    faces = []
    for cube in sorted(cubes):
        for axis in range(3):
            one, other = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
            for end in (0, 1):
                step = np.eye(3, dtype=int)[axis]
                if tuple(np.add(cube, step * (2 * end - 1))) in cubes or (axis == 2 and not end and cube[2] == -arm):
                    continue
                start = np.add(cube, step * end)
                corners = [start, start + one, start + one + other, start + other]
                faces.append([number.setdefault(tuple(c), len(number)) for c in corners[:: 1 if end else -1]])
    return np.array(list(number)) * CUBE - (width * CUBE / 2, CUBE, 0), faces
