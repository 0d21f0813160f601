# SPDX-License-Identifier: GPL-3.0-or-later
"""Jumps of hands against the head: what counts as one."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry import rigid
from nephim.sim.hand_jumps import FASTEST_HAND, jumped_hands, shrunk
from volumes import finger, icosphere

HEAD = icosphere(0.09, 2)[0]
HAND = finger().vertices
FRAME = 1 / 24


def frame(left=None, right=None, head=HEAD) -> TrackedFrame:
    return TrackedFrame(*(None if v is None else v.astype(np.float32) for v in (head, left, right)))


def placed(angle: float, shift) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    transform = np.eye(4)
    transform[:2, :2], transform[:3, 3] = [[c, -s], [s, c]], shift
    return transform


@pytest.mark.parametrize(("share", "jumps"), [(0.95, False), (1.05, True)])
def test_the_threshold_is_a_speed_whatever_the_frame_rate(share, jumps):
    for rate in (12.0, 24.0, 60.0, 240.0):
        step = share * FASTEST_HAND / rate
        found = jumped_hands(frame(right=HAND), frame(right=HAND + [0, step, 0]), 1 / rate)
        assert found.tolist() == [jumps]


def test_half_a_metre_at_24_frames_a_second_is_a_jump_of_that_hand_only():
    found = jumped_hands(frame(HAND, HAND), frame(HAND + [0.3, 0, 0], HAND + [0.5, 0, 0]), FRAME)
    assert found.tolist() == [False, True]


def test_what_moves_with_the_head_does_not_jump():
    away = placed(2.0, [30.0, 5.0, 0.0])
    before = frame(HAND)
    assert not jumped_hands(before, frame(rigid.apply(away, HAND), head=rigid.apply(away, HEAD)), FRAME).any()
    assert jumped_hands(before, replace(before, head=(HEAD + [1.0, 0, 0]).astype(np.float32)), FRAME).all()


def test_a_few_wild_vertices_are_no_jump():
    wild = HAND.copy()
    wild[::5] += 3.0
    assert not jumped_hands(frame(HAND), frame(wild), FRAME).any()


def test_the_first_frame_and_a_hand_that_was_not_there_do_not_jump():
    assert jumped_hands(None, frame(HAND, HAND), FRAME).tolist() == [False, False]
    assert jumped_hands(frame(HAND), frame(HAND, HAND), FRAME).tolist() == [False, False]


def test_a_hand_hidden_by_its_scale_is_told_from_a_small_one():
    assert shrunk(0.0 * HAND, HEAD) and shrunk(0.01 * HAND, HEAD)
    assert not shrunk(HAND, HEAD)
    assert not shrunk(30 * HAND, 30 * HEAD)
