# SPDX-License-Identifier: GPL-3.0-or-later
"""What pushes the skin in a substep, and what stops it: hands, the bone under it, and eyes and teeth behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..geometry.triangle_bvh import TriangleTree
from ..settings import PhysicsSettings
from ..solver.pressure import PressureCells
from ..solver.system import ElasticSystem
from ..tuning import Tuning
from .bone_limit import where_carried
from .contact_solver import ContactProblem
from .contacts import Contacts, across, interpolate
from .obstacles import Nearby


@dataclass(frozen=True)
class Rows:
    """m constraints on points of the skin, as `ContactProblem` takes them."""

    skin: NDArray[np.int64]  # (m, 3)
    weights: NDArray[np.float64]  # (m, 3)
    normals: NDArray[np.float64]  # (m, 3)
    targets: NDArray[np.float64]  # (m, 3) [m]
    friction: NDArray[np.float64]  # (m,)
    give: NDArray[np.float64]  # (m,)
    held: NDArray[np.bool_]  # (m,)
    force: NDArray[np.float64]  # (m, 3) [N]

    @classmethod
    def of_vertices(cls, skin: NDArray, normals: NDArray, targets: NDArray, give: float) -> "Rows":
        """Vertices (m,) that slip on what is hard."""
        m = len(skin)
        return cls(
            np.column_stack([skin] * 3),
            np.tile([1.0, 0.0, 0.0], (m, 1)),
            normals,
            targets,
            np.zeros(m),
            np.full(m, give),
            np.zeros(m, bool),
            np.zeros((m, 3)),
        )


@dataclass(frozen=True)
class Bone:
    """The bone under the skin. direction: (n_skin, 3) unit, towards it; limit, room: (n_skin,) how far skin yields to
    it, and how much of that is left [m]."""

    direction: NDArray[np.float64]
    limit: NDArray[np.float64]
    room: NDArray[np.float64]

    @classmethod
    def under(
        cls,
        tree: TriangleTree,
        direction: NDArray,
        depth: NDArray,
        moved: NDArray,
        contacts: Contacts,
        settings: PhysicsSettings,
        tuning: Tuning,
    ) -> "Bone":
        """Under tissue of a depth (n_skin,) whose skin has moved (n_skin, 3) [m] from the tracked, the tree's.

        contacts: whose skin is asked for, beside what is near the bone.
        """
        limit = settings.compression_limit * depth
        asked = limit - np.einsum("ij,ij->i", moved, direction) < tuning.step.near_bone * limit
        asked[contacts.skin] = True
        carried = tuning.contact.along(settings.gap)
        return cls(*where_carried(tree, direction, limit, moved, np.flatnonzero(asked), carried))

    def reach(self, contacts: Contacts, normals: NDArray, least: float) -> NDArray[np.float64]:
        """How far skin at the contacts can still be pushed along `normals` (m, 3), (m,) [m]; least: see `towards_bone`
        of the tuning."""
        towards = np.einsum("mkd,md->mk", self.direction[contacts.skin], normals)
        return _reach(self.room[contacts.skin], towards, contacts.skin_weights, least)

    def rows(self, deformed: NDArray, yielding: NDArray[np.bool_], tuning: Tuning) -> Rows:
        """The `yielding` (n_skin,) skin near it; deformed: (n_skin, 3)."""
        deep = np.flatnonzero(yielding & (self.room < tuning.step.near_bone * self.limit))
        away = -self.direction[deep]
        floor = deformed[deep] - self.room[deep, None] * away
        return Rows.of_vertices(deep, away, floor, tuning.contact.bone_give)


def reach_over(near: Nearby, contacts: Contacts, normals: NDArray, least: float) -> NDArray[np.float64]:
    """As `Bone.reach`, to the obstacles that the skin is `near`."""
    place = np.searchsorted(near.skin, contacts.skin).clip(max=len(near.skin) - 1)
    over = near.skin[place] == contacts.skin
    room = np.where(over, (near.height - near.least)[place], np.inf)
    towards = np.where(over, np.einsum("mkd,md->mk", -near.normal[place], normals), 0.0)
    return _reach(room, towards, contacts.skin_weights, least)


def obstacle_rows(near: Nearby, tuning: Tuning, gap: float) -> Rows:
    """The skin that may enter an obstacle within a substep."""
    close = near.select(near.height - near.least < tuning.step.target * gap)
    return Rows.of_vertices(
        close.skin, close.normal, close.point + close.least[:, None] * close.normal, tuning.contact.bone_give
    )


def hand_rows(
    contacts: Contacts,
    hands: NDArray,
    deformed: NDArray,
    normals: NDArray,
    carried: NDArray,
    reach: NDArray,
    grip: tuple[NDArray, NDArray],
    settings: PhysicsSettings,
    tuning: Tuning,
) -> Rows:
    """The present contacts, each wanting its skin point a gap off its anchor along `normals` (m, 3).

    deformed: (n_skin, 3); carried: (m, 3) how far the skin is from where it was tracked [m]; reach: (m,) how far it can
    still be pushed: a contact asks for no more; grip: see `Grip.at`.
    """
    targets = interpolate(hands, contacts.hand, contacts.hand_weights) + settings.gap * normals
    targets += across(contacts.ahead, normals)
    present = interpolate(deformed, contacts.skin, contacts.skin_weights)
    step = targets - present
    length = np.linalg.norm(step, axis=1, keepdims=True)
    targets = present + step * np.minimum(1.0, tuning.step.target * settings.gap / np.maximum(length, 1e-12))
    asked = np.einsum("ij,ij->i", targets - present, normals)
    targets -= np.maximum(asked - np.maximum(reach, 0.0), 0.0)[:, None] * normals

    # Skin that was carried far slips.
    along = across(carried, normals)
    friction, drag_limit = grip
    hold = np.clip(2.0 - np.linalg.norm(along, axis=1) / np.maximum(drag_limit, 1e-12), 0.0, 1.0)
    return Rows(
        contacts.skin,
        contacts.skin_weights,
        normals,
        targets,
        friction * hold,
        np.full(len(contacts), tuning.contact.hand_give),
        contacts.held,
        contacts.force,
    )


def contact_problem(
    system: ElasticSystem, tracked: NDArray, rows: Sequence[Rows], cells: PressureCells | None, settled: float
) -> ContactProblem:
    """All constraints together; tracked: (n_skin, 3) the undisturbed skin; settled: see `ContactProblem`."""
    together = Rows(*(np.concatenate([getattr(one, f.name) for one in rows]) for f in fields(Rows)))
    return ContactProblem(
        system,
        together.skin,
        together.weights,
        together.normals,
        together.targets,
        tracked,
        together.friction,
        together.give,
        together.held,
        together.force,
        settled,
        cells,
    )


def _reach(room: NDArray, towards: NDArray, weights: NDArray, least: float) -> NDArray[np.float64]:
    """The shortest way (m,) of the corners (m, 3) to what stops them, where the push is towards it."""
    reach = np.where(towards > least, room / np.maximum(towards, least), np.inf)
    return np.asarray(np.min(np.where(weights > 0, reach, np.inf), axis=1))
