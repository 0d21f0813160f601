# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that press each other: both give where they overlap, without a jump, and no more than flesh can."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.clearance import Clearance
from nephim.sim.geometry.surface import Surface, vertex_normals
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.hand_flesh import HandFlesh
from nephim.sim.hand_measure import HandsRecord
from nephim.sim.physics import Physics
from nephim.sim.reduced import ReducedPhysics
from nephim.sim.settings import PhysicsSettings
from volumes import icosphere, round_head

SETTINGS, TEMPLATE = PhysicsSettings.load("default"), round_head(3)
TREE = TriangleTree(TEMPLATE.skin_vertices, TEMPLATE.skin_triangles)
ALONE = np.array([0.5, 0.0, 0.0])  # [m] from a head at the origin


def rounded(size: tuple[float, float, float], level: int = 4, power: int = 6) -> Surface:
    """A block of the size [m] whose faces are the flatter and edges the sharper, the higher the power; 2: an egg."""
    vertices, triangles = icosphere(1.0, level)
    vertices /= (np.abs(vertices) ** power).sum(axis=1, keepdims=True) ** (1 / power)
    return Surface(vertices * np.array(size) / 2, triangles, "hand")


PALM, BALL = rounded((0.08, 0.09, 0.028)), Surface(*icosphere(0.012, 3), "ball")
FINGER = rounded((0.016, 0.016, 0.06), power=3)


def pressed(one: Surface, other: Surface, offset, at=ALONE) -> list[np.ndarray]:
    """Two hands away from the head, the other one moved by the offset [m]."""
    return [one.vertices + at, other.vertices + at + offset]


def given_by(flesh: HandFlesh, hands: list[np.ndarray]) -> np.ndarray | None:
    together = np.concatenate(hands)
    return flesh.give(TREE, together, TEMPLATE.bone_direction, Clearance(len(together), 0.05))


def left_over(one: Surface, other: Surface, offset) -> tuple[float, float]:
    """How deep the hands are in each other before and after they gave, at most [m]."""
    flesh, hands = HandFlesh({"left": one, "right": other}, TEMPLATE, SETTINGS), pressed(one, other, offset)
    moves = given_by(flesh, hands)
    after = [hand + move for hand, move in zip(hands, np.split(moves, [len(hands[0])]), strict=True)]
    record = HandsRecord(one.triangles, other.triangles)
    record.add(hands, after)
    found = record.summary()
    return found["before"]["max"] / 1000, found["after"]["max"] / 1000


@pytest.mark.parametrize("depth", [0.001, 0.002, 0.004])
@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [(PALM, PALM, 0.028), (BALL, BALL, 0.024), (PALM, BALL, 0.026)],
    ids=["palms", "balls", "a ball in a palm"],
)
def test_what_overlaps_gives_on_both_sides(one, other, apart, depth):
    before, after = left_over(one, other, [0.0003, 0.0002, apart - depth])
    assert before > 0.9 * depth
    assert after < 1e-4


def test_a_fingertip_dents_a_palm_between_its_vertices():
    coarse = rounded((0.08, 0.09, 0.028), 2)  # 12 mm between them
    edges = np.linalg.norm(coarse.vertices[coarse.triangles[:, 0]] - coarse.vertices[coarse.triangles[:, 1]], axis=1)
    assert np.median(edges) > 0.008
    before, after = left_over(coarse, BALL, [0.004, 0.003, 0.026 - 0.004])
    assert before > 0.003 and after < 0.1 * before


def test_crossed_fingers_give():
    crossed = replace(FINGER, vertices=FINGER.vertices[:, [2, 0, 1]])
    before, after = left_over(FINGER, crossed, [0.0, 0.016 - 0.003, 0.0])
    assert before > 0.0025 and after < 1e-4


def test_hands_apart_give_nothing():
    flesh = HandFlesh({"left": PALM, "right": PALM}, TEMPLATE, SETTINGS)
    assert given_by(flesh, pressed(PALM, PALM, [0, 0, 0.1])) is None
    assert given_by(flesh, pressed(PALM, PALM, [0, 0, 0.028 + 0.0006])) is None  # beyond the gap
    assert given_by(flesh, pressed(PALM, PALM, [0.0795, 0.0895, 0.0])) is None  # only their boxes overlap


