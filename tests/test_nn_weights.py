# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights file: comes back as it was written, and a bad one is refused with the reason."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from nephim.errors import CacheError
from nephim.nn.weights import Weights
from small_cast import random_weights


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "network.npz"
    random_weights().save(file)
    return file


def test_what_was_saved_is_loaded(path):
    ours, theirs = random_weights(), Weights.load(path)
    assert (ours.alpha, ours.beta, ours.heads, ours.hands, ours.origin) == (
        theirs.alpha, theirs.beta, theirs.heads, theirs.hands, theirs.origin,
    )  # fmt: skip
    for (a, b), (c, d) in zip(ours.layers, theirs.layers, strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)
    assert ours.parameters == theirs.parameters > 0


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(CacheError, match="no network at"):
        Weights.load(tmp_path / "network.npz")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CacheError, match="not a network"):
        Weights.load(path)


def test_no_flipped_byte_passes_unnoticed(path):
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("matrix0.npy").header_offset + 300
    content[start] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(CacheError):
        Weights.load(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04N.", b"PK\x03\x04" + b"\0" * 100])
def test_a_foreign_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(CacheError):
        Weights.load(path)


def rewritten(path, **changes) -> None:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(path, **(arrays | changes))


def test_an_array_of_objects_is_not_unpickled(path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code from the file was run",))

    stream = io.BytesIO()
    np.save(stream, np.array([Trap()], object), allow_pickle=(1 == 1))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["skip.npy"] = stream.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(CacheError):
        Weights.load(path)


def test_implausible_values_are_refused(path):
    with np.load(path) as stored:
        skip, bias = stored["skip"], stored["bias0"]
    bad = skip.copy()
    bad[0, 0] = np.nan
    for changes, reason in (
        ({"skip": bad}, "not finite"),
        ({"skip": skip + 1e6}, "too large"),
        ({"skip": skip[:, :-1]}, "other inputs"),
        ({"bias0": bias[:-1]}, "do not fit together"),
        ({"bias0": bias.astype(np.float64)}, "no layers"),
    ):
        random_weights().save(path)
        rewritten(path, **changes)
        with pytest.raises(CacheError, match=reason):
            Weights.load(path)


def test_another_format_is_refused(path):
    with np.load(path) as stored:
        note = json.loads(stored["note"].tobytes())
    for changed in (note | {"format": 99}, [], {"format": 1}):
        random_weights().save(path)
        rewritten(path, note=np.frombuffer(json.dumps(changed).encode(), np.uint8))
        with pytest.raises(CacheError):
            Weights.load(path)


def test_a_file_that_unpacks_to_gigabytes_is_refused(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("matrix9.npy", bytes(80 << 20))
    with pytest.raises(CacheError, match="too large"):
        Weights.load(path)


def test_settings_out_of_range_are_refused(path):
    replace(random_weights(), spacing=5.0).save(path)
    with pytest.raises(CacheError, match="out of range"):
        Weights.load(path)
