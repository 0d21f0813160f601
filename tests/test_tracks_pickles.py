# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickles are read as data: arrays come back to the bit, and whatever calls something is refused unrun."""

import io
import struct

import numpy as np
import pytest
from nephim.errors import TrackError
from nephim.tracks.pickles import read_pickle


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def pickled(value) -> bytes:
    """Instructions that make a value of dictionaries, lists, numbers, text and arrays."""
    if isinstance(value, dict):
        return b"}(" + b"".join(pickled(k) + pickled(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(pickled, value)) + b"e"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, bytes):  # instructions as they are
        return value
    return value.dumps()[2:-1]


def whole(value) -> bytes:
    return b"\x80\x02" + pickled(value) + b"."


def read(tmp_path, data: bytes):
    (tmp_path / "a.pkl").write_bytes(data)
    return read_pickle(tmp_path / "a.pkl")


ARRAYS = {
    "v": np.random.default_rng(0).random((5, 3)),
    "f": np.arange(12, dtype=np.uint32).reshape(4, 3),
    "t": np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)),
    "b": np.array([True, False]),
    "n": np.array(["a", "bc"]),
}


def test_arrays_come_back(tmp_path):
    found = read(tmp_path, whole({**ARRAYS, "list": [1, "x", -3], "inner": {"k": ARRAYS["v"]}}))
    for name, array in ARRAYS.items():
        assert np.array_equal(found[name], array) and found[name].dtype == array.dtype
    assert found["list"] == [1, "x", -3] and np.array_equal(found["inner"]["k"], ARRAYS["v"])
    scalar = np.float64(2.5).dumps() if hasattr(np.float64(2.5), "dumps") else None
    assert scalar is None or read(tmp_path, scalar) == 2.5


def test_text_of_python_2_holds_arrays(tmp_path):
    raw = np.arange(3, dtype="<f8").tobytes()
    data = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x03\x85"
    data += b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data += b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb."
    assert np.array_equal(read(tmp_path, data), [0, 1, 2])


def sparse(module: bytes, state: dict) -> bytes:
    return b"ccopy_reg\n_reconstructor\nc" + module + b"\nc__builtin__\nobject\nN\x87R" + pickled(state) + b"b"


def test_sparse_matrices_and_wrappers_become_arrays(tmp_path):
    dense = np.array([[0, 2.0, 0], [1, 0, 3]])
    shape = b"K\x02K\x03\x86"
    columns = {"data": np.array([1.0, 2, 3]), "indices": np.array([1, 0, 1]), "indptr": np.array([0, 1, 2, 3])}
    rows = {"data": np.array([2.0, 1, 3]), "indices": np.array([1, 0, 2]), "indptr": np.array([0, 1, 3])}
    for module, state in ((b"scipy.sparse.csc\ncsc_matrix", columns), (b"scipy.sparse._csr\ncsr_matrix", rows)):
        assert np.array_equal(read(tmp_path, b"\x80\x02" + sparse(module, {"_shape": shape, **state}) + b"."), dense)
    wrapped = sparse(b"chumpy.ch\nCh", {"x": ARRAYS["v"], "dterms": "x"})
    assert np.array_equal(read(tmp_path, b"\x80\x02" + wrapped + b"."), ARRAYS["v"])


CALLS = [
    b"\x80\x02cos\nsystem\n" + text("touch {}") + b"\x85R.",
    b"\x80\x02cposix\nsystem\n" + text("touch {}") + b"\x85R.",
    b"\x80\x02cbuiltins\neval\n" + text("open('{}', 'w')") + b"\x85R.",
    b"\x80\x02c__builtin__\neval\n" + text("open('{}', 'w')") + b"\x85R.",
    b"\x80\x02cnumpy\nload\n" + text("{}") + b"\x85R.",
    b"\x80\x02cnumpy\nsave\n" + text("{}") + b"K\x01\x86R.",
    b"\x80\x04" + b"\x8c\x02os\x8c\x06system\x93" + text("touch {}") + b"\x85R.",
    b"(" + b"S'touch {}'\nios\nsystem\n.",
    b"\x80\x02ccopy_reg\n_reconstructor\ncsubprocess\nPopen\n" + text("{}") + b"N\x87R.",
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncos\nsystem\n" + text("{}") + b"\x86R.",
    b"\x80\x02cchumpy.ch\nCh\n" + text("{}") + b"\x85Rcos\nsystem\nb.",
    b"\x80\x02\x82\x01.",
    b"\x80\x02" + text("{}") + b"Q.",
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_a_call_is_refused_and_not_run(tmp_path, call):
    mark = tmp_path / "ran"
    data = call.replace(b"{}", str(mark).encode())
    for before in (text("touch {}"), text("open('{}', 'w')"), text("{}")):
        after = text(before[5:].decode().replace("{}", str(mark)))
        data = call.replace(before, after) if before in call else data
    with pytest.raises(TrackError, match=r"a\.pkl"):
        read(tmp_path, data)
    assert not mark.exists()


@pytest.mark.parametrize("keep", [0, 1, 0.3, 0.9])
def test_truncated_pickles(tmp_path, keep):
    data = whole(ARRAYS)
    with pytest.raises(TrackError):
        read(tmp_path, data[: int(keep * (len(data) - 1))])


def test_arrays_that_claim_gigabytes_and_impossible_matrices(tmp_path):
    data = np.zeros((2, 3)).dumps()
    assert data.count(b"K\x02K\x03\x86") == 1
    big = b"J\x00\x00\x00\x70J\x00\x00\x00\x70\x86"
    with pytest.raises(TrackError, match="claims"):
        read(tmp_path, data.replace(b"K\x02K\x03\x86", big))
    state = {"_shape": big, "data": np.zeros(1), "indices": np.zeros(1, int), "indptr": np.zeros(2, int)}
    with pytest.raises(TrackError, match="sparse"):
        read(tmp_path, b"\x80\x02" + sparse(b"scipy.sparse.csc\ncsc_matrix", state) + b".")
    with pytest.raises(TrackError):
        read(tmp_path, b"\x80\x02" + b"](" * 100_000 + b"e" * 100_000 + b".")


def test_a_list_inside_itself(tmp_path):
    with pytest.raises(TrackError, match="nested"):
        read(tmp_path, b"\x80\x02]q\x00h\x00a.")


def test_arrays_of_objects_in_numpy_files_are_not_their_way_in(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.arange(3))
    with pytest.raises(TrackError):
        read(tmp_path, stream.getvalue())
