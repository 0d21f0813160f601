# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the rig and its result into models that can be drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bridge.cache.results import ResultReader, evaluated_mesh
from ..bridge.colours import displacement_colours
from ..bridge.masks import seen_triangles
from ..bridge.meshes import outward_triangles
from ..bridge.rig import Part, scene_object
from ..sim.measure import rigid_rotation
from .raster import Model

# Linear colours: skin; hands a shade lighter and cooler, so that they part from the face where they touch it.
SKIN, HAND = np.array([0.56, 0.31, 0.22]), np.array([0.56, 0.345, 0.26])
_PLAIN = (0.75, 0.74, 0.72)


@dataclass
class Shot:
    """Everything of one frame. tracked, simulated: the head object; hands, simulated_hands: those that are not part of
    it, as tracked and as simulated; others: eyes and the like.

    displacement: (n_head,) [m]; skin_tracked, skin: (n_head, 3) world [m]; rotation: (3, 3) of the head since the
    neutral frame.
    """

    frame: int
    tracked: Model
    simulated: Model
    hands: list[Model]
    simulated_hands: list[Model]
    others: list[Model]
    displacement: NDArray[np.float64]
    skin_tracked: NDArray[np.float64]
    skin: NDArray[np.float64]
    rotation: NDArray[np.float64]


class Stage:
    """Prepares topology and colours once; `shot(frame)` moves them."""

    def __init__(self, result: ResultReader):
        self.result = result
        rig = result.rig
        self._triangles = {p.object_name: _seen(scene_object(p.object_name)) for p in rig.moving}
        head = rig.head
        self._colours = vertex_colours(scene_object(head.object_name), SKIN)
        self._hand_parts: list[Part] = []
        for part in (rig.left, rig.right):
            if part is None:
                continue
            if part.object_name == head.object_name:
                self._colours[part.indices] *= HAND / SKIN
            elif part.object_name not in {p.object_name for p in self._hand_parts}:
                self._hand_parts.append(part)
        self._neutral: NDArray | None = None

    def shot(self, frame: int) -> Shot:
        """Reads one frame."""
        if self._neutral is None:
            self._neutral = self.result.reader.read(self.result.rig.neutral_frame).head.astype(np.float64)
        read = self.result.read(frame)
        head = self.result.rig.head
        triangles = self._triangles[head.object_name]
        hands = []
        for part in self._hand_parts:
            positions = self.result.object_positions(part.object_name, part.n_vertices)
            colours = vertex_colours(scene_object(part.object_name), SKIN) * (HAND / SKIN)
            hands.append(Model(positions, self._triangles[part.object_name], colours))
        depsgraph = self.result.reader.view_layer.depsgraph
        others = []
        for obj in self.result.other_objects():
            vertices, faces, slots = evaluated_mesh(obj, depsgraph, self.result.rig.scale)
            if _belongs(vertices, read.skin):
                colours = material_colours(obj)[np.minimum(slots, len(obj.data.materials))]
                # Corners of their own, so that the iris ends sharply at the white.
                corners = np.arange(3 * len(faces), dtype=np.int32).reshape(-1, 3)
                others.append(Model(vertices[faces.ravel()], corners, np.repeat(colours, 3, axis=0), shininess=1.0))
        tracked = read.tracked.head.astype(np.float64)
        as_tracked = Model(read.head_object, triangles, self._colours)
        simulated, *simulated_hands = self.moved([as_tracked, *hands], {"head": read.skin, **read.hands})
        return Shot(
            frame=frame,
            tracked=as_tracked,
            simulated=simulated,
            hands=hands,
            simulated_hands=simulated_hands,
            others=others,
            displacement=np.linalg.norm(read.skin - tracked, axis=1),
            skin_tracked=tracked,
            skin=read.skin,
            rotation=rigid_rotation(self._neutral, tracked),
        )

    def moved(self, tracked: Sequence[Model], surfaces: Mapping[str, NDArray]) -> list[Model]:
        """The head object and the hands of a shot, in this order, with some surfaces moved: by role, world [m]."""
        rig = self.result.rig
        models = dict(zip((rig.head.object_name, *(p.object_name for p in self._hand_parts)), tracked, strict=True))
        for role, positions in surfaces.items():
            part = getattr(rig, role)
            model = models[part.object_name]
            vertices = model.vertices.copy()
            vertices[part.indices] = positions
            models[part.object_name] = replace(model, vertices=vertices)
        return list(models.values())

    def head_part(self, shot: Shot) -> Model:
        """The simulated head part alone, in the rig's vertex order."""
        return Model(shot.skin, self.result.rig.head.triangles, np.tile(SKIN, (len(shot.skin), 1)))

    def coloured(self, shot: Shot, end: float) -> Model:
        """The simulated head object in colours of its displacement; `end` [m] is the end of the scale."""
        share = np.zeros(len(shot.simulated.vertices))
        share[self.result.rig.head.indices] = shot.displacement / end
        return Model(shot.simulated.vertices, shot.simulated.triangles, displacement_colours(share), shininess=0.15)


def _seen(obj: Any) -> NDArray[np.int32]:
    return seen_triangles(obj, outward_triangles(obj))


def vertex_colours(obj: Any, default: NDArray) -> NDArray[np.float64]:
    """Linear RGB (n, 3) of the vertices: the active colour attribute where that is per vertex, else `default`."""
    count = len(obj.data.vertices)
    attribute = obj.data.color_attributes.active_color
    if attribute is None or attribute.domain != "POINT":
        return np.tile(default, (count, 1))
    colours = np.empty(4 * count, np.float32)
    attribute.data.foreach_get("color", colours)
    return colours.reshape(-1, 4)[:, :3].astype(np.float64)


def material_colours(obj: Any) -> NDArray[np.float64]:
    """Viewport colours (slots + 1, 3), linear, of an object's materials; the last is for faces without any."""
    materials = [m.diffuse_color[:3] if m else _PLAIN for m in obj.data.materials]
    return np.array([*materials, _PLAIN], float)


def _belongs(vertices: NDArray, head: NDArray) -> bool:
    """Eyes, teeth, hair and clothes lie about the head; a backdrop or a chair would only dwarf it."""
    if not len(vertices):
        return False
    low, high = head.min(axis=0), head.max(axis=0)
    margin = 0.5 * (high - low).max()
    return bool(np.all(vertices >= low - margin) and np.all(vertices <= high + margin))
