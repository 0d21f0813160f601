# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles a simulation's loops before the first frame that anybody waits for.

That takes about a minute once after an installation or an update; compiled loops are kept on disk, from where the next
session loads them within a second or two.
"""

import sys
import time
from functools import partial
from typing import Any

import numpy as np
from numba.core import event
from numba.core.dispatcher import Dispatcher

from ..progress import Job, Progress, aside, call
from .coarse_contact import press
from .contact.bone_limit import spread
from .contact.push_out import keep_off
from .frame import TrackedFrame
from .geometry.points import apply_into, displace
from .geometry.surface import Surface, vertex_normals
from .geometry.triangle_bvh import bounds, inside_box
from .hand_flesh import compressions
from .hand_on_hand import HandOnHand
from .solver.untangle import untangle
from .template import Template

STEP = "compiling"
_DEEP, _AWAY = 0.002, 0.05  # [m] a fingertip touches the skin, and leaves it
_ready: set[tuple[type, bool]] = set()  # whose loops have been compiled or loaded in this process


def warm_up_job(simulation: Any, template: Template, left: Surface | None, right: Surface | None) -> Job[None]:
    """Compiles, or loads, every loop of the simulation, with its progress; at once where that has been done.

    left, right: the hands at the neutral frame. The simulation has no history afterwards.
    """
    loops = type(simulation), getattr(simulation, "cells", None) is not None  # pressure cells have loops of their own
    if loops in _ready:
        return
    compiled = _Compiled()
    preparing = Progress("simulation", 0.0, "loading compiled loops")
    with event.install_listener("numba:compile", compiled):
        for progress in aside(call(preparing, partial(warm_up, simulation, template, left, right))):
            yield compiled.progress() if compiled.count else progress
    _ready.add(loops)


class _Compiled(event.Listener):
    """Counts the loops that are compiled, each with those that it calls."""

    def __init__(self) -> None:
        self.count = 0

    def on_start(self, event: Any) -> None:
        pass

    def on_end(self, event: Any) -> None:
        self.count += 1

    def progress(self) -> Progress:
        done = min(self.count / max(_loops(), 1), 0.99)
        return Progress(STEP, done, f"{self.count} loops, once for this version")


def _loops() -> int:
    """How many compiled functions the package has in the modules that are loaded."""
    package = __name__.rpartition(".")[0]
    return sum(
        isinstance(value, Dispatcher) and value.py_func.__module__ == name
        for name, module in list(sys.modules.items())
        if name.startswith(package)
        for value in vars(module).values()
    )


def warm_up(simulation: Any, template: Template, left: Surface | None, right: Surface | None) -> None:
    """Calls every loop of the simulation; it has no history afterwards."""
    touch(simulation, template, left, right)
    _call_seldom_needed()


def touch(simulation: Any, template: Template, left: Surface | None, right: Surface | None) -> float:
    """Steps through a light touch of one hand and forgets it; returns what its last frame took [ms]. The hands are
    those of the neutral frame."""
    hand = left if left is not None else right
    if hand is None:
        return 0.0
    skin = template.skin_vertices
    # Furthest from the middle the skin is convex: a hand outside of its tangential plane touches nothing else.
    free = template.outer & ~template.rim
    spot = int(np.argmax(np.where(free, np.linalg.norm(skin - skin.mean(axis=0), axis=1), 0.0)))
    normal = vertex_normals(skin, template.skin_triangles)[spot]
    tip = int(np.argmin(hand.vertices @ normal))
    taken = []
    for distance in (_AWAY, -_DEEP, -_DEEP, _AWAY):
        moved = hand.vertices + (skin[spot] + distance * normal - hand.vertices[tip])
        posed = {"left": left, "right": right} | {"left" if hand is left else "right": Surface(moved, hand.triangles)}
        still = np.eye(4)
        one, other = (
            None if surface is None else surface.vertices.astype(np.float32)
            for surface in (posed["left"], posed["right"])
        )
        frame = TrackedFrame(template.head_vertices.astype(np.float32), one, other, still, still)
        started = time.perf_counter()
        simulation.step(frame)
        taken.append(1000 * (time.perf_counter() - started))
    simulation.reset()
    return taken[2]


def _call_seldom_needed() -> None:
    """The loops that a light touch does not reach, and those around a simulation, with the types that they are called
    with: for nothing, as there is nothing in the arrays. `tests/test_warm_up.py` finds what is missing here."""
    points, single = np.zeros((0, 3)), np.zeros((0, 3), np.float32)
    number, start, index = np.zeros(0), np.zeros(1, np.int32), np.zeros(0, np.int32)
    spread(points, points, points, 0.0)  # hands deeper than bone allows
    keep_off(points, number, points)  # skin left in a hand
    compressions(number, number, number, 0.0, 0.0)  # hands that yield
    one, hands = Surface(np.eye(3), np.array([[0, 1, 2]], np.int32)), np.tile(np.eye(3), (2, 1))
    together = HandOnHand(one, one, np.ones(6), np.ones(6), 1.0)  # … to each other
    together.near(hands)
    together.press(hands, hands)
    together.room(hands, np.arange(6), 0.0)
    # Folded by expression, and by contact.
    for ids, real in ((np.int32, np.float64), (np.int64, np.float32)):
        blocks, stale, corners = np.zeros((0, 0), np.float32), np.zeros(0, bool), np.zeros((0, 4), ids)
        gradients, ratios = np.zeros((0, 4, 3)), np.zeros(0, real)
        untangle(points, corners, gradients, points, stale, blocks, ratios, number, start, index, 0)
    for asked in (points, single):  # around coarse meshes, obstacles, deformed hands
        for space in (points, single):
            inside_box(asked, *bounds(space))
    press(points, points, number, np.zeros(0, bool), start, index, number, points, number, 0)  # coarse meshes
    apply_into(np.eye(4), single, single)  # from Blender …
    displace(single, single, index, np.eye(3), single)  # … and back
