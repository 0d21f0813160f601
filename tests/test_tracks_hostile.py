# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged and hostile files of every family: refused in a sentence with advice, at once, and nothing in them is run."""

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from nephim.errors import TrackError
from nephim.tracks import arrays, pickles
from nephim.tracks.checks import Take, check_take
from nephim.tracks.face_capture import read_face_capture
from nephim.tracks.read import read_models, read_take
from test_face_capture import VALUES, table, timecodes
from test_tracks_meshes import BIG, OBJECTS, box, mdd_bytes, obj_text, pc2_bytes, ply_bytes, zipped
from test_tracks_models import fields, pickle_of
from test_tracks_pickles import CALLS, text, whole

# NumPy's, of such numbers, and pickletools', of such text.
pytestmark = pytest.mark.filterwarnings(*(f"ignore::{kind}Warning" for kind in ("Runtime", "User", "Deprecation")))
F = 3
HEAD, FACES = box()
TAKE = np.stack([HEAD] * F)
MOST = 32 << 20  # [bytes] that a refusal may take; a file of the tests has some kilobytes


def surfaces(path, *models):
    return lambda: check_take(read_take(path, read_models(models)), frame_rate=30.0)


def npz(folder):
    np.savez(folder / "head.npz", vertices=TAKE, faces=FACES, fps=25)
    return surfaces(folder / "head.npz")


def npy(folder):
    np.save(folder / "head.npy", TAKE)
    (folder / "mesh.obj").write_text(obj_text(HEAD, FACES))
    return surfaces(folder / "head.npy", folder / "mesh.obj")


def pc2(folder):
    (folder / "head.pc2").write_bytes(pc2_bytes(TAKE))
    (folder / "mesh.ply").write_bytes(ply_bytes(HEAD, FACES))
    return surfaces(folder / "head.pc2", folder / "mesh.ply")


def mdd(folder):
    (folder / "head.mdd").write_bytes(mdd_bytes(TAKE, 30))
    (folder / "mesh.ply").write_bytes(ply_bytes(HEAD, FACES, ">"))
    return surfaces(folder / "head.mdd", folder / "mesh.ply")


def objs(folder):
    for k in range(F):
        (folder / f"head_{k}.obj").write_text(obj_text(HEAD, FACES))
    return surfaces(folder)


def plys(folder):
    for k in range(F):
        (folder / f"head_{k}.ply").write_bytes(ply_bytes(HEAD, FACES))
    return surfaces(folder)


def hamer(folder):
    np.savez(
        folder / "hands.npz", pred_vertices=TAKE, is_right=np.ones(F), cam_t=np.zeros((F, 3)), frame=np.arange(F),
        faces=FACES,
    )  # fmt: skip
    return surfaces(folder / "hands.npz")


def amass(folder):
    np.savez(folder / "model.npz", **fields("smplh"))
    np.savez(folder / "take.npz", poses=np.zeros((F, 156)), trans=np.zeros((F, 3)), betas=np.zeros(10))
    return surfaces(folder / "take.npz", folder / "model.npz")


def smplx(folder):
    np.savez(folder / "model.npz", **fields("smplx"))
    np.savez(
        folder / "take.npz", body_pose=np.zeros((F, 63)), left_hand_pose=np.zeros((F, 45)), jaw_pose=np.zeros((F, 3)),
        expression=np.zeros((F, 10)), transl=np.zeros((F, 3)), betas=np.zeros(10), flat_hand_mean=True,
    )  # fmt: skip
    return surfaces(folder / "take.npz", folder / "model.npz")


def vhap(folder):
    (folder / "model.pkl").write_bytes(pickle_of(fields("flame")))
    sizes = {"translation": 3, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "expr": 100}
    poses = {name: np.zeros((F, size)) for name, size in sizes.items()}
    np.savez(folder / "take.npz", shape=np.zeros(300), static_offset=np.zeros((1, 12, 3)), **poses)
    return surfaces(folder / "take.npz", folder / "model.pkl")


def mano(folder):
    (folder / "MANO_RIGHT.pkl").write_bytes(pickle_of(fields("mano")))
    np.savez(
        folder / "right.npz", hand_pose=np.zeros((F, 12)), global_orient=np.zeros((F, 3)), betas=np.zeros(10),
        transl=np.zeros((F, 3)), is_right=1, flat_hand_mean=True,
    )  # fmt: skip
    return surfaces(folder / "right.npz", folder / "MANO_RIGHT.pkl")