def test_neither_hand_comes_first():
    hands = pressed(PALM, BALL, [0.003, 0.002, 0.023])
    moves = given_by(HandFlesh({"left": PALM, "right": BALL}, TEMPLATE, SETTINGS), hands)
    swapped = given_by(HandFlesh({"left": BALL, "right": PALM}, TEMPLATE, SETTINGS), hands[::-1])
    ball = len(BALL.vertices)
    assert np.abs(moves).max() > 0.001
    assert np.concatenate([swapped[ball:], swapped[:ball]]) == pytest.approx(moves, abs=1e-9)


def test_palms_share_evenly_and_keep_the_gap():
    hands = pressed(PALM, PALM, [0.0, 0.0, 0.026])
    moves = given_by(HandFlesh({"left": PALM, "right": PALM}, TEMPLATE, SETTINGS), hands)
    lower, upper = np.split(moves, 2)
    top = np.argmax(PALM.vertices[:, 2] - 10 * np.abs(PALM.vertices[:, :2]).sum(axis=1))
    bottom = np.argmin(PALM.vertices[:, 2] + 10 * np.abs(PALM.vertices[:, :2]).sum(axis=1))
    assert lower[top, 2] == pytest.approx(-0.00125, rel=0.03)  # half of 2 mm and of the gap of 0.5 mm
    assert upper[bottom, 2] == pytest.approx(0.00125, rel=0.03)


def test_the_thinner_flesh_gives_less():
    """At the same pressure each is compressed by the same share of its depth."""
    flesh = HandFlesh({"left": PALM, "right": BALL}, TEMPLATE, SETTINGS)
    hands = pressed(PALM, BALL, [0.0, 0.0, 0.024])
    normals = [vertex_normals(one.vertices, one.triangles) for one in (PALM, BALL)]
    given = flesh._together.press(np.concatenate(hands), np.concatenate(normals))
    palm, ball = np.argmax(given[: len(PALM.vertices)]), len(PALM.vertices) + np.argmin(BALL.vertices[:, 2])
    assert given[ball] / flesh.depth[ball] == pytest.approx(given[palm] / flesh.depth[palm], rel=0.1)
    assert given[palm] + given[ball] == pytest.approx(0.0025, rel=0.1)


def test_volume_comes_out_beside():
    moves = given_by(
        HandFlesh({"left": PALM, "right": BALL}, TEMPLATE, SETTINGS), pressed(PALM, BALL, [0.0, 0.0, 0.022])
    )
    up = moves[: len(PALM.vertices)][PALM.vertices[:, 2] > 0.0135, 2]
    assert up.min() < -0.002 and up.max() > 1e-4


def test_no_more_than_flesh_can_give_and_nothing_that_went_through():
    flesh = HandFlesh({"left": PALM, "right": PALM}, TEMPLATE, SETTINGS)
    for depth in (0.004, 0.008, 0.012):
        moves = given_by(flesh, pressed(PALM, PALM, [0.0, 0.0, 0.028 - depth]))
        assert (np.linalg.norm(moves, axis=1) <= flesh.limit + 1e-12).all()
    assert given_by(flesh, pressed(PALM, PALM, [0.0, 0.0, 0.0])) is None  # each in the other


def test_a_hand_between_a_face_and_a_hand_is_compressed_once():
    flesh = HandFlesh({"left": BALL, "right": BALL}, TEMPLATE, SETTINGS)
    at = np.array([0.09 + 0.008, 0.0, 0.0])  # 4 mm in the head
    between = given_by(flesh, pressed(BALL, BALL, [0.018, 0, 0], at))
    alone = given_by(flesh, pressed(BALL, BALL, [0.5, 0, 0], at))
    ball = len(BALL.vertices)
    inner, outer = np.argmin(BALL.vertices[:, 0]), np.argmax(BALL.vertices[:, 0])
    assert between[inner] == pytest.approx(alone[inner], abs=1e-5) and alone[inner, 0] > 0.0002
    assert between[outer, 0] < -0.002 and between[ball + inner, 0] > 0.002
    assert (np.linalg.norm(between, axis=1) <= np.tile(flesh.limit[:ball], 2) + 1e-12).all()
    deep = given_by(flesh, pressed(BALL, BALL, [0.004, 0, 0], at))  # the same flesh, in the face and in the other hand
    assert (np.linalg.norm(deep, axis=1) <= flesh.limit + 1e-12).all()


