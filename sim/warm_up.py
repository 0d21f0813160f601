# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets a simulation compile its code before the first frame that somebody waits for: once after an installation that
takes a minute, later a second."""

from typing import Any

import numpy as np

from .frame import TrackedFrame
from .geometry.surface import Surface, vertex_normals
from .template import Template

_DEEP, _AWAY = 0.002, 0.05  # [m] a fingertip touches the skin, and leaves it


def warm_up(simulation: Any, template: Template, left: Surface | None, right: Surface | None) -> None:
    """Steps through a touch of one hand and forgets it; the hands are those of the neutral frame."""
    hand = left if left is not None else right
    if hand is None:
        return
    skin = template.skin_vertices
    # Furthest from the middle the skin is convex: a hand outside of its tangential plane touches nothing else.
    free = template.outer & ~template.rim
    spot = int(np.argmax(np.where(free, np.linalg.norm(skin - skin.mean(axis=0), axis=1), 0.0)))
    normal = vertex_normals(skin, template.skin_triangles)[spot]
    tip = int(np.argmin(hand.vertices @ normal))
    for distance in (_AWAY, -_DEEP, -_DEEP, _AWAY):
        moved = hand.vertices + (skin[spot] + distance * normal - hand.vertices[tip])
        posed = {"left": left, "right": right} | {"left" if hand is left else "right": Surface(moved, hand.triangles)}
        still = np.eye(4)
        one, other = (
            None if surface is None else surface.vertices.astype(np.float32)
            for surface in (posed["left"], posed["right"])
        )
        simulation.step(TrackedFrame(template.head_vertices.astype(np.float32), one, other, still, still))
    simulation.reset()
