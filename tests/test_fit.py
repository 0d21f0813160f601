# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting landmarks: one bone, a bent finger, cameras that disagree, gaps, depth from contact."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.fit.anatomy import find_hand, joints_of
from nephim.fit.cameras import Camera
from nephim.fit.contact import likeliest, touches
from nephim.fit.fit import fit_job
from nephim.fit.kinematics import Bones, Freedoms, Motion, Moving, Points, pose
from nephim.fit.observed import Observed
from nephim.fit.placing import alignment, rigid_poses
from nephim.fit.rig import Rig
from nephim.fit.rotations import exp, inverse_right_jacobian, kabsch, log
from nephim.fit.solver import Beliefs, Problem
from nephim.fit.triangulation import Rays, triangulate
from nephim.progress import Progress

FRAMES, RATE = 24, 24.0


def run(job):
    """A job's result."""
    while True:
        try:
            assert isinstance(next(job), Progress)
        except StopIteration as end:
            return end.value


def chain(*lengths):
    """Bones in a row along y, each with its x axis to the right."""
    rest = np.tile(np.eye(4), (len(lengths), 1, 1))
    rest[:, 1, 3] = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    parents = np.arange(len(lengths)) - 1
    return Bones(tuple(f"bone{k}" for k in range(len(lengths))), parents, rest, np.array(lengths, float))


def hand_rig():
    """A flat right hand: wrist in the origin, fingers along y, palm towards -z, thumb to the left (-x)."""
    names, parents, heads, directions, lengths = ["wrist"], [-1], [np.zeros(3)], [np.array([0.0, 1.0, 0.0])], [0.08]
    for finger, (x, y, slant) in enumerate([(-0.03, 0.03, -0.7), (-0.025, 0.09, 0), (0, 0.095, 0), (0.02, 0.09, 0),
                                            (0.04, 0.08, 0)], 1):  # fmt: skip
        along = np.array([slant, 1.0, 0.0]) / np.hypot(slant, 1.0)
        head = np.array([x, y, 0.0])
        for k, length in enumerate((0.045, 0.028, 0.022)):
            names.append(f"finger{finger}-{k + 1}")
            parents.append(0 if k == 0 else len(names) - 2)
            heads.append(head)
            directions.append(along)
            lengths.append(length)
            head = head + length * along
    rest = np.tile(np.eye(4), (len(names), 1, 1))
    for frame, head, along in zip(rest, heads, directions, strict=True):
        frame[:3, :3] = np.column_stack([np.cross(along, [0, 0, 1.0]), along, [0, 0, 1.0]])
        frame[:3, 3] = head
    bones = Bones(tuple(names), np.array(parents), rest, np.array(lengths))
    hand = find_hand(bones, 0, "right")
    none = np.zeros(0)
    return Rig(
        bones=bones, head=None, jaw=None, neck=(), hands={"right": hand}, arms={"right": ()}, located={"right": 0},
        keys=(), low=none, high=none, face=None, face_points=None, face_indices=none.astype(int), lateral=np.eye(3)[0],
    )  # fmt: skip


def moved_hand(rig, frames=FRAMES):
    """The hand swings, the index finger bends."""
    motion = Motion.at_rest(frames, len(rig.bones.names), 0)
    share = np.linspace(0, 1, frames)[:, None]
    motion.turns[:, 0] = exp(share * [0.4, -0.5, 0.3])
    motion.places[:, 0] = share * [0.05, -0.1, 0.02]
    joints = joints_of(rig.bones, rig.hands["right"])
    for bone, angle in zip(rig.hands["right"].fingers[1], (0.9, 1.1, 0.6), strict=True):
        motion.turns[:, bone] = exp(share * joints[bone].axes[:, 0] * angle)
    return motion


def places_of(rig, motion):
    points, numbers = rig.hand_points("right")
    return Moving(rig.bones, points, motion).places, numbers


def camera(angle, name="c"):
    """Looks at the origin from 0.7 m away, around the vertical axis z."""
    centre = 0.7 * np.array([np.sin(angle), -np.cos(angle), 0.1])
    ahead = -centre / np.linalg.norm(centre)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(ahead, right), ahead])
    matrix = np.array([[1000, 0, 640], [0, 1000, 480], [0, 0, 1.0]])
    return Camera(name, (1280, 960), matrix, np.array([0.1, -0.05, 1e-3, 2e-3, 0.0]), rotation, -rotation @ centre)


