# SPDX-License-Identifier: GPL-3.0-or-later
"""How a network is trained and for how long; needs no PyTorch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainSettings:
    """minutes: of training; hidden, depth: of Φ; patch: controls in one; seed; patience: rollouts without a better
    one before it stops; history=False leaves out the state (for comparison)."""

    minutes: float = 20.0
    hidden: int = 64
    depth: int = 2
    patch: int = 128
    rate: float = 2e-3
    seed: int = 0
    evaluations: int = 24
    patience: int = 10
    device: str = "cpu"
    history: bool = True
