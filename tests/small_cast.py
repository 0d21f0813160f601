# SPDX-License-Identifier: GPL-3.0-or-later
"""A round head and a capsule finger as performers, pressing sequences of them, and weights of an untrained network."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from nephim.motions.cast import prepare_shot
from nephim.nn.controls import Controls, make_controls
from nephim.nn.features import COUNT
from nephim.nn.recording import Recording, record
from nephim.nn.weights import Weights
from nephim.sim.frame import TrackedFrame
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, finger, round_head

LEVEL = 3  # 642 skin vertices, 12 mm apart
TEMPLATE, FINGER = round_head(LEVEL), finger()
SPACING = 0.012
HEAD, HAND = TEMPLATE.n_head, len(FINGER.vertices)


@cache
def controls() -> Controls:
    return make_controls(TEMPLATE, SPACING)


def turned(angle: float) -> np.ndarray:
    """(3, 3) about z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def finger_at(depth: float, angle: float = 0.0) -> np.ndarray:
    """The finger with its tip `depth` [m] below the skin of the round head, (n, 3)."""
    return ((FINGER.vertices + [RADIUS - depth, 0, 0]) @ turned(angle).T).astype(np.float32)


def frame_of(hand: np.ndarray, number: int = 0) -> TrackedFrame:
    return TrackedFrame(
        TEMPLATE.head_vertices.astype(np.float32), None, hand, np.eye(4), np.eye(4), number, number / 24.0
    )


@dataclass(frozen=True)
class Presses:
    """A finger that goes in at an angle and out again, f frames."""

    angle: float
    deepest: float
    frames: int = 36
    frame_rate: float = 24.0

    @property
    def hands(self) -> dict[str, np.ndarray]:
        return {"R": np.stack([self._hand(k) for k in range(self.frames)])}

    @property
    def cranium(self) -> np.ndarray:
        return np.tile(np.eye(4), (self.frames, 1, 1))

    def __len__(self) -> int:
        return self.frames

    def _hand(self, k: int) -> np.ndarray:
        inward = np.sin(np.pi * min(1.0, k / (0.7 * self.frames)))
        return finger_at(-0.02 + (self.deepest + 0.02) * inward, self.angle)

    def frame(self, k: int) -> TrackedFrame:
        return frame_of(self._hand(k), k)


@cache
def recordings(count: int = 3) -> tuple[Recording, ...]:
    settings = PhysicsSettings.load("default")
    clips = [Presses(0.4 * k, 0.003 + 0.001 * k) for k in range(count)]
    return tuple(record(TEMPLATE, settings, k, clip, {"R": FINGER.triangles})[0] for k, clip in enumerate(clips))


def random_weights(seed: int = 0, size: float = 0.3, hidden: int = 16) -> Weights:
    """An untrained network with plausible arrays."""
    random = np.random.default_rng(seed)

    def matrix(*shape: int) -> np.ndarray:
        return (size * random.standard_normal(shape)).astype(np.float32)

    layers = ((matrix(hidden, COUNT), matrix(hidden)), (matrix(3, hidden), matrix(3)))
    limits = np.full(COUNT, 5.0, np.float32)
    return Weights(
        0.9, 0.1, layers, matrix(3, COUNT) * 0.1, -limits, limits, SPACING, (HEAD,), (HAND,), origin={"test": True}
    )


def cast_folder(folder: Path) -> Path:
    """A dataset's folder with the round head and the finger as a right hand."""
    tip = int(FINGER.vertices[:, 0].argmin())
    shapes = np.stack([FINGER.vertices, FINGER.vertices * [1.0, 1.2, 1.2]])
    prepare_shot(
        folder, "round", TEMPLATE,
        {"R": {"shapes": shapes, "triangles": FINGER.triangles, "contact": np.array([tip, tip])}},
    )  # fmt: skip
    return folder
