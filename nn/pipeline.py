# SPDX-License-Identifier: GPL-3.0-or-later
"""From performers to weights: record, prepare, train. Each character has a folder, see `cast.py` and `dataset.py`."""

import importlib.util
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SimulationError
from ..files import atomic_write
from ..motions.cast import load_cast
from ..motions.puppet import Puppet
from ..progress import Job, Progress
from ..sim.geometry.surface import Surface
from ..sim.intervals import runs
from .controls import SPACING
from .dataset import finished, load_plan, make_plan, record_dataset, sequence_path
from .recording import Recording, metres
from .samples import Person, Sample, make_sample
from .shot import FIRST_SEED, LEAST
from .weights import Weights

if TYPE_CHECKING:  # torch is only needed for training
    from .training import Trained
    from .training_settings import TrainSettings

FRAMES = 240  # of a sequence: about five gestures of a hand
CHECKPOINT, CURVE = "checkpoint.npz", "curve.json"
_UNSEEN_SHARE = 8  # one sequence in this many is kept for evaluation
_MAX_UNSEEN = 6
# [m] Skin that moved further than any gesture pulls was hooked and dragged along, for example by a finger between
# the lips: there is nothing to learn from it.
_WILD = 0.020
_CALM = 3e-4  # [m] below which skin rests between two gestures


@dataclass(frozen=True)
class Recorded:
    """What was recorded of one or more characters. minutes: of the recording; frames: of all that is used; left_out:
    gestures that were cut out, as the physics moved skin by more than 20 mm."""

    people: list[Person]
    seen: list[Sample]
    unseen: list[Sample]
    minutes: float
    frames: int
    left_out: int = 0


def record_job(
    folders: Sequence[Path],
    seeds: Sequence[int],
    *,
    processes: int | None = None,
    scheduler: str | None = None,
    frames: int = FRAMES,
    tissue: str = "default",
    interaction: str = "touch",
) -> Job[Recorded]:
    """Records whichever of `seeds` are missing in each character's folder (with its cast), and reads everything."""
    minutes = 0.0
    for folder in folders:
        make_plan(folder, frames, tissue, interaction)
        started = time.monotonic()
        if scheduler:
            from .cluster import record_on_cluster

            yield from record_on_cluster(folder, seeds, scheduler)
        else:
            yield from record_dataset(folder, seeds, processes)
        minutes += (time.monotonic() - started) / 60
    return (yield from read_job(folders, seeds, minutes))


def read_job(
    folders: Sequence[Path], seeds: Sequence[int], minutes: float = 0.0, history: bool = True
) -> Job[Recorded]:
    """Reads the recorded sequences that there are; history=False: for a network that sees the present only. Raises
    SimulationError when there are fewer than two."""
    people, seen, unseen, count, left_out = [], [], [], 0, 0
    for number, folder in enumerate(folders):
        load_plan(folder)
        puppet, template = load_cast(folder)
        yield Progress("preparing", number / len(folders), "controls")
        triangles = [(side, puppet.hands[side].triangles) for side in "LR" if side in puppet.hands]
        there = finished(folder, seeds)
        person, samples = None, []
        for k, seed in enumerate(there):
            yield Progress("preparing", (number + k / len(there)) / len(folders), f"sequence {seed}")
            recording = Recording.load(sequence_path(folder, seed))
            if person is None:
                person = Person.make(template, joined(triangles, recording.left), SPACING)
                people.append(person)
            parts, cut = tame(recording)
            left_out += cut
            samples += [(seed, make_sample(part, person, number, history=history)) for part in parts]
            count += sum(map(len, parts))
        kept = unseen_seeds(sorted({seed for seed, _ in samples}))
        seen += [sample for seed, sample in samples if seed not in kept]
        # Hands take room: they are kept only for sequences that are judged in free rollout.
        for seed in kept:
            assert person is not None
            unseen += [make_sample(part, person, number, motion=True, history=history) for part in _parts(folder, seed)]
    return Recorded(people, seen, unseen, minutes, count, left_out)


def tame(recording: Recording) -> tuple[list[Recording], int]:
    """The frames outside gestures in which the physics lost hold of the skin, and how many gestures were cut out. A
    gesture lasts from rest to rest."""
    size = np.abs(metres(recording.deformation)).max(axis=(1, 2))
    lost = [(a, b) for a, b in runs(size > _CALM) if size[a:b].max() > _WILD]
    bounds = [0, *(frame for run in lost for frame in run), len(recording)]
    kept = [(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True) if b - a >= min(LEAST, len(recording))]
    return [recording.part(a, b) for a, b in kept], len(lost)


