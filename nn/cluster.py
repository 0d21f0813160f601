# SPDX-License-Identifier: GPL-3.0-or-later
"""Records sequences on the workers of a Dask scheduler; every worker sees the dataset's folder under the same path."""

import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import SimulationError
from ..progress import Job, Progress
from .dataset import Recorder, finished, write_manifest

_RETRIES = 3  # of a sequence whose worker fails; a worker that dies is not counted
_POLL = 0.5  # [s] between checks for finished sequences
_recorders: dict[str, Recorder] = {}  # of this worker, by folder


def record_on_cluster(folder: Path, seeds: Sequence[int], address: str) -> Job[list[int]]:
    """Like `dataset.record_dataset`, on the workers of the scheduler at `address`. Each needs this package and the
    folder.

    A sequence whose worker dies goes to another; a finished one is never recorded again. Raises SimulationError.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise SimulationError(
            "Recording on a cluster needs Dask, which this Python does not have.",
            advice="Install it with: pip install distributed",
        ) from error
    missing = [seed for seed in seeds if seed not in set(finished(folder, seeds))]
    if missing:
        try:
            client = Client(address, set_as_default=False)
        except OSError as error:
            raise SimulationError(
                f"The scheduler {address} does not answer ({error}).", advice="Check its address."
            ) from error
        with client:
            tasks = [
                client.submit(_sequence, str(folder), seed, key=f"nephim-{folder}-{seed}", retries=_RETRIES)
                for seed in missing
            ]
            try:
                while not all(task.done() for task in tasks):
                    done = finished(folder, seeds)
                    yield Progress("dataset", len(done) / len(seeds), f"{len(done)} of {len(seeds)} sequences")
                    time.sleep(_POLL)
            finally:
                client.cancel([task for task in tasks if not task.done()])
            for seed, task in zip(missing, tasks, strict=True):
                if task.status != "finished":
                    raise SimulationError(
                        f"Sequence {seed} failed on the cluster ({task.exception()}).",
                        advice="Finished sequences are kept; run the same command again to continue.",
                    )
    done = finished(folder, seeds)
    write_manifest(folder, done)
    yield Progress("dataset", 1.0, f"{len(done)} sequences")
    return done


def _sequence(folder: str, seed: int) -> int:
    """Runs on a worker: records one sequence. Returns its seed."""
    if folder not in _recorders:
        _recorders[folder] = Recorder(Path(folder))
    _recorders[folder].sequence(seed)
    return seed
