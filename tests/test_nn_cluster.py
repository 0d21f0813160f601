# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording on a real Dask scheduler with two workers, one of which is killed midway: nothing lost, nothing twice."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from nephim.errors import SimulationError
from nephim.nn.cluster import record_on_cluster
from nephim.nn.dataset import finished, make_plan, sequence_path
from nephim.nn.recording import Recording
from nephim.progress import drive
from small_cast import cast_folder

FRAMES, SEEDS = 70, range(6)
_START_LIMIT = 120  # [s] for scheduler and workers on a busy machine


def start(*arguments: str, log: Path) -> subprocess.Popen:
    with log.open("wb") as stream:
        return subprocess.Popen([sys.executable, "-m", *arguments], stdout=stream, stderr=subprocess.STDOUT)


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler, and its two workers as processes."""
    pytest.importorskip("distributed", reason="the cluster test needs Dask: pip install distributed")
    note = tmp_path / "scheduler.json"
    scheduler = start(
        "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        "--scheduler-file", str(note), log=tmp_path / "scheduler.log",
    )  # fmt: skip
    workers = []
    try:
        deadline = time.monotonic() + _START_LIMIT
        while not note.exists():
            assert scheduler.poll() is None and time.monotonic() < deadline, (tmp_path / "scheduler.log").read_text()
            time.sleep(0.1)
        for k in range(2):
            workers.append(
                start(
                    "distributed.cli.dask_worker", "--scheduler-file", str(note), "--nthreads", "1", "--no-nanny",
                    "--no-dashboard", "--local-directory", str(tmp_path / f"worker{k}"), log=tmp_path / f"w{k}.log",
                )
            )  # fmt: skip
        from distributed import Client

        with Client(scheduler_file=str(note), set_as_default=False, timeout=_START_LIMIT) as client:
            client.wait_for_workers(2, timeout=_START_LIMIT)
            address = client.scheduler.address
        yield address, workers
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait()


def test_a_killed_worker_costs_nothing_but_time(tmp_path, cluster):
    address, workers = cluster
    folder = cast_folder(tmp_path / "dataset")
    make_plan(folder, FRAMES)
    job = record_on_cluster(folder, SEEDS, address)
    while len(finished(folder, SEEDS)) < 1:
        next(job)
    before = {seed: sequence_path(folder, seed).stat().st_mtime_ns for seed in finished(folder, SEEDS)}
    workers[0].kill()
    assert drive(job) == list(SEEDS)
    for seed in SEEDS:
        assert Recording.load(sequence_path(folder, seed)).seed == seed
    for seed, written in before.items():
        assert sequence_path(folder, seed).stat().st_mtime_ns == written


def test_a_scheduler_that_is_not_there_is_reported(tmp_path):
    pytest.importorskip("distributed", reason="the cluster test needs Dask: pip install distributed")
    folder = cast_folder(tmp_path)
    make_plan(folder, FRAMES)
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(SimulationError, match="does not answer"),
    ):
        drive(record_on_cluster(folder, SEEDS, "tcp://127.0.0.1:9"))