def unseen_seeds(there: Sequence[int]) -> list[int]:
    """The recorded seeds that are kept for evaluation: the last generated ones. Pieces of the user's own shot are all
    used for training. Raises SimulationError below two generated ones."""
    there = [seed for seed in there if seed < FIRST_SEED]
    if len(there) < 2:
        raise SimulationError("Two recorded sequences are needed to train.", advice="Record more sequences.")
    return sorted(there)[-min(_MAX_UNSEEN, max(1, len(there) // _UNSEEN_SHARE)) :]


def recorded_seeds(folder: Path) -> list[int]:
    """The seeds of all sequences in a dataset's folder. Raises CacheError where there is no dataset."""
    load_plan(folder)
    return sorted(int(path.stem.split("-")[1]) for path in folder.glob("sequence-*.npz"))


def unseen_recordings(folder: Path) -> list[Recording]:
    """What training does not use of the recorded sequences, without the gestures in which the physics lost the skin."""
    usable = [seed for seed in recorded_seeds(folder) if _parts(folder, seed)]
    return [part for seed in unseen_seeds(usable) for part in _parts(folder, seed)]


def _parts(folder: Path, seed: int) -> list[Recording]:
    return tame(Recording.load(sequence_path(folder, seed)))[0]


def hand_surfaces(puppet: Puppet, recording: Recording) -> dict[str, Surface]:
    """The hands of a recording as surfaces, by side."""
    parts = {"L": recording.hands[0][: recording.left], "R": recording.hands[0][recording.left :]}
    return {
        side: Surface(vertices.astype(np.float64), puppet.hands[side].triangles, f"Hand.{side}")
        for side, vertices in parts.items()
        if len(vertices)
    }


def joined(triangles: Sequence[tuple[str, NDArray]], left: int) -> NDArray[np.int32]:
    """Triangles of the given hands together; `left`: vertices of the left hand, which comes first."""
    return np.concatenate([t + (left if side == "R" else 0) for side, t in triangles]).astype(np.int32)


def require_torch() -> None:
    """Raises SimulationError if torch is missing, before anything is recorded for a training that cannot run."""
    if importlib.util.find_spec("torch") is None:
        raise SimulationError(
            "Training needs PyTorch, which this Python does not have.",
            advice="Install it (0.9 GB), with `make setup-train` or with: "
            "pip install torch --index-url https://download.pytorch.org/whl/cpu",
        )


def train_job(
    recorded: Recorded,
    folders: Sequence[Path],
    settings: "TrainSettings",
    out: Path,
    *,
    start: Weights | None = None,
    origin: dict[str, Any] | None = None,
) -> Job["Trained"]:
    """Trains and writes the weights to `out`, beside the first folder's checkpoint and curve. start: to adapt.

    Raises SimulationError if torch is missing.
    """
    require_torch()
    from .training import train

    heads, hands = set(start.heads if start else ()), set(start.hands if start else ())
    for folder in folders:
        puppet, template = load_cast(folder)
        heads.add(template.n_head)
        for hand in puppet.hands.values():
            hands.add(int(hand.triangles.max()) + 1)
    checkpoint = folders[0] / CHECKPOINT
    trained = yield from train(
        recorded.people, recorded.seen, recorded.unseen, settings, checkpoint=checkpoint, start=start
    )
    notes = {
        "frames": recorded.frames,
        "dataset_minutes": round(recorded.minutes, 2),
        "train_minutes": round(trained.curve[-1][0], 2),
        "rollout_mm": round(min(row[3] for row in trained.curve), 3),
        "people": len(recorded.people),
        "left_out": recorded.left_out,
        **(origin or {}),
    }
    weights = replace(trained.weights, heads=tuple(sorted(heads)), hands=tuple(sorted(hands)), origin=notes)
    weights.save(out)
    with atomic_write(folders[0] / CURVE, "The training curve could not be written", "Free disk space.") as stream:
        stream.write(json.dumps(trained.curve).encode())
    checkpoint.unlink(missing_ok=True)
    return replace(trained, weights=weights)