def decaf(folder):
    np.savez(folder / "flame.npz", **fields("flame"))
    np.savez(folder / "MANO_RIGHT.npz", **fields("mano"))
    zero = {"transl": np.zeros(3), "global_orient": np.zeros(3)}
    face = {**zero, "shape_params": np.zeros(100), "pose_params": np.zeros(6), "expression_params": np.zeros(50)}
    hand = {**zero, "hand_pose": np.zeros(45), "betas": np.zeros(10)}
    place = folder / "test" / "params" / "S3"
    for beside in (place, folder / "assets", folder / "test" / "cutIDs"):
        beside.mkdir(parents=True)
    (place / "params.pkl").write_bytes(whole({k: {"head": face, "right_hand": hand} for k in range(F)}))
    (folder / "test" / "cutIDs" / "S3.pkl").write_bytes(whole([[0, 1]]))
    np.save(place / "deforms.npy", np.zeros((F, 10, 3)))
    np.save(place / "contacts_head.npy", np.zeros((F, 10)))
    np.save(folder / "assets" / "FLAME_neck_idx.npy", np.array([1, 2]))
    return surfaces(place / "params.pkl", folder / "flame.npz", folder / "MANO_RIGHT.npz")


def csv(folder):
    (folder / "take.csv").write_text(table(timecodes(5, 60), VALUES[:5]))
    return lambda: read_face_capture(folder / "take.csv")


def landmarks_json(folder):
    hand = [{"x": 0.01 * k, "y": 0.2, "z": 0.3} for k in range(21)]
    (folder / "take.json").write_text(json.dumps({"fps": 30, "frames": [{"left_hand": hand, "face": None}] * F}))
    return surfaces(folder / "take.json")


def landmarks_npz(folder):
    hand = np.cumsum(np.full((F, 21, 3), 0.007), 1)
    np.savez(folder / "take.npz", left_hand=hand, fps=30)
    return surfaces(folder / "take.npz")


def exported(folder):
    np.savez(
        folder / "take.npz", format="nephim-take 1", fps=24.0, head_tracked=TAKE, head_faces=FACES, right_tracked=TAKE,
        right_faces=FACES, right_missing=np.array([False, True, False]),
    )  # fmt: skip
    return surfaces(folder / "take.npz")


FAMILIES = (
    npz, npy, pc2, mdd, objs, plys, hamer, amass, smplx, vhap, mano, decaf, csv, landmarks_json, landmarks_npz, exported
)  # fmt: skip
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)


def files_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(read):
    with pytest.raises(TrackError) as caught:
        read()
    assert caught.value.advice


def good_or_refused(read):
    """Whatever a file is taken for, it is whole."""
    try:
        found = read()
    except TrackError as error:
        assert error.advice
        return
    if isinstance(found, Take):
        for track in found.tracks:
            assert track.vertices.size and np.isfinite(track.vertices).all()
            assert track.captured is None or np.isfinite(track.captured).all()


@families
def test_the_file_as_it_should_be_is_read(tmp_path, family):
    family(tmp_path)()


def call(template, mark):
    """The pickle's instructions, its text being a command that leaves a mark."""
    for before in (text("touch {}"), text("open('{}', 'w')"), text("{}")):
        if before in template:
            return template.replace(before, text(before[5:].decode().replace("{}", str(mark))))
    return template.replace(b"{}", str(mark).encode())


