# SPDX-License-Identifier: GPL-3.0-or-later
"""Body models with the published fields, made here, and their parameters: against numbers computed by hand."""

import numpy as np
import pytest
from nephim.errors import TrackError
from nephim.tracks.body_models import mended, read_model, rotations_of
from nephim.tracks.checks import check_take
from nephim.tracks.read import Models, read_models, read_take
from scipy.spatial.transform import Rotation
from test_tracks_meshes import BIG, OBJECTS
from test_tracks_pickles import sparse, whole

JOINTS = {"flame": 5, "mano": 16, "smplh": 52, "smplx": 55}
DIRECTIONS = {"flame": 400, "mano": 10, "smplh": 16, "smplx": 20}
FRAMES = 3


def fields(kind, seed=0):
    """Two vertices for each joint, which a chain of joints carries entirely; random everything else."""
    rng, j = np.random.default_rng(seed), JOINTS[kind]
    n = 2 * j
    regressor = np.zeros((j, n))
    regressor[np.arange(j), 2 * np.arange(j)] = regressor[np.arange(j), 2 * np.arange(j) + 1] = 0.5
    made = {
        "v_template": rng.normal(0, 0.1, (n, 3)),
        "shapedirs": rng.normal(0, 0.01, (n, 3, DIRECTIONS[kind])),
        "posedirs": rng.normal(0, 0.01, (n, 3, 9 * (j - 1))),
        "J_regressor": regressor,
        "kintree_table": np.stack([[2**32 - 1, *range(j - 1)], range(j)]).astype(np.uint32),
        "weights": np.repeat(np.eye(j), 2, 0),
        "f": np.stack([np.arange(n), np.roll(np.arange(n), 1), np.roll(np.arange(n), 2)], 1).astype(np.uint32),
    }
    if kind == "mano":
        made |= {"hands_components": rng.normal(0, 1, (45, 45)), "hands_mean": rng.normal(0, 0.2, 45)}
    return made


def model(tmp_path, kind, name="model.npz", seed=0):
    np.savez(tmp_path / name, **fields(kind, seed))
    return read_models([tmp_path / name])


