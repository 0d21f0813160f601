# SPDX-License-Identifier: GPL-3.0-or-later
"""The reduced physics on heads that nothing was tuned on: people held back from training, a mesh of another topology,
and a round head of even tissue; against the physics on the same generated motions.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nephim.bridge.cache.manifest import write_json
from nephim.errors import CacheError
from nephim.motions.cast import prepare_demo
from nephim.motions.generator import generate
from nephim.motions.identities import HELD_BACK
from nephim.motions.puppet import Puppet, RecordedHead
from nephim.motions.skin_map import SkinMap
from nephim.nn.dataset import sequence_path
from nephim.nn.pipeline import hand_surfaces
from nephim.nn.recording import Recording, metres, record
from nephim.progress import drive
from nephim.sim.reduced import ReducedPhysics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import Template

from tests.volumes import round_head

from .net_plane import Maker, Measured, by_frame, coarser_template, finer_physics, measure_one

SEEDS = range(300_000, 300_004)  # of motions that nothing else uses
_LAPS, _REST = 10, 2.5  # laps of the same motion; [s] at rest after each
_EDGE = 4  # [mm]


@dataclass(frozen=True)
class Subject:
    """A head and what it performs. labels: the gesture of each frame of each recording."""

    name: str
    puppet: Puppet
    template: Template
    recordings: list[Recording]
    labels: list[list[str]]


def subjects(folder: Path, assets: Path, frames: int) -> Iterator[Subject]:
    """One after the other; volumes and recordings are kept in `folder`."""
    for name in HELD_BACK:
        (folder / name).mkdir(parents=True, exist_ok=True)
        yield _subject(folder / name, name, *drive(prepare_demo(folder / name, assets, name)), frames)
    demo, _ = drive(prepare_demo(folder / name, assets, name))
    others = {"own mesh": coarser_template(assets, folder, _EDGE), "round head": round_head(5)}
    for name, template in others.items():
        (folder / name).mkdir(exist_ok=True)
        head = RecordedHead(template.head_vertices, template.skin_triangles)
        yield _subject(folder / name, name, replace(demo, name=name, head=head), template, frames)


def _subject(folder: Path, name: str, puppet: Puppet, template: Template, frames: int) -> Subject:
    performed = [_performed(folder, puppet, template, seed, frames) for seed in SEEDS]
    return Subject(name, puppet, template, [recording for recording, _ in performed], [names for _, names in performed])


def _performed(folder: Path, puppet: Puppet, template: Template, seed: int, frames: int) -> tuple[Recording, list[str]]:
    path, described = sequence_path(folder, seed), folder / f"gestures-{seed}.json"
    try:
        recording = Recording.load(path)
    except CacheError:
        recording = None
    if recording is None or len(recording) != frames:
        clip = generate(puppet, SkinMap(template), seed, frames)
        triangles = {side: hand.triangles for side, hand in puppet.hands.items()}
        recording, _ = record(template, PhysicsSettings.load("default", "touch"), seed, clip, triangles)
        write_json(described, {"gestures": by_frame(clip)})
        recording.save(path)
    return recording, json.loads(described.read_text(encoding="utf-8"))["gestures"]


def laps(make: Maker, subject: Subject) -> dict[str, float]:
    """RMSE [mm] of the first and the last of ten times the first motion, and what is displaced at rest after them."""
    recording = subject.recordings[0]
    hands = hand_surfaces(subject.puppet, recording)
    simulation = make(left=hands.get("L"), right=hands.get("R"), frame_rate=recording.frame_rate)
    result: dict[str, float] = {}
    for lap in range(_LAPS):
        squared = 0.0
        for k in range(len(recording)):
            frame = recording.frame(subject.template, k)
            step = simulation.step(frame)
            moved = (step.skin - step.tracked) @ recording.cranium[k][:3, :3].astype(np.float32)
            squared += float(((moved - metres(recording.deformation[k])) ** 2).sum(axis=1).mean())
        for _ in range(round(_REST * recording.frame_rate)):
            step = simulation.step(frame)
        if lap in (0, _LAPS - 1):
            result["first_mm" if lap == 0 else "last_mm"] = 1e3 * float(np.sqrt(squared / len(recording)))
    result["rest_error_mm"] = 1e3 * float(np.abs(step.skin - step.tracked).max())
    return result


def held_back(folder: Path, assets: Path, frames: int) -> dict[str, Any]:
    """By head, what was measured, `drift` and `rest_error_mm` of the mode as it is; `finer_steps`: the errors
    of `finer_physics`; `people`: those held back together."""
    result: dict[str, Any] = {}
    people, finer = [], []
    for subject in subjects(folder, assets, frames):
        make = partial(ReducedPhysics, subject.template, PhysicsSettings.load("default", "touch"))
        performed = (subject.template, subject.puppet, subject.recordings, subject.labels)
        measured, floor = measure_one(make, *performed), measure_one(finer_physics(subject.template), *performed)
        drift = laps(make, subject)
        result[subject.name] = {
            **_row(measured, floor),
            "rest_error_mm": drift.pop("rest_error_mm"),
            "drift": drift,
        }
        if subject.name in HELD_BACK:
            people.append(measured)
            finer.append(floor)
        _say(subject.name, result[subject.name])
    result["people"] = _row(Measured.together(people), Measured.together(finer))
    _say("people", result["people"])
    return result


def _row(measured: Measured, floor: Measured) -> dict[str, Any]:
    figures = floor.figures()
    return {**measured.figures(), "finer_steps": {key: figures[key] for key in ("relative_error", "gestures")}}


def _say(name: str, row: dict[str, Any]) -> None:
    error, floor, ms = row["relative_error"], row["finer_steps"]["relative_error"], row["ms"]
    print(
        f"{name}: {error['p50']:.2f}, {error['p75']:.2f}, {error['p90']:.2f} (finer steps of the physics "
        f"{floor['p50']:.2f}, {floor['p75']:.2f}, {floor['p90']:.2f}); {ms['p50']:.1f} ms; "
        f"added {row['added_penetration_mm']['p95']:.2f} mm; drift {row.get('drift')}",
        flush=True,
    )
