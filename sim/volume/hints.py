# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known about how a head stands, before its face is looked at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hints:
    """In world space; None where nothing is known.

    upright: (3, 3) orthogonal, to the world from the space the head was modelled in, whose axes are the head's in
    unknown order; it mirrors if the character is mirrored. neck: (3,) from the neck towards the head. left: (3,)
    towards the person's left; its length, up to 1, says how sure that is. eyes: (3,) between the eyeballs [m].
    up, front: (3,) set by hand.
    """

    upright: NDArray[np.float64] | None = None
    neck: NDArray[np.float64] | None = None
    left: NDArray[np.float64] | None = None
    eyes: NDArray[np.float64] | None = None
    up: NDArray[np.float64] | None = None
    front: NDArray[np.float64] | None = None
