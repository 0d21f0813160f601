# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged files: what is read from them is what was written, or an error of ours says that they are damaged.

Some random bytes are flipped or the end is cut off, everywhere in the file and again where it hurts: in headers.
"""

import tracemalloc
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from nephim.bridge.cache.point_cache import HEADER, PointCache, PointCacheWriter, manifest_path
from nephim.errors import NephimError
from nephim.files import read_arrays
from nephim.nn.weights import Weights
from nephim.sim.template import Template
from scipy.sparse import csr_matrix
from small_cast import random_weights
from volumes import round_head

CASES = 80  # of every way to damage a file
LARGEST = 4 << 20  # bytes that reading a file of 20 kB may take, damaged or not
MEMBER, DIRECTORY = b"PK\x03\x04", b"PK\x01\x02"  # of a zip: before each file, and of the list at its end
Arrays = dict[str, np.ndarray]


def weights(path: Path) -> Arrays:
    loaded = Weights.load(path)
    layers = {
        f"{kind}{k}": array for k, layer in enumerate(loaded.layers) for kind, array in zip("mb", layer, strict=True)
    }
    numbers = np.array([loaded.alpha, loaded.beta, loaded.spacing, *loaded.heads, *loaded.hands, *loaded.frame_rates])
    return layers | {"skip": loaded.skip, "low": loaded.low, "high": loaded.high, "numbers": numbers}


def volume(path: Path) -> Arrays:
    loaded = Template.load(path)
    values = {f.name: getattr(loaded, f.name) for f in fields(loaded)}
    return {name: v.toarray() if isinstance(v, csr_matrix) else np.asarray(v) for name, v in values.items()}


def positions(path: Path) -> Arrays:
    """Of all finished frames; of fewer where the manifest says that there are fewer."""
    cache = PointCache(path.with_suffix(".pc2"))
    return {str(frame): cache.read(frame) for frame in cache.frames}


def make_weights(folder: Path) -> Path:
    random_weights(hidden=8).save(folder / "network.npz")
    return folder / "network.npz"


def make_volume(folder: Path) -> Path:
    round_head(1).save(folder / "volume.npz")
    return folder / "volume.npz"


def make_cache(folder: Path) -> Path:
    path, frames = folder / "simulation.pc2", range(5, 9)
    with PointCacheWriter(path, object_name="Head", n_vertices=7, frames=frames, topology="t", settings="s") as writer:
        for frame in frames:
            writer.write(frame, np.random.default_rng(frame).random((7, 3)), f"motion {frame}", {"ms": 1.0})
    return path


def make_manifest(folder: Path) -> Path:
    return manifest_path(make_cache(folder))


KINDS = {
    "weights": (make_weights, weights),
    "volume": (make_volume, volume),
    "point cache": (make_cache, positions),
    "manifest": (make_manifest, positions),
}


def headers(content: bytes) -> np.ndarray:
    """Places of bytes that say how the rest is to be read."""
    starts, place = [], content.find(MEMBER)
    while place >= 0:
        starts.append(place)
        place = content.find(MEMBER, place + 1)
    if not starts:
        return np.arange(min(len(content), HEADER.size))
    of_members = np.add.outer(starts, np.arange(200)).ravel()  # the zip's header and numpy's
    return np.concatenate([of_members[of_members < len(content)], np.arange(content.find(DIRECTORY), len(content))])


def cut_off(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(len(content))]


def flipped(content: bytes, random: np.random.Generator, places: np.ndarray) -> bytes:
    """One to three bytes changed, by one bit or altogether."""
    damaged = bytearray(content)
    for place in random.choice(places, random.integers(1, 4)):
        damaged[place] ^= 1 << random.integers(8) if random.random() < 0.5 else random.integers(1, 256)
    return bytes(damaged)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_told_or_does_no_harm(kind: str, tmp_path: Path):
    make, load = KINDS[kind]
    path = make(tmp_path)
    content, whole = path.read_bytes(), load(path)
    random, everywhere, sore = np.random.default_rng(1), np.arange(len(content)), headers(content)
    damaged = [cut_off(content, random) for _ in range(CASES)]
    damaged += [flipped(content, random, places) for places in (everywhere, sore) for _ in range(CASES)]
    refused = 0
    tracemalloc.start()
    try:
        for case in damaged:
            path.write_bytes(case)
            try:
                found = load(path)
            except NephimError as error:
                refused += 1
                assert error.advice
            else:
                for name, array in found.items():
                    assert np.array_equal(array, whole[name]), name
            assert tracemalloc.get_traced_memory()[1] < LARGEST
    finally:
        tracemalloc.stop()
    assert refused > 0.8 * len(damaged)  # the others have it in dates, names and notes


def test_no_value_of_any_byte_breaks_the_header_of_a_point_cache(tmp_path: Path):
    path = make_cache(tmp_path)
    content = bytearray(path.read_bytes())
    for place in range(HEADER.size):
        for value in (0x00, 0x01, 0x7F, 0x80, 0xC0, 0xFF):
            damaged = content.copy()
            damaged[place] = value
            path.write_bytes(damaged)
            try:
                assert len(positions(path)) == 4
            except NephimError as error:
                assert error.advice


@pytest.mark.parametrize("member", ["skin_vertices", "tissue_depth", "tets"])
def test_a_shorter_array_is_not_taken_for_the_whole(tmp_path: Path, member: str):
    """One bit makes of 642 vertices 242, whose numbers are all there."""
    path = tmp_path / "volume.npz"
    round_head(3).save(path)
    content = path.read_bytes()
    start = content.index(b"(", content.index(member.encode() + b".npy"))
    for place in range(start + 1, content.index(b",", start)):
        for bit in range(4):  # of digits another digit
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(NephimError, match="is not a volume that NePHIM can read"):
                Template.load(path)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (6, b"\xff\xff", "version|feature|supported"),  # more modern than any zip
        (8, b"\x01\x00", "encrypted"),
        (10, b"\x63\x00", "compression"),
        (20, b"\xff\xff\xff\x7f", "shorter than it says"),  # 2 GB
    ],
)
def test_damage_of_the_list_of_files_is_told(tmp_path: Path, offset: int, value: bytes, reason: str):
    path = make_volume(tmp_path)
    content = bytearray(path.read_bytes())
    start = content.index(DIRECTORY) + offset
    content[start : start + len(value)] = value
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_arrays(path)
    with pytest.raises(NephimError, match="is not a volume that NePHIM can read"):
        Template.load(path)


def test_arrays_come_back_as_they_were_written(tmp_path: Path):
    written: Arrays = {
        "empty": np.zeros((0, 3)),
        "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "single": np.array(3),
        "texts": np.array(["a", "Ω"]),
        "truth": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "arrays.npz", **written)
        found = read_arrays(tmp_path / "arrays.npz")
        assert found.keys() == written.keys()
        for name, array in written.items():
            assert found[name].dtype == array.dtype and found[name].flags.writeable
            assert np.array_equal(found[name], array) and found[name].shape == array.shape


@pytest.mark.bpy
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a volume", b"half"])
def test_the_sidebar_shows_no_volume_where_it_is_damaged(tmp_path: Path, content: bytes):
    import bpy
    from nephim.bridge.cache.open_file import folder
    from nephim.operators.save import save_blend
    from nephim.operators.state import volume_state

    save_blend(tmp_path / "face.blend")
    assert bpy.data.filepath
    folder().volume.parent.mkdir()
    whole = make_volume(folder().volume.parent).read_bytes()
    assert volume_state().exists
    folder().volume.write_bytes(whole[: len(whole) // 2] if content == b"half" else content)
    assert not volume_state().exists
