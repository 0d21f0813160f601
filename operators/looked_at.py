# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check of the setup has seen of the head: how it stands, shown by arrows, and notes for the sidebar."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bridge import direction
from ..bridge.hints import axis_of
from ..bridge.rig import Rig

if TYPE_CHECKING:  # scipy and numba load on first use, so that enabling the add-on stays fast
    from ..sim.volume.look import Look


@dataclass(frozen=True)
class _Seen:
    """look: at the head of the neutral frame; vertices: how many its object has; to_carrier: (4, 4), see
    `direction.choose_carrier`."""

    look: "Look"
    vertices: int
    to_carrier: NDArray[np.float64]


_seen: dict[tuple[int, str], _Seen] = {}  # by the scene's session uid and the head's name


def look(scene: Any, rig: Rig, surfaces: Any) -> "Look | None":
    """Looks at the head of the neutral frame, at which the scene must be, and keeps what is seen."""
    from ..sim.volume.look import arrows, look_at

    found = look_at(surfaces.head, surfaces.hints, 1e-3 * scene.nephim.target_edge_mm)
    _seen.pop(_key(scene), None)
    if found is None:
        direction.forget(scene)
    else:
        to_carrier = direction.choose_carrier(scene, rig)
        direction.remember(scene, to_carrier, arrows(found.body, found.axes))
        _seen[_key(scene)] = _Seen(found, rig.head.n_vertices, to_carrier)
    return found


def notes(scene: Any) -> list[str]:
    """What the last check of this head noted; empty once its mesh has other vertices."""
    head = scene.nephim.head
    seen = _seen.get(_key(scene))
    if seen is None or head is None or seen.vertices != len(head.data.vertices):
        return []
    return seen.look.notes()


def axis_changed(scene: Any) -> None:
    """Up or front was set by hand: the arrows follow. Where the head has not been looked at in this session, they
    vanish until it is checked."""
    from ..errors import VolumeError
    from ..sim.volume.axes import find_axes
    from ..sim.volume.look import arrows

    seen = _seen.get(_key(scene))
    if seen is None:
        direction.forget(scene)
        return
    chosen = scene.nephim
    hints = replace(seen.look.hints, up=axis_of(chosen.up_axis), front=axis_of(chosen.front_axis))
    body = seen.look.body
    try:
        axes = find_axes(body.vertices, body.triangles, hints, body.name)
    except VolumeError:
        return
    _seen[_key(scene)] = replace(seen, look=replace(seen.look, hints=hints, axes=axes))
    direction.remember(scene, seen.to_carrier, arrows(body, axes))


def _key(scene: Any) -> tuple[int, str]:
    head = scene.nephim.head
    return scene.session_uid, "" if head is None else head.name
