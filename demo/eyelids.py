# SPDX-License-Identifier: GPL-3.0-or-later
"""Blinks whose lids meet.

MakeHuman's blink moves the upper lid right through the lower one and drags the lining of the nose along. Neither is
visible, but the volume around them would be turned inside out.
"""

import numpy as np
from numpy.typing import NDArray

from ..sim.geometry.intersections import intersecting_pairs

GAP = 2e-5  # what the closed lids leave between them [m]: not to be seen, and free of rounding
# How far from the middle of the eye a blink reaches whole, and where it ends [m]: lids and brow, not the nose's lining.
_WHOLE, _END = 0.022, 0.032
_STEP = 0.02  # of the way at a time: the lid travels 12 mm, so that it stops within a quarter of a millimetre
_WIDTH = 1.5e-3  # over which a lid bends [m]; less would leave notches in its edge
_STEPS = 100  # even a lid held back at every step has then lost 87 % of its way


def meeting(vertices: NDArray, triangles: NDArray, blink: NDArray, eye: NDArray) -> NDArray[np.float64]:
    """The key `blink` (n, 3), held back from side to side as much as needed for its lids to meet without crossing.

    vertices: (n, 3) the open eyes [m], x from side to side; triangles: (m, 3); eye: (3,) its middle.
    """
    from_eye = np.linalg.norm(vertices - eye, axis=1)
    share = np.clip((_END - from_eye) / (_END - _WHOLE), 0, 1)
    blink = (share * share * (3 - 2 * share))[:, None] * blink
    about = triangles[(from_eye < _END)[triangles].any(1)]
    # Folds of the open eye stay as they are.
    narrow = {tuple(pair) for pair in intersecting_pairs(vertices, about, GAP)}
    held = np.ones(len(vertices))
    for _ in range(_STEPS):
        pairs = intersecting_pairs(vertices + held[:, None] * blink, about, GAP)
        crossing = [pair for pair in pairs if tuple(pair) not in narrow]
        if not crossing:
            break
        places = np.unique(vertices[about[crossing]].mean((1, 2))[:, 0])
        apart = np.abs(vertices[:, :1] - places).min(1)
        held *= 1 - _STEP * np.exp(-((apart / _WIDTH) ** 2))
    return held[:, None] * blink
