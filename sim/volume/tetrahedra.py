# SPDX-License-Identifier: GPL-3.0-or-later
"""Tetrahedra between closed surfaces, by TetGen in a child process with a time limit."""

import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...child import run_child
from ...errors import VolumeError
from ...progress import Job, Progress

# p: keep the surfaces; Y: do not split their edges, so that vertices keep their numbers; q: radius-edge ratio and
# smallest dihedral angle [°], a compromise: 1.5/10 gives a quarter more tetrahedra, 2/0 twice as many slivers;
# O: four rounds of all optimisations; Q: quiet.
_SWITCHES = "pYQq1.8/5O4/7"


def python_command() -> list[str]:
    """The command that runs a Python file with this interpreter's modules; in some Blender builds that is Blender."""
    if "python" in Path(sys.executable).name.lower():
        return [sys.executable, "-P"]
    # Blender reads PYTHONPATH, which lists our modules, only if told to.
    blender = [sys.executable, "-b", "--factory-startup", "--python-use-system-env", "--python-exit-code", "1"]
    return [*blender, "--python"]


def tetrahedralize(
    vertices: NDArray, triangles: NDArray, *, time_limit: float
) -> Job[tuple[NDArray[np.float64], NDArray[np.int32]]]:
    """Fills closed surfaces with tetrahedra; the given vertices stay first, the triangles stay facets.

    vertices: (n, 3) [m]; triangles: (m, 3), without intersections; time_limit [s]. Returns vertices (k, 3) and tets
    (t, 4) of positive volume. Raises VolumeError if TetGen fails, crashes or takes longer.
    """
    with tempfile.TemporaryDirectory(prefix="nephim-") as folder:
        source, target, log = (Path(folder) / name for name in ("surfaces.npz", "volume.npz", "log.txt"))
        np.savez(
            source,
            vertices=np.asarray(vertices, np.float64),
            triangles=np.asarray(triangles, np.int32),
            switches=np.array(_SWITCHES),
        )
        yield from _run(source, target, log, time_limit)
        try:
            with np.load(target, allow_pickle=False) as stored:
                points, tets = stored["vertices"], stored["tets"]
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise VolumeError(f"TetGen's result cannot be read ({error}).") from error
    if not len(tets) or not np.array_equal(points[: len(vertices)], vertices):
        raise VolumeError("TetGen did not keep the surfaces.")
    corners = points[tets]
    a, b, c = (corners[:, k] - corners[:, 0] for k in (1, 2, 3))
    volume = np.einsum("td,td->t", a, np.cross(b, c))
    flipped = volume < 0
    tets[flipped] = tets[flipped][:, [0, 2, 1, 3]]
    if not (volume != 0).all():
        raise VolumeError("TetGen produced tetrahedra without volume.")
    return points, tets


def _run(source: Path, target: Path, log: Path, time_limit: float) -> Job[None]:
    """Starts the child and waits for it, yielding progress; always terminates it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    started = time.monotonic()

    def progress() -> Progress:
        waited = time.monotonic() - started
        if waited > time_limit:
            raise VolumeError(f"TetGen took longer than {time_limit:.0f} s.", advice="Raise the time limit.")
        # TetGen's time is unknown; ten seconds are typical, and the bar slows down towards the limit.
        return Progress("tetrahedra", waited / (waited + 10.0), f"{waited:.0f} s")

    script = Path(__file__).with_name("tetgen_child.py")
    failed = yield from run_child(python_command(), script, [str(source), str(target)], log, progress, environment)
    if failed:
        raise VolumeError(f"TetGen failed ({failed}).")
