# SPDX-License-Identifier: GPL-3.0-or-later
"""The time of a frame while other programs use every core, as on an animator's machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from nephim.demo.character import Character
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import Template

from .bench_interactions import hand_surfaces, make_method, run
from .interactions import Face, Interaction, perform, with_head
from .scripts import SCRIPTS

NAMES = ("press", "rub", "face_rub")


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """A context in which this many processes compute without a pause."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def loaded(character: Character, face: Face, template: Template) -> dict[str, dict[str, float]]:
    """Interaction → median ms of its frames in contact, quiet and beside as many busy processes as there are cores."""
    result = {}
    for script in SCRIPTS:
        if script.name not in NAMES:
            continue
        interaction = with_head(perform(script, character, face), template)
        quiet = _median_ms(character, interaction, template)
        with busy_processes(os.cpu_count() or 1):
            result[script.name] = {"quiet": quiet, "loaded": _median_ms(character, interaction, template)}
    return result


def _median_ms(character: Character, interaction: Interaction, template: Template) -> float:
    hands = hand_surfaces(character, interaction.frames[0])
    simulation = make_method("physics", template, PhysicsSettings(), hands)
    statistics = run(interaction, simulation).statistics
    return float(np.median([s["ms"] for s in statistics if s["contacts"] > 0]))


def summary(figures: dict[str, dict[str, float]]) -> str:
    """A line per interaction."""
    return "\n".join(
        f"{name}: {f['quiet']:.0f} ms quiet, {f['loaded']:.0f} ms beside busy processes "
        f"({f['loaded'] / f['quiet']:.1f} times)"
        for name, f in figures.items()
    )