def by_hand(made, betas, angles, move, offset=0.0):
    """One frame, each vertex by itself: through the chain of its joint's ancestors, with scipy's rotations."""
    shaped = made["v_template"] + made["shapedirs"][:, :, : len(betas)] @ betas + offset
    joints = made["J_regressor"] @ shaped
    turns = [Rotation.from_rotvec(a) for a in np.reshape(angles, (-1, 3))]
    feature = np.concatenate([(t.as_matrix() - np.eye(3)).ravel() for t in turns[1:]])
    result = []
    for vertex, point in enumerate(shaped + made["posedirs"] @ feature):
        for joint in range(vertex // 2, -1, -1):
            point = turns[joint].apply(point - joints[joint]) + joints[joint]
        result.append(point + move)
    return np.array(result)


def pickle_of(made):
    """As the models are distributed: a sparse regressor and wrapped shape directions."""
    dense = made["J_regressor"]
    at = np.nonzero(dense.T)
    start = np.searchsorted(at[0], np.arange(dense.shape[1] + 1))
    shape = b"K%cK%c\x86" % dense.shape
    state = {"_shape": shape, "data": dense.T[at], "indices": at[1], "indptr": start}
    instructions = {**made, "J_regressor": sparse(b"scipy.sparse.csc\ncsc_matrix", state)}
    instructions["shapedirs"] = sparse(b"chumpy.ch\nCh", {"x": made["shapedirs"]})
    return whole(instructions)


@pytest.mark.parametrize("kind", JOINTS)
def test_pickle_and_npz_hold_the_same_model(tmp_path, kind):
    made = fields(kind)
    (tmp_path / "m.pkl").write_bytes(pickle_of(made))
    np.savez(tmp_path / "m.npz", **made)
    one, other = read_model(tmp_path / "m.pkl"), read_model(tmp_path / "m.npz")
    for name in ("template", "shape_dirs", "pose_dirs", "regressor", "weights"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("kind", ["smplh", "smplx"])
@pytest.mark.parametrize("case", ["rest", "one bent joint", "one shape", "everything"])
def test_amass(tmp_path, kind, case):
    j, made = JOINTS[kind], fields(kind)
    rng = np.random.default_rng(5)
    poses, betas, trans = np.zeros((FRAMES, 3 * j)), np.zeros(10), np.zeros((FRAMES, 3))
    if case == "one bent joint":
        poses[1, 3 * 20 : 3 * 21] = [0.3, -0.7, 0.2]
    if case == "one shape":
        betas[2] = 1.5
    if case == "everything":
        poses, betas, trans = rng.normal(0, 0.3, poses.shape), rng.normal(0, 1, 10), rng.normal(0, 1, trans.shape)
    np.savez(tmp_path / "take_stageii.npz", poses=poses, betas=betas, trans=trans, mocap_frame_rate=120.0, gender="x")
    (track,) = read_take(tmp_path / "take_stageii.npz", model(tmp_path, kind))
    for frame in range(FRAMES):
        expected = by_hand(made, betas, poses[frame], trans[frame])
        assert np.allclose(track.vertices[frame], expected, atol=1e-5)
    assert track.frame_rate == 120 and set(track.parts) == {"head", "left", "right"}
    assert all(inside.any() for inside in track.parts.values())


@pytest.mark.parametrize("kind", ["smplh", "smplx"])
@pytest.mark.parametrize("form", ["smplx", "amass", "components", "one row"])
def test_bodies_with_an_array_for_each_part(tmp_path, kind, form):
    j, made, rng = JOINTS[kind], fields(kind), np.random.default_rng(6)
    for side in "lr":
        made |= {f"hands_components{side}": rng.normal(0, 1, (45, 45)), f"hands_mean{side}": rng.normal(0, 0.2, 45)}
    np.savez(tmp_path / "model.npz", **made)
    angles = rng.normal(0, 0.3, (FRAMES, j, 3))
    betas, move = rng.normal(0, 1, 10), rng.normal(0, 1, (FRAMES, 3))
    if form == "one row":
        angles[:, 0] = angles[:1, 0]
    root, body, face = angles[:, 0], angles[:, 1:22].reshape(FRAMES, -1), angles[:, 22 : j - 30]
    left, right = angles[:, j - 30 : j - 15].reshape(FRAMES, -1), angles[:, j - 15 :].reshape(FRAMES, -1)
    take = {"global_orient": root[:1] if form == "one row" else root, "body_pose": body, "betas": betas, "transl": move,
            "left_hand_pose": left, "right_hand_pose": right}  # fmt: skip
    if kind == "smplx":
        take |= {"jaw_pose": face[:, 0], "leye_pose": face[:, 1], "reye_pose": face[:, 2]}
    if form == "amass":
        take = {"root_orient": root, "pose_body": body, "pose_hand": np.concatenate([left, right], 1), "betas": betas,
                "trans": move}  # fmt: skip
        if kind == "smplx":
            take |= {"pose_jaw": face[:, 0], "pose_eye": face[:, 1:].reshape(FRAMES, -1)}
    if form == "components":
        for side, hand in (("l", left), ("r", right)):
            name = "left_hand_pose" if side == "l" else "right_hand_pose"
            take[name] = hand[:, :12].copy()
            hand[:] = hand[:, :12] @ made[f"hands_components{side}"][:12] + made[f"hands_mean{side}"]
        angles[:, j - 30 : j - 15], angles[:, j - 15 :] = left.reshape(-1, 15, 3), right.reshape(-1, 15, 3)
    np.savez(tmp_path / "take.npz", **take)
    (track,) = read_take(tmp_path / "take.npz", read_models([tmp_path / "model.npz"]))
    for f in range(FRAMES):
        assert np.allclose(track.vertices[f], by_hand(made, betas, angles[f], move[f]), atol=1e-5)
    assert set(track.parts) == {"head", "left", "right"}
    assert ("relative to the model's mean" in "".join(track.notes)) == (form == "components")


@pytest.mark.parametrize("case", ["rest", "jaw", "shape", "expression", "everything"])
def test_vhap(tmp_path, case):
    made, rng = fields("flame"), np.random.default_rng(3)
    sizes = {"translation": 3, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "expr": 100}
    take = {name: np.zeros((FRAMES, size)) for name, size in sizes.items()} | {"shape": np.zeros(300)}
    if case == "jaw":
        take["jaw_pose"][:, 0] = 0.3
    elif case in ("shape", "expression"):
        take["shape" if case == "shape" else "expr"][..., 1] = 2.0
    elif case == "everything":
        take = {name: rng.normal(0, 0.3, value.shape) for name, value in take.items()}
        take["static_offset"] = rng.normal(0, 0.01, (1, 12, 3))  # two vertices of teeth
    np.savez(tmp_path / "tracked_flame_params.npz", **take)
    (track,) = read_take(tmp_path / "tracked_flame_params.npz", model(tmp_path, "flame"))
    offset = take["static_offset"][0, :10] if case == "everything" else 0.0
    for f in range(FRAMES):
        angles = np.concatenate([take[name][f] for name in ("rotation", "neck_pose", "jaw_pose", "eyes_pose")])
        betas = np.concatenate([take["shape"], take["expr"][f]])
        expected = by_hand(made, betas, angles, take["translation"][f], offset)
        assert np.allclose(track.vertices[f], expected, atol=1e-5)
    assert track.role == "head" and bool(track.notes) == (case == "everything")


@pytest.mark.parametrize(
    "form", ["whole", "whole with mean", "components", "components flat", "six components", "matrices", "6d"]
)
def test_mano(tmp_path, form):
    made, rng = fields("mano"), np.random.default_rng(4)
    root, betas, move = rng.normal(0, 0.5, (FRAMES, 3)), rng.normal(0, 1, 10), rng.normal(0, 1, (FRAMES, 3))
    angles = rng.normal(0, 0.3, (FRAMES, 45))
    take = {"global_orient": root, "hand_pose": angles, "betas": betas, "transl": move}
    if form == "whole with mean":
        take["flat_hand_mean"], angles = False, angles + made["hands_mean"]
    elif "components" in form:
        count = 6 if form == "six components" else 12
        take["hand_pose"] = angles[:, :count]
        angles = angles[:, :count] @ made["hands_components"][:count]
        if form == "components flat":
            take["flat_hand_mean"] = True
        else:
            angles = angles + made["hands_mean"]
    elif form in ("matrices", "6d"):
        matrices = Rotation.from_rotvec(angles.reshape(-1, 3)).as_matrix().reshape(FRAMES, 15, 3, 3)
        whole_hand = np.moveaxis(matrices[..., :2], -1, -2).reshape(FRAMES, 15, 6)
        take["hand_pose"] = matrices if form == "matrices" else whole_hand
    np.savez(tmp_path / "right.npz", **take)
    (track,) = read_take(tmp_path / "right.npz", model(tmp_path, "mano", "MANO_RIGHT.npz"))
    for f in range(FRAMES):
        expected = by_hand(made, betas, np.concatenate([root[f], angles[f]]), move[f])
        assert np.allclose(track.vertices[f], expected, atol=1e-5)
    assert track.role == "right"


def test_the_left_hands_wrong_sign_is_mended(tmp_path):
    made = fields("mano")
    for name, x in (("MANO_RIGHT.npz", 1), ("MANO_LEFT.npz", 1), ("good/MANO_LEFT.npz", -1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.savez(tmp_path / name, **{**made, "shapedirs": made["shapedirs"] * np.array([x, 1, 1])[:, None]})
    right, bad, good = (read_model(tmp_path / n) for n in ("MANO_RIGHT.npz", "MANO_LEFT.npz", "good/MANO_LEFT.npz"))
    (_, left), said = mended([right, bad])
    assert np.array_equal(left.shape_dirs, good.shape_dirs) and len(said) == 1
    assert mended([right, good]) == ([right, good], [])


def test_decaf_as_its_own_scripts_pose_it(tmp_path):
    flame, mano, rng = fields("flame"), fields("mano", 1), np.random.default_rng(8)
    np.savez(tmp_path / "flame.npz", **flame)
    np.savez(tmp_path / "MANO_RIGHT.npz", **mano)
    sizes = {"head": {"transl": 3, "global_orient": 3, "shape_params": 100, "pose_params": 6, "expression_params": 50},
             "right_hand": {"transl": 3, "global_orient": 3, "hand_pose": 45, "betas": 10}}  # fmt: skip
    take = {
        frame: {part: {n: rng.normal(0, 0.2, s) for n, s in of.items()} for part, of in sizes.items()}
        for frame in range(6)
    }
    for one in take.values():
        one["head"]["pose_params"][:3] = 0
    folder = tmp_path / "test" / "params" / "S3"
    folder.mkdir(parents=True)
    (folder / "params_smoothed.pkl").write_bytes(whole(take))
    (tmp_path / "test" / "cutIDs").mkdir()
    (tmp_path / "test" / "cutIDs" / "S3.pkl").write_bytes(whole([[1, 2]]))
    deforms = rng.normal(0, 0.002, (6, 10, 3)).astype(np.float32)
    labels = {"contacts_head": rng.random((6, 10)) > 0.5, "contacts_rh": (rng.random((6, 32)) > 0.5).astype(float)}
    for name, array in {"deforms": deforms, **labels}.items():
        place = tmp_path / "test" / ("deformations" if name == "deforms" else "contacts") / "S3"
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / f"{name}.npy", array)
    (tmp_path / "assets").mkdir()
    np.save(tmp_path / "assets" / "FLAME_neck_idx.npy", np.array([1, 7]))
    deforms[:, [1, 7]] = 0
    models = read_models([tmp_path / "flame.npz", tmp_path / "MANO_RIGHT.npz"])
    head, hand = read_take(folder / "params_smoothed.pkl", models)
    assert np.array_equal(head.touched, labels["contacts_head"][2:])
    assert np.array_equal(hand.touched, labels["contacts_rh"][2:] > 0) and hand.captured is None
    assert len(head.vertices) == len(hand.vertices) == 4 and "1 cuts; frames 2-5" in head.notes[0]
    for f in range(4):
        one = take[f + 2]
        angles = np.concatenate([np.zeros(6), one["head"]["pose_params"][3:], np.zeros(6)])
        betas = np.concatenate([one["head"]["shape_params"], np.zeros(200), one["head"]["expression_params"]])
        skin = by_hand(flame, betas, angles, 0)
        turn = Rotation.from_rotvec(one["head"]["global_orient"])
        expected = turn.apply(skin - skin.mean(0)) + skin.mean(0) + one["head"]["transl"]
        assert np.allclose(head.vertices[f], expected, atol=1e-5)
        assert np.allclose(head.captured[f], expected - turn.apply(deforms[f + 2]), atol=1e-5)
        fingers = one["right_hand"]["hand_pose"] @ mano["hands_components"]
        angles = np.concatenate([one["right_hand"]["global_orient"], fingers])
        expected = by_hand(mano, one["right_hand"]["betas"], angles, one["right_hand"]["transl"])
        assert np.allclose(hand.vertices[f], expected, atol=1e-5)


@pytest.mark.parametrize("what", ["truncated", "shape", "objects", "large"])
@pytest.mark.parametrize("name", ["deforms", "contacts_head", "contacts_rh"])
def test_deformations_and_contacts_that_are_not_whole_are_refused(tmp_path, name, what):
    np.savez(tmp_path / "flame.npz", **fields("flame"))
    np.savez(tmp_path / "MANO_RIGHT.npz", **fields("mano", 1))
    sizes = {"head": {"transl": 3, "global_orient": 3, "shape_params": 100, "pose_params": 6, "expression_params": 50},
             "right_hand": {"transl": 3, "global_orient": 3, "hand_pose": 45, "betas": 10}}  # fmt: skip
    take = {k: {part: {n: np.zeros(s) for n, s in of.items()} for part, of in sizes.items()} for k in range(2)}
    (tmp_path / "params.pkl").write_bytes(whole(take))
    path = tmp_path / f"{name}.npy"
    np.save(path, np.zeros((2, 7)))
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    elif what in ("objects", "large"):
        path.write_bytes(OBJECTS if what == "objects" else BIG)
    with pytest.raises(TrackError, match=rf"{name}\.npy"):
        read_take(tmp_path / "params.pkl", read_models([tmp_path / "flame.npz", tmp_path / "MANO_RIGHT.npz"]))


def test_a_take_without_its_model_says_which_it_needs(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.zeros((2, 156)), trans=np.zeros((2, 3)), betas=np.zeros(16))
    with pytest.raises(TrackError, match=r"SMPL-H.*--model"):
        read_take(tmp_path / "a.npz", Models())
    np.savez(tmp_path / "a.npz", hand_pose=np.zeros((2, 44, 2)), transl=np.zeros((3, 3)))
    with pytest.raises(TrackError, match="shape"):
        read_take(tmp_path / "a.npz", model(tmp_path, "mano"))


@pytest.mark.parametrize(
    "name", ["v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f"]
)
@pytest.mark.parametrize("wrong", ["missing", "shape"])
def test_models_that_lack_something_are_refused(tmp_path, name, wrong):
    made = fields("mano")
    if wrong == "missing":
        del made[name]
    else:
        made[name] = made[name].ravel()[:-1]
    np.savez(tmp_path / "m.npz", **made)
    with pytest.raises(TrackError, match=r"m\.npz"):
        read_model(tmp_path / "m.npz")


def test_rotations_agree_with_scipy():
    angles = np.random.default_rng(0).normal(0, 2, (4, 5, 3))
    angles[0, 0] = 0
    expected = Rotation.from_rotvec(angles.reshape(-1, 3)).as_matrix().reshape(4, 5, 3, 3)
    assert np.allclose(rotations_of(angles), expected)
    assert np.allclose(rotations_of(np.concatenate([expected[..., 0], expected[..., 1]], -1)), expected)


def test_hands_of_detectors_take_the_models_faces(tmp_path):
    models = model(tmp_path, "mano")
    count = len(models.bodies[0].template)
    hands = np.tile(np.random.default_rng(0).normal(0, 0.05, (count, 3)), (4, 1, 1))
    np.savez(tmp_path / "h.npz", pred_vertices=hands, is_right=np.ones(4))
    (track,) = read_take(tmp_path / "h.npz", models)
    assert len(check_take([track], frame_rate=30).tracks[0].faces.sizes) == count