@pytest.mark.parametrize("way", [(0, 0, 1), (1, 0, 0), (0.6, 0, 0.8)], ids=["in", "along", "aslant"])
@pytest.mark.parametrize("other", [BALL, FINGER], ids=["ball", "finger"])
def test_it_gives_without_a_jump(other, way):
    """Into a palm, along it and off its edge: flesh moves no farther than a few times as far as the hand."""
    flesh, step = HandFlesh({"left": PALM, "right": other}, TEMPLATE, SETTINGS), 0.00005
    low, along = other.vertices[:, 2].min(), np.array(way, float)
    start = np.array([0.0, 0.0, 0.004 - low]) if way == (0, 0, 1) else np.array([0.024, 0.002, 0.010 - low])
    before, most = None, 0.0
    for k in range(400):
        moves = given_by(flesh, pressed(PALM, other, start + k * step * along))
        moves = np.zeros((len(flesh.depth), 3)) if moves is None else moves
        if before is not None:
            most = max(most, float(np.linalg.norm(moves - before, axis=1).max()))
        before = moves
    assert most < 10 * step


def head_with(hands: list[np.ndarray], k: int = 0) -> TrackedFrame:
    left, right = (hand.astype(np.float32) for hand in hands)
    return TrackedFrame(TEMPLATE.head_vertices.astype(np.float32), left, right, np.eye(4), np.eye(4), k, k / 24)


@pytest.mark.parametrize("kind", [Physics, ReducedPhysics])
def test_hands_far_from_the_face_yield_to_each_other(kind):
    far, near = pressed(PALM, PALM, [0, 0, 0.1]), pressed(PALM, PALM, [0, 0, 0.026])
    for yielding in (False, True):
        physics = kind(TEMPLATE, SETTINGS, left=PALM, right=PALM, yielding_hands=yielding)
        results = [physics.step(head_with(hands, k)) for k, hands in enumerate((far, near, near, far))]
        assert [set(result.yielded) for result in results] == [
            set(),
            *[{"left", "right"} if yielding else set()] * 2,
            set(),
        ]
        assert np.array_equal(results[1].skin, results[1].tracked)
        if yielding:
            assert np.array_equal(results[1].left, results[2].left)
            record = HandsRecord(PALM.triangles, PALM.triangles)
            record.add(near, [results[2].left, results[2].right])
            assert record.summary()["before"]["max"] == pytest.approx(2.0, abs=0.05)
            assert record.summary()["after"]["max"] < 0.1


def test_the_head_may_turn():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, [0.1, 0.2, 0.3]
    hands = pressed(PALM, BALL, [0.0, 0.0, 0.023])
    physics = Physics(TEMPLATE, SETTINGS, left=PALM, right=BALL, yielding_hands=True)
    upright = physics.step(head_with(hands))
    moved = [hand @ turn.T + pose[:3, 3] for hand in hands]
    frame = replace(head_with(moved), head=(TEMPLATE.head_vertices @ turn.T + pose[:3, 3]).astype(np.float32))
    physics.reset()
    turned = physics.step(replace(frame, cranium=pose, jaw=pose))
    assert turned.left - frame.left == pytest.approx((upright.left - hands[0]) @ turn.T, abs=2e-6)


def test_depths_of_overlapping_balls_are_measured():
    """Spheres of 12 mm, 20 mm apart: each is 4 mm deep in the other; none at all once they are 24 mm apart."""
    record = HandsRecord(BALL.triangles, BALL.triangles)
    assert record.summary() == {
        name: {"mean": 0.0, "p95": 0.0, "max": 0.0, "samples": 0} for name in ("before", "after")
    }
    apart = pressed(BALL, BALL, [0.025, 0, 0])
    record.add(pressed(BALL, BALL, [0.020, 0, 0]), apart)
    found = record.summary()
    assert found["before"]["max"] == pytest.approx(4.0, abs=0.05) and found["after"]["max"] == 0
    cap = (np.abs(BALL.vertices[:, 0] - 0.012) < 0.002 + 1e-9).sum()  # where a sphere is beyond the plane between
    assert found["before"]["samples"] == found["after"]["samples"] >= 2 * cap
    record.add(apart, apart)
    assert record.summary() == found  # what does not touch changes nothing
