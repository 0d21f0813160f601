# SPDX-License-Identifier: GPL-3.0-or-later
"""The flesh of hands: how deep it is, how it shares a compression with the face, and what that does to contact."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nephim.sim import measure
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.clearance import Clearance
from nephim.sim.geometry.surface import Surface, vertex_normals
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.hand_flesh import HandFlesh, compressions, flesh_depth
from nephim.sim.hands import Hands
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from synthetic_hand import hand_of_cubes
from volumes import RADIUS, finger, icosphere, round_head

SETTINGS = PhysicsSettings.load("default")
TEMPLATE = round_head(4)
TREE = TriangleTree(TEMPLATE.skin_vertices, TEMPLATE.skin_triangles)
BALL = Surface(*icosphere(0.012, 3), "ball")
MODULUS, MOST = 5100.0, 0.7
lengths = st.floats(0.0005, 0.03)


@settings(deadline=None)  # the first call compiles
@given(st.floats(0.0, 0.04), lengths, st.floats(0.001, 0.01))
def test_both_layers_carry_one_pressure_and_share_the_overlap(overlap, tissue, flesh):
    hand = compressions(np.array([overlap]), np.array([tissue]), np.array([flesh]), MODULUS, MOST)[0]
    face = overlap - hand
    assert 0.0 <= hand <= 0.6 * flesh + 1e-12
    if overlap >= MOST * tissue + 0.6 * flesh:
        assert hand == pytest.approx(0.6 * flesh)
        return
    assert -1e-12 <= face <= MOST * tissue + 1e-9
    soft = MODULUS * (1 + 0.5 * (0.008 / tissue) ** 2)
    # The pressures are equal; multiplied out, as near a limit they have no bound.
    of_face, of_hand = face * soft * (flesh - hand / 0.6), hand * 40e3 * (tissue - face / MOST)
    assert of_face == pytest.approx(of_hand, rel=1e-6, abs=1e-9)


def test_the_harder_layer_gives_less():
    deep, thin = np.full(2, 0.006), np.array([0.004, 0.02])
    over_bone, over_cheek = compressions(deep, thin, np.full(2, 0.005), MODULUS, MOST)
    assert over_bone > 3 * over_cheek > 0
    assert compressions(np.zeros(1), thin[:1], deep[:1], MODULUS, MOST)[0] == 0
    assert compressions(deep[:1], np.zeros(1), np.array([0.005]), MODULUS, MOST)[0] == pytest.approx(0.003)  # held


def test_flesh_is_a_share_of_the_thickness():
    assert flesh_depth(BALL, "left") == pytest.approx(np.full(len(BALL.vertices), 0.25 * 0.024), rel=0.03)


def hand_with_thumb(side: str) -> tuple[Surface, np.ndarray]:
    """A hand of cubes whose first finger is bent away from the others; the direction in which its palm looks."""
    vertices, quads = hand_of_cubes()
    outer = (vertices[:, 0] < vertices[:, 0].min() + 0.0101) & (vertices[:, 2] > 0.0401)
    lean = vertices[outer, 2] - 0.04
    vertices[outer, 0] -= lean
    vertices[outer, 2] -= 0.5 * lean
    triangles = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32)
    # Fingers up, thumb towards -x: on a right hand, the palm looks away from an eye at -y.
    return Surface(vertices, triangles, "hand"), np.array([0.0, 1.0 if side == "right" else -1.0, 0.0])


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_palm_has_more_flesh_than_the_back(side):
    hand, palm = hand_with_thumb(side)
    depth, facing = flesh_depth(hand, side), vertex_normals(hand.vertices, hand.triangles) @ palm
    assert np.median(depth[facing > 0.7]) > 1.5 * np.median(depth[facing < -0.7])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    turned = flesh_depth(replace(hand, vertices=hand.vertices @ turn.T + 1.0), side)
    assert np.median(np.abs(turned - depth) / depth) < 0.1  # rays go other ways


def given_by(flesh: HandFlesh, ball: np.ndarray) -> np.ndarray | None:
    return flesh.give(TREE, ball, TEMPLATE.bone_direction, Clearance(len(ball), 0.05))


def pressed(depth: float) -> np.ndarray:
    """The ball, `depth` [m] in the head at +x."""
    return BALL.vertices + [RADIUS + 0.012 - depth, 0, 0]


def test_a_pressed_ball_is_flatter_in_front_and_wider_beside():
    flesh, ball = HandFlesh({"right": BALL}, TEMPLATE, SETTINGS), pressed(0.004)
    moves = given_by(flesh, ball)
    front, outwards = np.argmin(ball[:, 0]), np.einsum("ij,ij->i", moves, BALL.vertices / 0.012)
    assert 0.0002 < moves[front, 0] < flesh.limit[front]  # back, out of the head
    assert outwards.min() == pytest.approx(outwards[front], rel=0.1)
    beside = (outwards > 0) & (ball[:, 0] > RADIUS)
    assert beside.any() and outwards[beside].max() > 1e-5
    inwards = -(outwards * flesh._area)[outwards < 0].sum()
    assert (outwards * flesh._area)[outwards > 0].sum() == pytest.approx(0.7 * inwards, rel=0.3)
    assert given_by(flesh, pressed(-0.01)) is None


def test_it_gives_more_and_more_without_a_jump():
    flesh = HandFlesh({"right": BALL}, TEMPLATE, SETTINGS)
    depths = np.arange(-0.001, 0.014, 0.0002)
    moves = [given_by(flesh, pressed(d)) for d in depths]
    moves = np.array([np.zeros_like(BALL.vertices) if m is None else m for m in moves])
    front = np.argmin(BALL.vertices[:, 0])
    assert (np.diff(moves[:, front, 0]) >= -1e-9).all()
    assert np.linalg.norm(np.diff(moves, axis=0), axis=2).max() < 2.5 * 0.0002  # no farther than the ball moves


def frames(depths) -> list[TrackedFrame]:
    head = TEMPLATE.head_vertices.astype(np.float32)
    return [
        TrackedFrame(head, None, pressed(d).astype(np.float32), np.eye(4), np.eye(4), k, k / 24)
        for k, d in enumerate(depths)
    ]


def test_what_bone_stops_the_hand_gives():
    track = frames([-0.002, 0.004, 0.009, 0.0135, 0.0135])  # the tissue yields 12.6 mm
    meter = measure.PenetrationMeter(TEMPLATE.skin_triangles, TEMPLATE.outer, BALL.triangles)
    left = {}
    for yielding in (False, True):
        physics = Physics(TEMPLATE, SETTINGS, right=BALL, yielding_hands=yielding)
        results = [physics.step(frame) for frame in track]
        assert results[0].left is results[0].right is None  # nothing touches yet
        assert (results[-1].right is not None) == yielding
        hand = track[-1].right if results[-1].right is None else results[-1].right
        found = meter.measure(results[-1].skin, hand)
        left[yielding] = max(found.skin_depth.max(), found.hand_depth.max())
    assert left[False] > 0.0004 and left[True] < 1e-4


def test_a_hand_gives_the_same_at_every_frame_rate():
    once, often = (
        Physics(TEMPLATE, SETTINGS, right=BALL, yielding_hands=True, frame_rate=rate) for rate in (24.0, 96.0)
    )
    few = [once.step(frame) for frame in frames([-0.002, 0.006])]
    many = [often.step(frame) for frame in frames([-0.002, 0.0, 0.002, 0.004, 0.006])]
    assert np.abs(few[-1].right - many[-1].right).max() < 1e-6


def test_vertices_that_are_not_simulated_move_with_those_around_them():
    seam = Surface(np.concatenate([BALL.vertices, BALL.vertices[:50]]), BALL.triangles, "ball")
    hands = Hands(TEMPLATE, None, seam)
    frame = TrackedFrame(TEMPLATE.head_vertices.astype(np.float32), None, seam.vertices.astype(np.float32))
    moves = np.zeros_like(hands.vertices)
    moves[:, 0] = np.linspace(0, 0.002, len(moves))
    moved = hands.moved(frame, moves)["right"] - frame.right
    assert moved[: len(moves)] == pytest.approx(moves, abs=1e-7)
    fine = Surface(*icosphere(0.04, 6), "fine")  # more vertices than are simulated
    hands = Hands(TEMPLATE, fine, None)
    assert len(hands.vertices) < len(fine.vertices)
    frame = replace(frame, left=fine.vertices.astype(np.float32), right=None)
    moved = hands.moved(frame, hands.vertices * 0.05)["left"] - frame.left
    assert np.abs(moved - 0.05 * fine.vertices).max() < 0.05 * 0.002  # of a vertex at most 2 mm away


def test_finger_has_flesh_all_around():
    depth = flesh_depth(finger(), "left")
    assert depth.min() >= 0.001 and depth.max() <= 0.010
