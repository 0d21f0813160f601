# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours for displacements, the same in the viewport and in pictures."""

import numpy as np
from numpy.typing import NDArray

# Colours of a displacement from nothing to the end of the scale, linear RGB: the grey of clay, then yellow, orange,
# red, purple and almost black. Lightness falls evenly, so it also reads in greyscale and for colour-blind viewers.
_SCALE = np.array(
    [
        [0.45, 0.44, 0.43],
        [0.62, 0.37, 0.05],
        [0.62, 0.16, 0.02],
        [0.42, 0.035, 0.04],
        [0.19, 0.012, 0.10],
        [0.04, 0.006, 0.08],
    ]
)


def displacement_colours(share: NDArray) -> NDArray[np.float32]:
    """Linear RGB (n, 3) of displacements given as fractions (n,) of the scale's end; clamped to 0..1."""
    stops = np.linspace(0, 1, len(_SCALE))
    share = np.clip(share, 0, 1)
    return np.stack([np.interp(share, stops, _SCALE[:, d]) for d in range(3)], axis=-1).astype(np.float32)
