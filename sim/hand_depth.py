# SPDX-License-Identifier: GPL-3.0-or-later
"""How much deeper in the head tracked hands are than skin and their own flesh can give."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .contact.bone_limit import towards
from .frame import TrackedFrame
from .geometry import rigid
from .geometry.clearance import Clearance
from .geometry.surface import Surface
from .geometry.triangle_bvh import TriangleTree
from .hand_flesh import HandFlesh
from .hands import Hands
from .settings import PhysicsSettings
from .template import Template
from .tracking import HeadTracking
from .tuning import DEFAULT, Tuning

# [m] A hand this close above the skin is looked at as well, so that a way out of one bone is none into another.
_ABOVE = 0.005
# Of all places that push a hand about the same way out, the deepest few decide: the directions to the faces, edges and
# corners of a cube are at most 28° from any.
_FEW = 4
_WAYS = np.array([way for way in product((-1.0, 0.0, 1.0), repeat=3) if any(way)])
_WAYS /= np.linalg.norm(_WAYS, axis=1, keepdims=True)


@dataclass(frozen=True)
class Limits:
    """Where a hand would be too deep: outward (k, 3), unit, from bone to skin in the cranium's frame; excess (k,) [m]
    beyond what gives there, negative where some is left. A few for each way out."""

    outward: NDArray[np.float64]
    excess: NDArray[np.float64]

    @property
    def most(self) -> float:
        """How much too deep the hand is [m], 0 if it is not."""
        return max(0.0, float(self.excess.max(initial=0.0)))


class HandDepth:
    """Measures the hands of frames against the skin as tracked, as the physics does before it moves anything: see
    `lift_off_bone`, and `HandFlesh` where hands yield.

    left, right: the hands' surfaces in any pose. Raises SimulationError when no hand is given.
    """

    def __init__(
        self,
        template: Template,
        settings: PhysicsSettings,
        *,
        left: Surface | None = None,
        right: Surface | None = None,
        yielding_hands: bool = False,
        tuning: Tuning = DEFAULT,
    ):
        self._template, self._settings = template, settings
        self._tracking = HeadTracking(template)
        self._hands = Hands(template, left, right)
        self.sides = self._hands.sides
        outer = template.skin_triangles[template.outer[template.skin_triangles].all(axis=1)]
        self._tree = TriangleTree(template.skin_vertices, outer)
        self._clearance = Clearance(len(self._hands.vertices), tuning.contact.deepest * settings.gap)
        self._flesh = HandFlesh(self._hands.simulated, template, settings) if yielding_hands else None

    def cranium(self, frame: TrackedFrame) -> NDArray[np.float64]:
        """(4, 4) from the cranium's frame to the world."""
        return self._tracking.pose(frame).cranium

    def limits(self, frame: TrackedFrame, shifts: Mapping[str, NDArray] | None = None) -> dict[str, Limits]:
        """By side, what limits the hands of a frame; hands that are not near are left out.

        shifts: (3,) by side [m], in the cranium's frame: how far to move the hands first. Raises SurfaceError when the
        frame does not fit the surfaces.
        """
        pose, settings = self._tracking.pose(frame), self._settings
        hands = rigid.apply(rigid.inverse(pose.cranium), self._hands.read(frame))
        for k, side in enumerate(self.sides):
            if shifts is not None and side in shifts:
                hands[self._hands.owner == k] += shifts[side]
        self._tree.refit(self._template.skin_vertices + pose.skin)
        if self._flesh is not None:
            given = self._flesh.give(self._tree, hands, pose.bone_direction, self._clearance)
            hands = hands if given is None else hands + given
        near, _, triangle, weights, _ = self._clearance.near(self._tree, hands, _ABOVE)
        if len(near) == 0:
            return {}
        ids = self._tree.triangles[triangle]
        inward, depth = towards(self._tree.vertices, pose.bone_direction, hands[near], ids, weights)
        tissue = np.einsum("mk,mk->m", weights, self._template.tissue_depth[ids])
        excess = depth - settings.compression_limit * tissue - settings.gap
        owner = self._hands.owner[near]
        return {
            side: _deepest(-inward[owner == k], excess[owner == k])
            for k, side in enumerate(self.sides)
            if (owner == k).any()
        }


def _deepest(outward: NDArray, excess: NDArray) -> Limits:
    """Of limits (m, 3), (m,) the few that are the tightest of all with about their direction."""
    way = (outward @ _WAYS.T).argmax(axis=1)
    order = np.lexsort((-excess, way))
    _, first, which = np.unique(way[order], return_index=True, return_inverse=True)
    kept = order[np.arange(len(order)) - first[which] < _FEW]
    return Limits(outward[kept], excess[kept])
