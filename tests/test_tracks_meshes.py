# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes over time: every format read back to its numbers; hostile files refused; checks before anything is built."""

import io
import struct
import zipfile

import numpy as np
import pytest
from nephim.errors import TrackError
from nephim.tracks.checks import check_take
from nephim.tracks.read import read_models, read_take, with_roles
from nephim.tracks.track import Faces, Track, role_of
from synthetic_head import synthetic_head

FRAMES = 5


def box(size=(0.18, 0.2, 0.24), at=(0.0, 0.0, 0.0), open_below=True):
    """A box of quads, z up, outward; without its bottom."""
    corners = np.array([(x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1)], np.float32)
    faces = [(4, 5, 7, 6), (0, 1, 5, 4), (1, 3, 7, 5), (3, 2, 6, 7), (2, 0, 4, 6), (0, 2, 3, 1)]
    return (corners - 0.5) * np.float32(size) + np.float32(at), np.array(faces[: 5 if open_below else 6])


def moving(vertices, by=0.01):
    return np.stack([vertices + np.float32([by * k, 0, 0]) for k in range(FRAMES)])


def obj_text(vertices, faces):
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    return "\n".join(lines + ["f " + " ".join(f"{v + 1}//{v + 1}" for v in face) for face in faces]) + "\n"


