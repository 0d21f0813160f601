# SPDX-License-Identifier: GPL-3.0-or-later
"""What the last iteration left of the skin in a hand, taken out of it by the tissue's own response.

Contacts are solved for where they were before the substep. Skin that moved along a hand meanwhile may have entered it:
the fewer the substeps, the deeper.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..solver.system import ElasticSystem
from .contacts import Contacts
from .stops import Bone, Rows, contact_problem
from .tracker import ContactTracker

_DEEPEST = 0.003  # [m] skin deeper in a hand was left there by bone, or is on its way to the other side


def push_out(
    system: ElasticSystem,
    tracker: ContactTracker,
    before: Contacts,
    skin: NDArray[np.float64],
    nearest: NDArray[np.int32],
    bone: Bone,
    give: float,
    settled: float,
) -> NDArray[np.float64] | None:
    """How far the skin (n_skin, 3) moves until it is out of the hands, (n_skin, 3) [m]; None if it is.

    before, nearest: see `ContactTracker.entered`; give: of the contacts; settled: see
    `ContactProblem`. Skin moves no closer to bone than it may.
    """
    vertices, points, way = tracker.entered(before, skin, nearest, _DEEPEST)
    if len(vertices) == 0:
        return None
    moves, moved = np.zeros((len(system.free), 3)), np.zeros_like(skin)
    contact_problem(system, skin, [Rows.of_vertices(vertices, way, points, give)], None, settled).correct(moves)
    system.skin_rows.map(moves, moved)
    keep_off(bone.direction, bone.room, moved)
    return moved


@njit(cache=True, nogil=True)
def keep_off(direction, room, moved):
    """Shortens moves (n, 3) along direction (n, 3) to what is left of the room (n,)."""
    for i in range(len(moved)):
        along = moved[i, 0] * direction[i, 0] + moved[i, 1] * direction[i, 1] + moved[i, 2] * direction[i, 2]
        beyond = along - max(room[i], 0.0)
        if beyond > 0.0:
            for d in range(3):
                moved[i, d] -= beyond * direction[i, d]