def bomb():
    """An archive that unpacks to a thousand times its size, 64 MB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vertices.npy", b"\x93NUMPY\x01\x00v\x00" + bytes(64 << 20))
    return stream.getvalue()


@pytest.fixture(scope="module")
def foreign():
    """Files that are none of ours, or claim to be far larger than they are."""
    noise = np.random.default_rng(0).integers(0, 256, 4000, np.uint8).tobytes()
    header = b"ply\nformat binary_little_endian 1.0\nelement vertex 900000000\nproperty float x\nend_header\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("vertices.npy", BIG)
    return {
        "empty": b"", "noise": noise, "10 GB npy": BIG, "10 GB npz": zipped(BIG), "objects": OBJECTS,
        "objects npz": zipped(OBJECTS), "10 GB ply": header, "lzma": packed.getvalue(), "bomb": bomb(),
        "10 GB pc2": struct.pack("<12siiffi", b"POINTCACHE2\0", 1, 90_000, 1.0, 1.0, 10_000),
        "10 GB mdd": struct.pack(">ii", 10_000, 90_000), "nul": bytes(5000), "deep json": b"[" * 200_000,
    }  # fmt: skip


@families
def test_foreign_files_and_files_that_claim_gigabytes(tmp_path, monkeypatch, family, foreign):
    monkeypatch.setattr(arrays, "BOMB", 1 << 24)
    read = family(tmp_path)
    for path, data in files_of(tmp_path).items():
        for content in foreign.values():
            path.write_bytes(content)
            tracemalloc.start()
            refused(read)
            assert tracemalloc.get_traced_memory()[1] < MOST
            tracemalloc.stop()
        path.write_bytes(data)


@families
def test_a_pickle_with_a_call_inside_is_not_run_whatever_it_is_called(tmp_path, family):
    (tmp_path / "take").mkdir()
    read, mark = family(tmp_path / "take"), tmp_path / "ran"
    for path, data in files_of(tmp_path / "take").items():
        for template in CALLS:
            path.write_bytes(call(template, mark))
            refused(read)
        path.write_bytes(data)
    assert not mark.exists()


@families
def test_truncated_files(tmp_path, family):
    read = family(tmp_path)
    for path, data in files_of(tmp_path).items():
        for keep in (0.01, 0.3, 0.6, 0.98):
            path.write_bytes(data[: int(keep * len(data))])
            (good_or_refused if path.suffix == ".obj" else refused)(read)  # text may end after a whole face
        path.write_bytes(data)


@families
def test_bytes_that_were_changed(tmp_path, family):
    read, rng = family(tmp_path), np.random.default_rng(3)
    for path, data in files_of(tmp_path).items():
        for start in (0, 0, 0, len(data) // 2):
            spoilt = bytearray(data)
            for _ in range(3):
                spoilt[start + rng.integers(min(len(data) - start, 200))] = rng.integers(256)
            path.write_bytes(spoilt)
            good_or_refused(read)
        path.write_bytes(data)


def wrong(array):
    """What may stand in the place of an array of numbers, the last three of its own shape."""
    one = np.where(np.arange(array.size).reshape(array.shape) == 0, np.nan, array)
    return [
        np.zeros(0), np.array(1.0), np.zeros((0, *array.shape[1:])), array[None], array[..., None], array.T,
        np.repeat(array[None], 2, 0).reshape(-1, *array.shape[1:]) if array.ndim else np.zeros((2, 2)),
        np.full(array.shape, np.nan), np.full(array.shape, np.inf), np.full(array.shape, 1e300),
        np.full(array.shape, -(2**40)), one, np.full(array.shape, "x"), np.full(array.shape, None),
        np.zeros(array.shape, [("a", "f4")]), np.zeros(array.shape, "M8[s]"),
    ]  # fmt: skip


@families
def test_arrays_of_wrong_shapes_and_kinds(tmp_path, family):
    read = family(tmp_path)
    for path, data in files_of(tmp_path).items():
        if path.suffix not in (".npz", ".npy"):
            continue
        good = dict(np.load(path)) if path.suffix == ".npz" else {"": np.load(path)}
        for name in good:
            for array in wrong(good[name]):
                if name:
                    np.savez(path, **{**good, name: array})
                else:
                    np.save(path, array)
                good_or_refused(read)
        path.write_bytes(data)


@pytest.mark.parametrize("what", ["no frames", "objects"])
@pytest.mark.parametrize(
    ("family", "file", "name"),
    [
        (npz, "head.npz", "vertices"),
        (npy, "head.npy", ""),
        (hamer, "hands.npz", "pred_vertices"),
        (amass, "take.npz", "poses"),
        (amass, "take.npz", "trans"),
        (smplx, "take.npz", "body_pose"),
        (smplx, "take.npz", "left_hand_pose"),
        (vhap, "take.npz", "jaw_pose"),
        (vhap, "take.npz", "rotation"),
        (mano, "right.npz", "hand_pose"),
        (landmarks_npz, "take.npz", "left_hand"),
    ],
)
def test_takes_without_frames_or_of_objects_are_refused(tmp_path, family, file, name, what):
    read, path = family(tmp_path), tmp_path / file
    good = dict(np.load(path)) if name else {"": np.load(path)}
    array = good[name][:0] if what == "no frames" else good[name].astype(object)
    if name:
        np.savez(path, **{**good, name: array})
    else:
        np.save(path, array)
    refused(read)


def test_a_key_that_takes_for_ever_to_hash(tmp_path):
    nested = b"K\x01q\x00" + b"".join(b"h%ch%c\x86q%c" % (k, k, k + 1) for k in range(35))
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}" + nested + b"K\x01s.")
    with pytest.raises(TrackError, match="key"):
        read_models([tmp_path / "a.pkl"])


def test_a_few_bytes_that_are_named_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "LARGEST", 50 << 20)
    size = 1 << 20
    raw = b"X" + struct.pack("<I", size) + bytes(size) + b"q\x01"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbq\x02"
    start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    array = start + b"J" + struct.pack("<i", size) + b"\x85h\x02\x89h\x01tb"
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02" + raw + b"0" + dtype + b"0](" + array * 60 + b"e.")
    with pytest.raises(TrackError, match="its arrays take more"):
        read_models([tmp_path / "a.pkl"])