def seen_by(cameras, points):
    directions = np.stack([c.directions(c.project(points)) for c in cameras])
    return Rays(np.array([c.centre for c in cameras]), directions, np.array([c.focal for c in cameras]))


# Rotations, kinematics


def test_rotations_and_their_vectors_are_inverse_up_to_half_turns():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 3))
    vectors *= (rng.random(200) * np.pi / np.linalg.norm(vectors, axis=1))[:, None]
    vectors[:3] = [[0, 0, 0], [1e-9, 0, 0], [0, np.pi - 1e-7, 0]]
    assert np.abs(log(exp(vectors)) - vectors).max() < 1e-6
    step = 1e-6 * rng.normal(size=vectors.shape)
    usual = np.linalg.norm(vectors, axis=1) < 3.0
    predicted = vectors + (inverse_right_jacobian(vectors) @ step[..., None])[..., 0]
    assert np.abs(log(exp(vectors) @ exp(step)) - predicted)[usual].max() < 1e-9


def test_kabsch_finds_a_rigid_motion():
    rng = np.random.default_rng(1)
    points, turn = rng.normal(size=(6, 3)), exp(np.array([0.3, 2.0, -1.0]))
    rotation, shift = kabsch(points, points @ turn.T + [1, 2, 3], np.ones(6))
    assert np.allclose(rotation, turn)
    assert np.allclose(shift, [1, 2, 3])


def test_bones_turn_as_blender_turns_them():
    bones = chain(2.0, 1.0)
    motion = Motion.at_rest(1, 2, 0)
    motion.turns[0, 0] = motion.turns[0, 1] = exp(np.array([np.pi / 2, 0, 0]))  # y to z, then back along -y
    motion.places[0, 0] = [0, 0, 5]
    points = Points.on_bones([bones.tail(0), bones.tail(1)], [0, 1])
    assert np.allclose(Moving(bones, points, motion).places[0], [[0, 0, 7], [0, -1, 7]])
    assert np.allclose(pose(bones, motion)[1][0], [[0, 0, 5], [0, 0, 7]])


def test_jacobian_is_the_derivative():
    rng = np.random.default_rng(2)
    bones = chain(0.3, 0.2, 0.1)
    weights = rng.random((4, 2))
    points = Points(
        rng.normal(size=(4, 3)), np.array([[0, 1], [1, 2], [2, 0], [1, 1]]), weights / weights.sum(1, keepdims=True),
        rng.normal(size=(4, 2, 3)),
    )  # fmt: skip
    motion = Motion(exp(rng.normal(size=(2, 3, 3))), rng.normal(size=(2, 3, 3)), rng.random((2, 2)))
    free = Freedoms(np.array([0, 2]), np.array([1]), np.array([0, 1]))
    jacobian = Moving(bones, points, motion).jacobian(free)
    for column in range(free.count):
        step = np.zeros((2, free.count))
        step[:, column] = 1e-6
        ahead = Moving(bones, points, free.stepped(motion, step)).places
        back = Moving(bones, points, free.stepped(motion, -step)).places
        assert np.abs((ahead - back) / 2e-6 - jacobian[..., column]).max() < 1e-8


# Solver


def one_bone(target, low=-3.0, high=3.0):
    """A bone of length 1 from the origin along y whose end was seen at (f, 3)."""
    bones = chain(1.0)
    frames = len(target)
    beliefs = Beliefs(
        axes=np.eye(3)[None], mean=np.zeros((1, 3)), deviation=np.full((1, 3), 100.0), low=np.full((1, 3), low),
        high=np.full((1, 3), high), place_deviation=np.zeros(0), expression_deviation=np.zeros(0),
        expression_low=np.zeros(0), expression_high=np.zeros(0), acceleration=np.full(3, 0.05),
    )  # fmt: skip
    none = np.zeros(0, np.int64)
    seen = Observed(np.array([0]), np.asarray(target, float)[:, None])
    problem = Problem(
        bones, Points.on_bones([[0, 1, 0]], [0]), Freedoms(np.array([0]), none, none), beliefs, seen, 1e-3
    )
    return problem, run(problem.solve(Motion.at_rest(frames, 1, 0)))


