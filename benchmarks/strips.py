# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture strips: four frames of an interaction, the tracked input above each method's result, close up."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import bpy
import numpy as np
from nephim.bridge.cache.results import evaluated_mesh
from nephim.demo import looks
from nephim.demo.character import Character
from nephim.pictures.camera import best_direction, focus
from nephim.pictures.images import write_png
from nephim.pictures.raster import Light, Model, View, render_all
from nephim.pictures.staging import HAND, SKIN, material_colours
from nephim.pictures.strip import compose_strip
from nephim.sim.frame import TrackedFrame
from numpy.typing import NDArray

_CELL = (380, 380)
_FRONT, _UP = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
_CLOSE_LOW, _CLOSE_HIGH = 0.085, 0.16  # least and largest height of a picture [m]
_MOVED = 3e-4  # [m] displacement from which the skin counts as moved


class Studio:
    """Colours and eyes of the character, prepared once. triangles: (m, 3) of the head as simulated."""

    def __init__(self, character: Character, rest: NDArray, triangles: NDArray):
        self.character, self.triangles = character, triangles
        self._tint = looks.head_tint(rest)
        self._hand_tint = {
            side: looks.hand_tint(part.weights, character.hand_skeletons[side].names) * (HAND / SKIN)
            for side, part in character.hands.items()
        }
        self._hand_triangles = {side: part.triangles for side, part in character.hands.items()}
        self._eyes = [self._eye(side) for side in character.eyes]

    def _eye(self, side: str) -> Model:
        obj = looks.add_eye(f"Eye.{side}", self.character.eyes[side])
        for name, colour in (("Pupil", (0.004,) * 3), ("Iris", (0.11, 0.16, 0.14)), ("White", (0.80, 0.77, 0.74))):
            obj.data.materials.append(looks.plain_material(name, colour, 0.1))
        bpy.context.view_layer.update()
        vertices, faces, slots = evaluated_mesh(obj, bpy.context.evaluated_depsgraph_get(), 1.0)
        corners = np.arange(3 * len(faces), dtype=np.int32).reshape(-1, 3)
        colours = np.repeat(material_colours(obj)[slots], 3, axis=0)
        return Model(vertices[faces.ravel()], corners, colours, shininess=1.0)

    def head(self, skin: NDArray) -> Model:
        return Model(skin, self.triangles, self._tint)

    def hands(self, frame: TrackedFrame) -> list[Model]:
        given = (("L", frame.left), ("R", frame.right))
        return [Model(h, self._hand_triangles[s], self._hand_tint[s]) for s, h in given if h is not None]

    def strip(
        self,
        path: Path,
        title: str,
        frames: Sequence[TrackedFrame],
        results: Mapping[str, NDArray],
        deciding: str,
        resolved: Mapping[str, Sequence[TrackedFrame]] | None = None,
    ) -> list[int]:
        """Writes the strip. results: method → skins (f, n, 3); "tracked" among them; `deciding` chooses frames and
        view; resolved: method → frames with hands that yield. Returns the frames shown."""
        displacement = np.linalg.norm(results[deciding] - results["tracked"], axis=2)
        chosen = choose(displacement.max(axis=1))
        stage = self._stage(frames, results, deciding, displacement, displacement[chosen].max(axis=0))
        cells = render_all(
            [
                (self._shown(skins[k], (resolved or {}).get(name, frames)[k]), *stage)
                for name, skins in results.items()
                for k in chosen
            ]
        )
        captions = [f"frame {k}: {1e3 * displacement[k].max():.1f} mm" for k in chosen]
        write_png(path, compose_strip(cells, list(results), captions, title))
        return chosen

    def film_pictures(
        self, folder: Path, title: str, frames: Sequence[TrackedFrame], results: Mapping[str, NDArray], deciding: str
    ) -> tuple[int, int]:
        """Adds to the pictures in a folder one for each frame, the methods side by side, as `strip` sees them. Returns
        their size, even numbers."""
        displacement = np.linalg.norm(results[deciding] - results["tracked"], axis=2)
        stage = self._stage(frames, results, deciding, displacement, displacement.max(axis=0))
        cells = render_all(
            [(self._shown(skins[k], frames[k]), *stage) for k in range(len(frames)) for skins in results.values()]
        )
        first, wide = len(list(folder.glob("*.png"))), len(results)
        for k in range(len(frames)):
            heading = f"{title}: {1e3 * displacement[k].max():.1f} mm"
            picture = compose_strip(cells[k * wide : (k + 1) * wide], [""], list(results), heading)
            picture = picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2]
            write_png(folder / f"{first + k:06d}.png", picture)
        return picture.shape[1], picture.shape[0]

    def _shown(self, skin: NDArray, frame: TrackedFrame) -> list[Model]:
        return [self.head(skin), *self._eyes, *self.hands(frame)]

    def _stage(
        self,
        frames: Sequence[TrackedFrame],
        results: Mapping[str, NDArray],
        deciding: str,
        displacement: NDArray,
        moved: NDArray,
    ) -> tuple[View, Light]:
        """Close to what `moved` (n,), seen as is best in the frame of the largest displacement (f, n)."""
        peak = int(displacement.max(axis=1).argmax())
        centre, extent = focus(results["tracked"][peak], moved)
        height = float(np.clip(1.7 * extent, _CLOSE_LOW, _CLOSE_HIGH))
        hands = self.hands(frames[peak])
        direction = best_direction(
            self.head(results[deciding][peak]), hands, displacement[peak], _FRONT, _UP, centre, height
        )
        return View(centre, -direction, _UP, height, _CELL), _light(hands, centre, direction)


def choose(moved: NDArray) -> list[int]:
    """Four frames of a motion with the largest displacement of each frame (f,) [m]: coming, peak, going, returning."""
    touched = np.flatnonzero(moved > _MOVED)
    if len(touched) == 0:
        return [k * (len(moved) - 1) // 3 for k in range(4)]
    first, last, peak = int(touched[0]), int(touched[-1]), int(moved.argmax())
    wished = [(first + peak) // 2, peak, (peak + last) // 2, last]
    return [min(max(k, 0), len(moved) - 1) for k in wished]


def _light(hands: Sequence[Model], contact: NDArray, direction: NDArray) -> Light:
    """Key light from the side where no hand stands between it and the contact."""
    points = np.concatenate([h.vertices for h in hands])
    to_the_right = (points.mean(axis=0) - contact) @ np.cross(_UP, direction)
    return Light() if to_the_right > 0 else Light().mirrored()
