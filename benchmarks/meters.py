# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured of a run of an interaction: METHOD's measures on one template."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nephim.demo.character import Character
from nephim.sim import flesh, measure
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.surface import Surface, vertex_normals
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.hand_flesh import HandFlesh
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import Template
from numpy.typing import NDArray

from .interactions import FRAME_RATE, Interaction

_SIDES = {"L": "left", "R": "right"}


@dataclass(frozen=True)
class Run:
    """One interaction by one method: skins (f, n, 3) and the statistics of each frame; frames: with the hands as
    resolved, None where all stay as tracked."""

    skins: NDArray[np.float32]
    statistics: list[dict[str, float]]
    frames: list[TrackedFrame] | None = None


class Meters:
    """Measures runs on one template; METHOD's measures, lengths in mm."""

    def __init__(self, template: Template, settings: PhysicsSettings, character: Character):
        self.template, self.allowed = template, settings.compression_limit * template.tissue_depth
        self._meters = {
            side: measure.PenetrationMeter(template.skin_triangles, template.outer, part.triangles)
            for side, part in character.hands.items()
        }
        self._gives = {
            side: HandFlesh({_SIDES[side]: Surface(part.vertices, part.triangles)}, template, settings).limit
            for side, part in character.hands.items()
        }

    def depths(
        self, interaction: Interaction, skins: NDArray, resolved: Sequence[TrackedFrame] | None = None
    ) -> list[list[measure.Penetration]]:
        """Penetration of each frame with each hand, as `resolved` or else as tracked; skins: (f, n, 3)."""
        return [
            [self._meters[side].measure(skin, hand) for side, hand in hands_of(frame)]
            for frame, skin in zip(resolved or interaction.frames, skins, strict=True)
        ]

    def measure(self, interaction: Interaction, tracked: NDArray, before: list, run: Run) -> dict:
        """The row of one interaction and method; tracked: (f, n, 3), before: its `depths`."""
        record, touched = measure.PenetrationRecord(), []
        template = self.template
        resolved = run.frames or interaction.frames
        after = before if run.skins is tracked else self.depths(interaction, run.skins, run.frames)
        for k, (before_skin, after_skin) in enumerate(zip(tracked, run.skins, strict=True)):
            pairs, limited = list(zip(before[k], after[k], strict=True)), []
            hands = hands_of(resolved[k])
            for side, hand in hands:
                meter = self._meters[side]
                stopped = measure.bone_limited(
                    before_skin, after_skin, template.bone_direction, self.allowed, meter, hand
                )
                limited.append(stopped | template.rim)  # nothing yields at the cut of the neck
            flesh = None if run.frames is None else [self._gives[side] for side, _ in hands]
            record.add(pairs, limited, template.skin_triangles, self.allowed, flesh)
            touched.append(any(p.gap == 0 for p in before[k]))
        displacement = run.skins - tracked
        moved = np.linalg.norm(displacement, axis=2)
        moving = np.stack([np.concatenate([hand for _, hand in hands_of(frame)]) for frame in interaction.frames])
        step = np.linalg.norm(np.diff(moving, axis=0), axis=2).max(axis=1)
        displacement = displacement[:, moved.max(axis=0) > 0]
        busy = [s for s, t in zip(run.statistics, touched, strict=True) if t]
        return {
            "frames": len(tracked),
            "touching": int(sum(touched)),
            "penetration_mm": record.summary()["after"],
            "decaf": record.decaf()["after"],
            "displacement_max_mm": measure.MM * float(moved.max()),
            "end_mm": measure.MM * float(moved[-1].max()),
            "pops": measure.pops(displacement, step).tolist(),
            "flicker_mm": measure.MM * measure.flicker(displacement, step),
            **measure.roughness(displacement, moving, FRAME_RATE),
            "volume_ratio_p1": _least(busy, "volume_ratio_p1"),
            "inverted_tets": _most(run.statistics, "inverted_tets"),
            "ms": measure.percentiles(np.array([s["ms"] for s in busy if "ms" in s]), (50, 95)),
            "substeps": _mean(busy, "substeps"),
            "iterations": _mean(busy, "iterations"),
            "held": [k for k, s in enumerate(run.statistics) if s.get("held", 0) > 0],
            "held_expected": list(interaction.held) if interaction.held else None,
            **self._flesh(interaction, tracked, run),
        }

    def _flesh(self, interaction: Interaction, tracked: NDArray, run: Run) -> dict:
        """What comes out of what is pushed in, hands included, in the frame in which most is."""
        triangles, skins, resolved = self.template.skin_triangles, run.skins, run.frames or interaction.frames
        volumes = [
            np.sum([flesh.returned(before, after, triangles), *self._of_hands(*frames)], axis=0)
            for before, after, *frames in zip(tracked, skins, interaction.frames, resolved, strict=True)
        ]
        deepest = int(np.argmax([inwards for inwards, _ in volumes]))
        inwards, outwards = volumes[deepest]
        hands = [TriangleTree(hand, self._meters[side].hand_triangles) for side, hand in hands_of(resolved[deepest])]
        bulge = flesh.bulge(tracked[deepest], skins[deepest], vertex_normals(tracked[deepest], triangles), hands)
        return {
            "pushed_cm3": 1e6 * inwards,
            "volume_returned": outwards / inwards if inwards > 1e-9 else None,
            "bulge_mm": measure.MM * bulge,
        }

    def _of_hands(self, frame: TrackedFrame, resolved: TrackedFrame) -> list[tuple[float, float]]:
        """Volumes [m³] that the skin of each hand sweeps inwards and outwards."""
        return [
            flesh.returned(tracked, hand, self._meters[side].hand_triangles)
            for (side, tracked), (_, hand) in zip(hands_of(frame), hands_of(resolved), strict=True)
        ]


def hands_of(frame: TrackedFrame) -> list[tuple[str, NDArray[np.float64]]]:
    """Side and vertices of the hands that take part."""
    given = (("L", frame.left), ("R", frame.right))
    return [(side, hand.astype(np.float64)) for side, hand in given if hand is not None]


def _least(statistics: Sequence[dict], name: str) -> float | None:
    return min((s[name] for s in statistics if name in s), default=None)


def _most(statistics: Sequence[dict], name: str) -> float | None:
    return max((s[name] for s in statistics if name in s), default=None)


def _mean(statistics: Sequence[dict], name: str) -> float | None:
    values = [s[name] for s in statistics if name in s]
    return float(np.mean(values)) if values else None