def test_one_bone_points_where_its_end_was_seen():
    angle = np.linspace(0.2, 1.2, FRAMES)
    target = np.column_stack([np.zeros(FRAMES), np.cos(angle), np.sin(angle)])
    _, motion = one_bone(target)
    assert np.allclose(log(motion.turns[:, 0]), np.column_stack([angle, 0 * angle, 0 * angle]), atol=1e-4)


def test_one_bone_stops_at_its_limit():
    target = np.tile([0.0, np.cos(1.5), np.sin(1.5)], (FRAMES, 1))
    _, motion = one_bone(target, high=1.0)
    angle = log(motion.turns[:, 0])[:, 0]
    assert angle.max() <= 1.0 + 1e-9
    assert angle.min() > 0.999


def test_an_outlier_and_a_gap_are_bridged():
    angle = np.linspace(0.2, 1.2, FRAMES)
    target = np.column_stack([np.zeros(FRAMES), np.cos(angle), np.sin(angle)])
    target[10] = [0.8, -0.6, 0.0]
    target[14:18] = np.nan
    problem, motion = one_bone(target)
    assert np.allclose(log(motion.turns[:, 0])[:, 0], angle, atol=5e-3)
    assert not problem.squares(motion)[1][14:18].any()


# Hands


def test_a_bent_finger_is_recovered():
    rig = hand_rig()
    truth = moved_hand(rig)
    places, numbers = places_of(rig, truth)
    fitted = run(fit_job(rig, {"right": Observed(numbers, places)}, RATE))
    assert np.linalg.norm(places_of(rig, fitted.motion)[0] - places, axis=-1).max() < 5e-4
    for bone, angle in zip(rig.hands["right"].fingers[1], (0.9, 1.1, 0.6), strict=True):
        assert np.linalg.norm(log(fitted.motion.turns[-1, bone])) == pytest.approx(angle, abs=0.03)
    assert fitted.parts["right"].valid.all()
    assert fitted.parts["right"].lengths == {}


def test_gaps_stay_gaps_and_noise_is_not_followed():
    rig, rng = hand_rig(), np.random.default_rng(3)
    places, numbers = places_of(rig, moved_hand(rig))
    seen = places + 0.005 * rng.normal(size=places.shape)
    wrong = rng.random(seen.shape[:2]) < 0.1
    seen[wrong] += 0.1
    seen[8:13] = np.nan
    fitted = run(fit_job(rig, {"right": Observed(numbers, seen)}, RATE))
    part = fitted.parts["right"]
    assert np.flatnonzero(~part.valid).tolist() == list(range(8, 13))
    assert np.isnan(part.residual[8:13]).all()
    away = np.linalg.norm(places_of(rig, fitted.motion)[0] - places, axis=-1)
    assert np.median(away[part.valid]) < 4e-3
    assert 0.05 < part.outliers < 0.2


def test_a_larger_hand_is_measured_and_its_fingertips_kept():
    rig = hand_rig()
    large = rig.bones.scaled(np.full(len(rig.bones.names), 1.15))
    points, numbers = rig.hand_points("right")
    truth = moved_hand(rig)
    places = Moving(large, points.moved_along(rig.bones, large), truth).places
    fitted = run(fit_job(rig, {"right": Observed(numbers, places)}, RATE))
    lengths = np.array(list(fitted.parts["right"].lengths.values()))
    assert np.abs(lengths - 1.15).max() < 0.03
    tips = np.isin(numbers, (4, 8, 12, 16, 20))
    away = np.linalg.norm(places_of(rig, fitted.motion)[0][:, tips] - places[:, tips], axis=-1)
    assert np.median(away) < 3e-3


def test_one_camera_sees_which_way_a_hand_faces():
    rig = hand_rig()
    places, numbers = places_of(rig, moved_hand(rig))
    fitted = run(fit_job(rig, {"right": Observed.of_rays(numbers, seen_by([camera(0.3)], places))}, RATE))
    assert np.median(np.linalg.norm(places_of(rig, fitted.motion)[0] - places, axis=-1)) < 3e-3


def with_arm(rig):
    """The hand on an arm of two bones that hangs on a trunk, which stays: 30 cm each, stretched along -y at rest."""
    own, count = rig.bones, 3
    rest = np.tile(np.eye(4), (count, 1, 1))
    rest[:, 1, 3] = -0.9, -0.6, -0.3
    parents = np.concatenate([[-1, 0, 1], np.where(own.parents < 0, 2, own.parents + 3)])
    bones = Bones(
        ("trunk", "arm", "forearm", *own.names), parents,
        np.concatenate([rest, own.rest]), np.concatenate([[0.3] * 3, own.lengths]),
    )  # fmt: skip
    hand = find_hand(bones, count, "right")
    return replace(rig, bones=bones, hands={"right": hand}, arms={"right": (2, 1)}, located={})


