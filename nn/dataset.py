# SPDX-License-Identifier: GPL-3.0-or-later
"""The dataset: generated sequences and pieces of the user's own shot, simulated by the physics.

Each becomes a file. Parallel processes record them, and an interrupted recording resumes.

The folder holds `cast.json` and `template.npz` (the performer), `plan.json` (what was asked for), `piece-SEED.npz`
(pieces of the shot), `sequence-SEED.npz`, and `manifest.json`, which is rewritten whenever a sequence is finished.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import CacheError, SimulationError
from ..files import atomic_write
from ..motions.cast import TEMPLATE, load_cast
from ..motions.generator import generate
from ..motions.skin_map import SkinMap
from ..progress import Job, Progress
from ..sim.settings import PhysicsSettings
from ..sim.template import Template
from ..sim.volume.tetrahedra import python_command
from .recording import Recording, record, sequence_path
from .shot import FIRST_SEED, ShotPiece

PLAN, MANIFEST = "plan.json", "manifest.json"
FORMAT = 1
_POLL = 0.5  # [s] between checks for finished sequences


@dataclass(frozen=True)
class Plan:
    """What defines a dataset: `frames` per sequence, presets, template; the seeds only determine its size."""

    frames: int
    tissue: str
    interaction: str
    template: str  # fingerprint
    format: int = FORMAT


def make_plan(folder: Path, frames: int, tissue: str = "default", interaction: str = "touch") -> Plan:
    """The plan of a folder with a cast. Sequences of another plan are deleted, because they would not match."""
    plan = Plan(frames, tissue, interaction, Template.load(folder / TEMPLATE).fingerprint)
    if _read_plan(folder) != plan:
        for path in folder.glob("sequence-*.npz"):
            path.unlink()
    _write_json(folder / PLAN, asdict(plan))
    return plan


def load_plan(folder: Path) -> Plan:
    """Raises CacheError."""
    plan = _read_plan(folder)
    if plan is None:
        raise CacheError(f"There is no dataset in {folder}.", advice="Record it first.")
    return plan


def _read_plan(folder: Path) -> Plan | None:
    try:
        plan = Plan(**json.loads((folder / PLAN).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return plan if plan.format == FORMAT else None


def finished(folder: Path, seeds: Sequence[int]) -> list[int]:
    """The seeds whose complete sequences are in the folder."""
    return [seed for seed in seeds if sequence_path(folder, seed).is_file()]


class Recorder:
    """Records the sequences of one dataset folder."""

    def __init__(self, folder: Path):
        self.folder, self.plan = Path(folder), load_plan(folder)
        self.puppet, self.template = load_cast(self.folder)
        self._skin = SkinMap(self.template)
        self._settings = PhysicsSettings.load(self.plan.tissue, self.plan.interaction)

    def sequence(self, seed: int) -> dict[str, float]:
        """Records one sequence unless it exists. Returns its numbers for the manifest."""
        path = sequence_path(self.folder, seed)
        if path.is_file():
            recording, seconds = Recording.load(path), 0.0
        else:
            piece = ShotPiece.load(self.folder, seed) if seed >= FIRST_SEED else None
            clip = piece or generate(self.puppet, self._skin, seed, self.plan.frames)
            triangles = {side: hand.triangles for side, hand in self.puppet.hands.items()}
            recording, seconds = record(self.template, self._settings, seed, clip, triangles)
            recording = recording.part(piece.lead if piece else 0)
            recording.save(path)
        return {
            "seed": seed,
            "frames": len(recording),
            "seconds": seconds,
            "ms_p50": float(np.median(recording.ms)),
            "in_contact": int(recording.touching.any(axis=1).sum()),
        }


def record_dataset(folder: Path, seeds: Sequence[int], processes: int | None = None) -> Job[list[int]]:
    """Records the sequences of `seeds` that are missing, in parallel processes. Returns the seeds that exist.

    Closing the job ends the processes; finished sequences are kept. Raises SimulationError if a process fails.
    """
    missing = [seed for seed in seeds if seed not in set(finished(folder, seeds))]
    if missing:
        count = min(processes or os.cpu_count() or 1, len(missing))
        yield from _run([_start(folder, missing[k::count], k) for k in range(count)], folder, seeds)
    done = finished(folder, seeds)
    write_manifest(folder, done)
    yield Progress("dataset", 1.0, f"{len(done)} sequences")
    return done


def _start(folder: Path, seeds: list[int], number: int) -> tuple[subprocess.Popen, Path]:
    """A separate process, so that neither Blender nor a crash of one sequence takes the others down."""
    script, command = Path(__file__).with_name("record_child.py"), python_command()
    package = __package__.rpartition(".")[0]
    arguments = [str(script)] + (["--"] if "--python" in command else []) + [package, str(folder), *map(str, seeds)]
    # One thread each: the processes share the cores.
    single = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    environment = {**os.environ, **single, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    log = folder / f"process-{number}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            command + arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    return child, log


def _run(children: list[tuple[subprocess.Popen, Path]], folder: Path, seeds: Sequence[int]) -> Job[None]:
    try:
        while any(child.poll() is None for child, _ in children):
            done = finished(folder, seeds)
            yield Progress("dataset", len(done) / len(seeds), f"{len(done)} of {len(seeds)} sequences")
            time.sleep(_POLL)
    finally:
        for child, _ in children:
            if child.poll() is None:
                child.kill()
                child.wait()
    for child, log in children:
        if child.returncode != 0:
            said = log.read_text(errors="replace").strip().splitlines()
            raise SimulationError(
                f"A recording process failed (code {child.returncode}{': ' + said[-1] if said else ''}).",
                advice="Finished sequences are kept; run the same command again to continue.",
            )
        log.unlink()


def write_manifest(folder: Path, seeds: list[int]) -> None:
    """Lists the existing data: sequences with frames, time of the physics and frames in contact."""
    rows = []
    for seed in seeds:
        with np.load(sequence_path(folder, seed), allow_pickle=False) as stored:
            ms, touching = stored["ms"], stored["touching"]
        rows.append({
            "seed": seed, "frames": len(ms), "ms_p50": float(np.median(ms)), "seconds": float(ms.sum() / 1000),
            "in_contact": int(touching.any(axis=1).sum()),
        })  # fmt: skip
    _write_json(folder / MANIFEST, {"format": FORMAT, "sequences": rows})


def _write_json(path: Path, values: dict) -> None:
    with atomic_write(path, f"{path} could not be written", "Free disk space or choose another folder.") as stream:
        stream.write(json.dumps(values, indent=1).encode())
