# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a rig against its head, to find what touches."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .rig import Rig

if TYPE_CHECKING:  # numba loads on first use, so that enabling the add-on stays fast
    from ..sim.touching import Touching


def touching_hands(rig: Rig, outer: NDArray[np.bool_]) -> dict[str, "Touching"]:
    """For each hand there is, by side. outer: (n,) bool, of the template's skin, the head's vertices first."""
    from ..sim.touching import Touching

    reached = outer[: len(rig.head.indices)]
    return {
        side: Touching(rig.head.triangles, reached, part.triangles)
        for side, part in (("left", rig.left), ("right", rig.right))
        if part is not None
    }