def test_an_arm_brings_the_hand_where_it_was_seen():
    rig = with_arm(hand_rig())
    truth = Motion.at_rest(FRAMES, len(rig.bones.names), 0)
    share = np.linspace(0, 1, FRAMES)[:, None]
    truth.turns[:, 1], truth.turns[:, 2] = exp(share * [0.6, 0.2, 0.3]), exp([0.0, 0.0, 0.9] + share * [0.0, 0.0, 1.0])
    truth.turns[:, 3] = exp(share * [0.3, 0.4, -0.2])
    places, numbers = places_of(rig, truth)
    fitted = run(fit_job(rig, {"right": Observed(numbers, places)}, RATE))
    assert np.linalg.norm(places_of(rig, fitted.motion)[0] - places, axis=-1).max() < 2e-3
    assert np.array_equal(fitted.motion.turns[:, 0], truth.turns[:, 0])
    assert not fitted.motion.places.any()


# Cameras


def test_lens_distortion_is_undone():
    points = np.random.default_rng(4).normal(size=(50, 3)) * 0.1
    c = camera(0.4)
    away = points - c.centre
    assert np.allclose(c.directions(c.project(points)), away / np.linalg.norm(away, axis=1, keepdims=True), atol=1e-9)


def test_triangulation_leaves_the_wrong_camera_out():
    points = np.random.default_rng(5).normal(size=(7, 4, 3)) * 0.05
    cameras = [camera(angle) for angle in (-0.6, 0.0, 0.5)]
    rays = seen_by(cameras, points)
    off = cameras[1].project(points) + [60, -40]
    rays.direction[1, :, 0] = cameras[1].directions(off)[:, 0]
    found, agree = triangulate(rays)
    assert np.abs(found - points).max() < 1e-6
    assert not agree[1, :, 0].any()
    assert agree[[0, 2]].all()


def test_cameras_that_disagree_give_no_point():
    points = np.zeros((1, 1, 3))
    rays = seen_by([camera(-0.5), camera(0.5)], points)
    rays.direction[1] = camera(0.5).directions(camera(0.5).project(points) + [0, 90])
    found, _ = triangulate(rays)
    assert np.isnan(found).all()
    rays.direction[1] = np.nan
    seen = Observed.of_rays(np.array([0]), rays)
    assert seen.alone.all()
    near = np.array([[[0.0, 0.02, 0.0]]])
    data = seen.data(near)
    assert np.linalg.matrix_rank(data.information[0, 0], tol=1e-6 * np.abs(data.information).max()) == 2


def test_a_take_elsewhere_in_millimetres_is_brought_to_the_head():
    rng = np.random.default_rng(6)
    rest = rng.normal(size=(40, 3)) * 0.06
    turn, shift = exp(np.array([0.0, 0.0, 2.5])), np.array([3.0, 1.0, -2.0])
    points = np.tile(1000 * (rest @ turn.T + shift), (5, 1, 1))
    seen = Observed(np.arange(40), points)
    frame, scale = alignment(rest, rigid_poses(rest, seen)[0], fixed=False)
    assert scale == pytest.approx(1e-3, rel=1e-6)
    assert np.abs(seen.moved(frame, scale).points - rest).max() < 1e-9
    assert alignment(rest, rigid_poses(rest, replace(seen, points=np.tile(rest, (5, 1, 1))))[0], fixed=False) is None


# Contact


def test_contact_is_nearness_that_lasts():
    least = np.full(40, 0.05)
    least[10:20] = 0.001
    least[14] = 0.008  # one noisy frame
    least[30] = 0.003  # as near for a single frame
    assert np.flatnonzero(touches(least, 0.004)).tolist() == list(range(10, 20))


def test_the_likeliest_course_changes_seldom():
    costs = np.array([[0, 0, 5, 0, 9, 9, 9], [9, 9, 0, 9, 0, 0, 0]], float)
    assert likeliest(costs, 4.0).tolist() == [0, 0, 0, 0, 1, 1, 1]