def ply_bytes(vertices, faces, order="<"):
    name = "binary_little_endian" if order == "<" else "binary_big_endian"
    header = (
        f"ply\nformat {name} 1.0\ncomment x\nelement vertex {len(vertices)}\nproperty float x\nproperty float y\n"
        f"property float z\nproperty uchar red\nelement face {len(faces)}\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    body = b"".join(struct.pack(f"{order}3fB", *v, 7) for v in vertices)
    return header.encode() + body + b"".join(struct.pack(f"{order}B{len(f)}i", len(f), *f) for f in faces)


def pc2_bytes(take):
    f, n, _ = take.shape
    return struct.pack("<12siiffi", b"POINTCACHE2\0", 1, n, 1.0, 1.0, f) + take.astype("<f4").tobytes()


def mdd_bytes(take, rate):
    f, n, _ = take.shape
    return struct.pack(">ii", f, n) + (np.arange(f) / rate).astype(">f4").tobytes() + take.astype(">f4").tobytes()


@pytest.fixture
def head():
    vertices, faces = box()
    return moving(vertices), faces


def test_npz_and_npy_round_trip(tmp_path, head):
    take, faces = head
    hand = moving(box((0.08, 0.03, 0.18), (0.3, 0, 0))[0])
    np.savez(tmp_path / "take.npz", head_vertices=take, left_vertices=hand.astype(np.float64), faces=faces, fps=25)
    read = {track.role: track for track in read_take(tmp_path / "take.npz")}
    assert set(read) == {"head", "left"}
    assert np.array_equal(read["head"].vertices, take) and np.array_equal(read["left"].vertices, hand)
    assert read["head"].frame_rate == 25 and read["head"].faces.same(Faces.of(faces))
    np.save(tmp_path / "right hand.npy", np.asfortranarray(take))
    (track,) = read_take(tmp_path / "right hand.npy")
    assert track.role == "right" and track.faces is None and np.array_equal(track.vertices, take)


def test_folders_of_obj_and_ply_with_a_missing_frame(tmp_path, head):
    take, faces = head
    for k in (0, 1, 3, 4):
        (tmp_path / f"head_{k + 10:04}.obj").write_text(obj_text(take[k], faces))
        (tmp_path / f"left.{k + 10:04}.ply").write_bytes(ply_bytes(take[k], faces, "<>"[k % 2]))
    tracks = {track.role: track for track in read_take(tmp_path)}
    for track in (tracks["head"], tracks["left"]):
        assert np.isnan(track.vertices[2]).all() and np.allclose(track.vertices[[0, 1, 3, 4]], take[[0, 1, 3, 4]])
        assert track.faces.same(Faces.of(faces))
    filled = check_take([tracks["head"]], frame_rate=30)
    assert np.allclose(filled.tracks[0].vertices, take, atol=1e-6)
    assert any("1 frames were not tracked" in text for text in filled.said)


def test_ascii_ply(tmp_path):
    vertices, faces = box()
    text = (
        f"ply\nformat ascii 1.0\nelement vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
    )
    text += f"element face {len(faces)}\nproperty list uchar int vertex_index\nend_header\n"
    text += "".join(f"{x} {y} {z}\n" for x, y, z in vertices) + "".join(f"4 {a} {b} {c} {d}\n" for a, b, c, d in faces)
    (tmp_path / "head1.ply").write_text(text)
    assert np.array_equal(read_take(tmp_path)[0].vertices[0], vertices)


def test_point_caches_take_their_faces_from_a_mesh(tmp_path, head):
    take, faces = head
    (tmp_path / "head.pc2").write_bytes(pc2_bytes(take))
    (tmp_path / "head.mdd").write_bytes(mdd_bytes(take, 50))
    (tmp_path / "head.obj").write_text(obj_text(take[0], faces))
    for name, rate in (("head.pc2", None), ("head.mdd", 50)):
        tracks = read_take(tmp_path / name)
        assert np.array_equal(tracks[0].vertices, take) and tracks[0].frame_rate == rate
        with pytest.raises(TrackError, match="no faces"):
            check_take(tracks)
        assert read_take(tmp_path / name, read_models([tmp_path / "head.obj"]))[0].faces.same(Faces.of(faces))


def member(header: bytes) -> bytes:
    """An npy file whose header claims 10 GB."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


BIG = member(b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000, 90000, 3), }\n")
OBJECTS = member(b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1, 3), }\n") + b"cos\nsystem\n(S'x'\ntR."


def zipped(data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("vertices.npy", data)
    return stream.getvalue()


def whole(kind, head):
    take, faces = head
    stream = io.BytesIO()
    if kind == "npz":
        np.savez(stream, vertices=take, faces=faces)
    elif kind == "npy":
        np.save(stream, take)
    return {"npz": stream.getvalue(), "npy": stream.getvalue(), "pc2": pc2_bytes(take), "mdd": mdd_bytes(take, 30),
            "ply": ply_bytes(take[0], faces), "obj": obj_text(take[0], faces).encode()}[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["npz", "npy", "pc2", "mdd", "ply", "obj"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.97])
def test_a_truncated_file_is_refused(tmp_path, head, kind, keep):
    data = whole(kind, head)
    path = tmp_path / f"head1.{kind}"
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(TrackError, match="head1"):
        read_take(tmp_path if kind in ("ply", "obj") else path)
        if kind == "obj":  # text that ends after a whole face is a whole file
            raise TrackError("head1")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.npy", BIG),
        ("a.npy", OBJECTS),
        ("a.npz", zipped(BIG)),
        ("a.npz", zipped(OBJECTS)),
        ("a.npz", b"cos\nsystem\n(S'touch /x'\ntR."),
        ("a.pc2", struct.pack("<12siiffi", b"POINTCACHE2\0", 1, 90_000, 1.0, 1.0, 10_000)),
        ("a.pc2", struct.pack("<12siiffi", b"POINTCACHE2\0", 1, -1, 1.0, 1.0, -1)),
        ("a.mdd", struct.pack(">ii", 10_000, 90_000)),
        ("a.xyz", b"1 2 3"),
    ],
)
def test_hostile_files_are_refused_quickly(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TrackError, match=r"a\.\w+"):
        read_take(tmp_path / name)


@pytest.mark.parametrize("count", [2_000_000_000, -3])
def test_a_ply_that_claims_billions_of_vertices(tmp_path, count):
    data = ply_bytes(*box()).replace(b"element vertex 8", b"element vertex %d" % count)
    (tmp_path / "head1.ply").write_bytes(data)
    with pytest.raises(TrackError):
        read_take(tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"vertices": np.zeros((4, 3))},
        {"vertices": np.zeros((2, 8, 4))},
        {"vertices": np.zeros((2, 8, 3)), "faces": np.full((5, 4), 9)},
        {"vertices": np.zeros((2, 8, 3)), "faces": np.full((5, 4), -1)},
        {"vertices": np.zeros((2, 8, 3)), "faces": np.zeros((5, 7), int)},
        {"poses": np.zeros((5, 7))},
    ],
)
def test_wrong_shapes_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(TrackError, match=r"a\.npz"):
        read_take(tmp_path / "a.npz")


def test_a_folder_with_another_topology_or_order_names_the_file(tmp_path, head):
    take, faces = head
    (tmp_path / "h1.obj").write_text(obj_text(take[0], faces))
    (tmp_path / "h2.obj").write_text(obj_text(take[1][:7], faces[1:2]))
    with pytest.raises(TrackError, match=r"h2\.obj.*7 vertices"):
        read_take(tmp_path)
    (tmp_path / "h2.obj").write_text(obj_text(take[1], faces[::-1]))
    with pytest.raises(TrackError, match="renumbered"):
        read_take(tmp_path)


def track(take, faces, role="head", **more):
    return Track(role, np.asarray(take, np.float32), Faces.of(faces), role, **more)


@pytest.mark.parametrize(("name", "unit"), [("mm", 0.001), ("cm", 0.01), ("m", 1.0)])
def test_the_unit_is_found(head, name, unit):
    take, faces = head
    checked = check_take([track(take / unit, faces)], frame_rate=30)
    assert np.allclose(checked.tracks[0].vertices, take, atol=1e-6)
    assert any(f"unit {name} found: the head is 240 mm" in text for text in checked.said)


def test_a_head_of_no_size_is_refused(head):
    take, faces = head
    with pytest.raises(TrackError, match=r"--units"):
        check_take([track(take * 500 / 24, faces)])
    with pytest.raises(TrackError, match=r"24 mm large|240000 mm"):
        check_take([track(take * 1000, faces)], units="m")


AXES = {"+y": [0, 2, 1], "-y": [0, 2, 1]}


@pytest.mark.parametrize("up", ["+y", "-y", "+z", "-z", "+x", "-x"])
def test_the_neck_says_what_is_up(up):
    surface = synthetic_head(0.02)
    axis, sign = "xyz".index(up[1]), 1 if up[0] == "+" else -1
    turn = np.zeros((3, 3))
    turn[axis, 2] = sign
    turn[(axis + 1) % 3, 0] = 1
    turn[(axis + 2) % 3, 1] = sign  # a rotation
    assert np.isclose(np.linalg.det(turn), 1)
    take = np.stack([surface.vertices @ turn.T] * 2)
    checked = check_take([track(take, surface.triangles)], frame_rate=30)
    assert any(text.startswith(f"{up} is up, found by the neck") for text in checked.said)
    height = checked.tracks[0].vertices[0, :, 2]
    assert np.allclose(height, surface.vertices[:, 2], atol=1e-5)


def test_up_as_given_turns_a_face_to_the_front(head):
    take, faces = head
    y_up = take[..., [0, 2, 1]] * np.float32([1, 1, -1])  # what looked along -y looks along +z
    checked = check_take([track(y_up, faces)], up="y", frame_rate=30)
    assert np.allclose(checked.tracks[0].vertices, take, atol=1e-6)


def test_a_mirrored_hand_is_turned_outside_in(head):
    take, faces = head
    hand, of_hand = box((0.08, 0.03, 0.18), (0.3, 0, 0), open_below=False)
    mirrored = moving(hand) * np.float32([-1, 1, 1])
    checked = check_take([track(take, faces), track(mirrored, of_hand, "left")], frame_rate=30)
    left = checked.tracks[1]
    assert any("left: it was inside out, as mirrored hands are" in text for text in checked.said)
    assert left.faces.same(Faces.of(of_hand[:, ::-1]))
    assert checked.tracks[0].faces.same(Faces.of(faces))


def test_gaps_are_held_at_the_ends_and_long_ones_named(head):
    take, faces = head
    gappy = np.repeat(take, 8, axis=0)
    gappy[[0, 1, *range(10, 30)]] = np.nan
    checked = check_take([track(gappy, faces)], frame_rate=30)
    filled = checked.tracks[0].vertices
    assert np.allclose(filled[0], gappy[2]) and np.isfinite(filled).all()
    assert np.allclose(filled[20], gappy[9] + (gappy[30] - gappy[9]) * 11 / 21, atol=1e-6)
    assert any("0-1, 10-29" in text and "0.7 s: do not trust" in text for text in checked.said)


def test_single_vertices_that_are_no_numbers_are_refused(head):
    take, faces = head
    take[3, 2] = np.nan
    with pytest.raises(TrackError, match=r"frame 3, vertex 2.*NaN"):
        check_take([track(take, faces)])
    with pytest.raises(TrackError, match="no frame"):
        check_take([track(np.full_like(take, np.nan), faces)])


def test_vertices_that_change_places_are_seen():
    surface = synthetic_head(0.02)
    take = np.stack([surface.vertices] * 4)
    take[2] = np.random.default_rng(0).permutation(take[2])
    with pytest.raises(TrackError, match=r"frame 2.*torn"):
        check_take([track(take, surface.triangles)])


def test_lengths_rates_and_roles_must_agree(head):
    take, faces = head
    with pytest.raises(TrackError, match="length"):
        check_take([track(take, faces), track(take[:3], faces, "left")])
    with pytest.raises(TrackError, match="25, 30"):
        check_take([track(take, faces, frame_rate=30.0), track(take, faces, "left", frame_rate=25.0)])
    with pytest.raises(TrackError, match="both the head"):
        check_take([track(take, faces), track(take, faces)])
    with pytest.raises(TrackError, match="--role"):
        check_take([track(take, faces, ""), track(take, faces, "left")])
    with pytest.raises(TrackError, match="2 roles are given for 1"):
        with_roles([track(take, faces)], ["head", "left"])


def test_the_neutral_frame_has_the_hand_farthest_away(head):
    take, faces = head
    hand = moving(box((0.08, 0.03, 0.18), (0.3, 0, 0))[0], 0.03)
    assert check_take([track(take, faces), track(hand, faces, "right")], frame_rate=30).neutral == FRAMES - 1


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("take3_left_hand", "left"),
        ("RightHand", "right"),
        ("face vertices", "head"),
        ("vertices", ""),
        ("L_hand", "left"),
    ],
)
def test_names_give_roles_away(name, role):
    assert role_of(name) == role


def test_polygons_become_fans():
    faces = Faces.of_polygons([(0, 1, 2), (3, 4, 5, 6), (0, 2, 4, 6, 8)])
    assert faces.triangles().tolist() == [[0, 1, 2], [3, 4, 5], [3, 5, 6], [0, 2, 4], [0, 4, 6], [0, 6, 8]]
    assert faces.turned().corners.tolist() == [2, 1, 0, 6, 5, 4, 3, 8, 6, 4, 2, 0]


def test_hamer_hands_are_mirrored_and_sorted_by_frame(tmp_path):
    hand, faces = box((0.08, 0.03, 0.18), open_below=False)
    rows = np.stack([hand, hand, hand])
    camera = np.float32([[0, 0, 1], [0.5, 0, 1], [0, 0, 2]])
    np.savez(
        tmp_path / "a.npz", pred_vertices=rows, is_right=np.array([1, 0, 1]), cam_t=camera, frame=np.array([3, 3, 5]),
        faces=faces,
    )  # fmt: skip
    left, right = read_take(tmp_path / "a.npz")
    assert left.vertices.shape == (3, 8, 3) and np.isnan(left.vertices[1:]).all()
    assert np.allclose(left.vertices[0], hand * [-1, 1, 1] + camera[1])
    assert np.allclose(right.vertices[2], hand + camera[2]) and right.up == "-y"
