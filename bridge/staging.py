# SPDX-License-Identifier: GPL-3.0-or-later
"""From the rig and its result to models that can be pictured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sim.measure import rigid_rotation
from .images import displacement_colours
from .raster import Model
from .results import ResultReader, evaluated_mesh, object_triangles
from .rig import Part, scene_object

# Linear colours: skin; hands a shade lighter and cooler, so that they part from the face where they touch it.
SKIN, HAND = np.array([0.56, 0.31, 0.22]), np.array([0.60, 0.43, 0.36])


@dataclass
class Shot:
    """Everything of one frame. heads: the head object as tracked and as simulated; hands; others: eyes and the like.

    displacement: (n_head,) [m]; skin_tracked, skin: (n_head, 3) world [m]; rotation: (3, 3) of the head since the
    neutral frame.
    """

    frame: int
    tracked: Model
    simulated: Model
    hands: list[Model]
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
        self._triangles = {
            p.object_name: _outward(object_triangles(scene_object(p.object_name).data), p.object_name)
            for p in rig.moving
        }
        head = rig.head
        self._colours = np.tile(SKIN, (head.n_vertices, 1))
        self._hand_parts: list[Part] = []
        for part in (rig.left, rig.right):
            if part is None:
                continue
            if part.object_name == head.object_name:
                self._colours[part.indices] = HAND
            elif part.object_name not in {p.object_name for p in self._hand_parts}:
                self._hand_parts.append(part)
        self._neutral: NDArray | None = None

    def shot(self, frame: int) -> Shot:
        """Reads one frame."""
        if self._neutral is None:
            self._neutral = self.result.reader.read(self.result.rig.neutral_frame).head.astype(np.float64)
        read = self.result.read(frame)
        head = self.result.rig.head
        moved = read.head_object.copy()
        moved[head.indices] = read.skin
        triangles = self._triangles[head.object_name]
        hands = []
        for part in self._hand_parts:
            positions = self.result.object_positions(part.object_name, part.n_vertices)
            colours = np.tile(HAND, (part.n_vertices, 1))
            hands.append(Model(positions, self._triangles[part.object_name], colours))
        depsgraph = self.result.reader.view_layer.depsgraph
        others = []
        for obj in self.result.other_objects():
            vertices, faces = evaluated_mesh(obj, depsgraph, self.result.rig.scale)
            colour = obj.active_material.diffuse_color[:3] if obj.active_material else (0.75, 0.74, 0.72)
            others.append(Model(vertices, faces, np.tile(colour, (len(vertices), 1)), shininess=1.0))
        tracked = read.tracked.head.astype(np.float64)
        return Shot(
            frame=frame,
            tracked=Model(read.head_object, triangles, self._colours),
            simulated=Model(moved, triangles, self._colours),
            hands=hands,
            others=others,
            displacement=np.linalg.norm(read.skin - tracked, axis=1),
            skin_tracked=tracked,
            skin=read.skin,
            rotation=rigid_rotation(self._neutral, tracked),
        )

    def head_part(self, shot: Shot) -> Model:
        """The simulated head part alone, in the rig's vertex order."""
        return Model(shot.skin, self.result.rig.head.triangles, np.tile(SKIN, (len(shot.skin), 1)))

    def coloured(self, shot: Shot, end: float) -> Model:
        """The simulated head object in colours of its displacement; `end` [m] is the end of the scale."""
        share = np.zeros(len(shot.simulated.vertices))
        share[self.result.rig.head.indices] = shot.displacement / end
        return Model(shot.simulated.vertices, shot.simulated.triangles, displacement_colours(share), shininess=0.15)


def _outward(triangles: NDArray[np.int32], name: str) -> NDArray[np.int32]:
    """Mirrored objects turn their faces inside out."""
    return triangles[:, ::-1] if scene_object(name).matrix_world.determinant() < 0 else triangles
