# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter against jitter: no delay, no blur across contact."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.errors import TrackError
from nephim.tracks.checks import Take
from nephim.tracks.face_capture import FaceCapture
from nephim.tracks.smoothing import contact_changes, jitter, low_pass, smoothed, smoothed_capture
from nephim.tracks.track import Faces, Track

RATE = 60.0


def test_slow_motion_passes_without_delay_and_noise_does_not():
    time = np.arange(240) / RATE
    slow = np.stack([np.sin(2 * np.pi * time), np.cos(2 * np.pi * time), time], 1)[:, None].astype(np.float32)
    noisy = slow + np.random.default_rng(1).normal(0, 0.01, slow.shape)
    filtered = low_pass(noisy, 6, RATE)
    assert np.abs(low_pass(slow, 6, RATE) - slow)[10:-10].max() < 2e-3
    assert np.isclose(jitter(noisy), 0.01 * 3**0.5, rtol=0.1)
    assert jitter(filtered) < 0.1 * jitter(noisy)
    lag = [np.abs(filtered[30:-30, 0, 0] - slow[30 + k : len(slow) - 30 + k, 0, 0]).mean() for k in range(-3, 4)]
    assert int(np.argmin(lag)) == 3


def test_a_stop_at_the_skin_is_not_blurred():
    approach = np.concatenate([np.linspace(0.1, 0.0, 31)[:-1], np.zeros(30)])
    hand = np.zeros((60, 1, 3), np.float32)
    hand[:, 0, 0] = approach
    blurred, kept = low_pass(hand, 3, RATE), low_pass(hand, 3, RATE, [30])
    assert np.abs(blurred - hand).max() > 3e-3
    assert np.abs(kept - hand).max() < 1e-4


PLATE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
HALVES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def test_contact_changes_are_found():
    heights = [0.1, 0.05, 0.0009, 0.002, 0.0029, 0.0005, 0.002, 0.004, -0.01, 0.0]
    hand = np.array(heights)[:, None, None] * [0, 0, 1.0]
    head = np.stack([PLATE] * len(heights))
    assert contact_changes(head, HALVES, hand) == [2, 6, 8]
    assert contact_changes(head, HALVES, hand + [0, 0, 0.007], 0.007) == [2, 6, 8]
    assert contact_changes(head, HALVES, hand - 0.2) == contact_changes(head, HALVES, hand + 1) == []


def touch(seed, noise):
    """A ball of vertices that falls on a plate at 0.25 m/s, rests 3 mm in it for half a second, and leaves again.

    Returns its height [m] without noise (f,), when it touches and leaves [frames], and the take.
    """
    rng, time = np.random.default_rng(seed), np.arange(120) / RATE
    first, last, speed, depth = 0.5417, 1.2083, 0.25, 0.003  # touches between two frames
    away = np.maximum(first - time, time - last)
    height = np.maximum(speed * away, -depth)
    ball = rng.normal(0, 1, (60, 3))
    ball *= 0.01 / np.linalg.norm(ball, axis=1, keepdims=True)
    ball[0] = [0, 0, -0.01]
    moving = ball + np.stack([0 * time, 0.02 * np.sin(3 * time), height + 0.01], 1)[:, None]
    moving = moving + rng.normal(0, noise, (120, 1, 3)) + rng.normal(0, 0.3 * noise, moving.shape)
    head = Track("head", np.stack([PLATE] * 120), Faces.of(HALVES), "head")
    hand = Track("hand", moving.astype(np.float32), Faces.of(HALVES), "right")
    return height, (first * RATE, last * RATE), Take((head, hand), RATE, 0, ())


def crossings(height):
    """When a height (f,) falls below 0 for the first time and rises above it for the last [frames]."""
    below = np.flatnonzero(height < 0)
    start, end = below[0], below[-1]
    return (
        start - height[start] / (height[start] - height[start - 1]),
        end - height[end] / (height[end + 1] - height[end]),
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_time_of_touch_stays(seed):
    height, times, take = touch(seed, 0.0004)
    assert np.allclose(crossings(height), times, atol=1e-6)
    done = smoothed(take, 3)
    hand = done.tracks[1]
    low = hand.vertices[:, 0, 2]
    assert np.abs(np.subtract(crossings(low), times)).max() < 0.3  # frames, of 17 ms
    blurred = low_pass(take.tracks[1].vertices, 3, RATE)[:, 0, 2]
    assert np.abs(np.subtract(crossings(blurred), times)).max() > 1.0
    assert np.abs(low - height).max() < 0.35 * np.abs(blurred - height).max()
    still = slice(5, 25)
    assert hand.jitter > 0.0004 and hand.smoothed[0] == 3 and hand.smoothed[1] < 0.35 * hand.jitter
    assert jitter(hand.vertices[still]) < 0.15 * jitter(take.tracks[1].vertices[still])
    assert "jitter" in done.said[-1] and np.allclose(done.tracks[0].vertices, PLATE, atol=1e-6)


def test_parts_of_a_body_touch_as_objects_do():
    _, _, take = touch(0, 0.0)
    head, hand = take.tracks
    count = head.vertices.shape[1]
    body = np.concatenate([hand.vertices, head.vertices], 1)
    parts = {"right": np.arange(body.shape[1]) < body.shape[1] - count}
    parts["head"] = ~parts["right"]
    faces = Faces.of(np.concatenate([HALVES, HALVES + hand.vertices.shape[1]]))
    one = replace(take, tracks=(Track("body", body, faces, "", parts=parts),))
    found = smoothed(one, 4).tracks[0].vertices
    assert np.allclose(found[:, parts["right"]], smoothed(take, 4).tracks[1].vertices, atol=1e-6)


def test_a_face_capture_is_filtered_between_its_gaps():
    time = np.arange(120) / RATE
    clean = np.stack([0.5 + 0.4 * np.sin(4 * time), np.zeros(120)], 1)
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 0.02, clean.shape) * [1, 0], 0, 1)
    noisy[50:55] = np.nan
    noisy[55:, 0] -= 0.5  # what is on the other side of a gap does not pull
    clean[55:, 0] -= 0.5
    rotation = np.stack([np.where(time > 1, 3.2, 3.1), time, time], 1) % (2 * np.pi)
    capture = FaceCapture("take", time, ("jawOpen", "jawLeft"), noisy, rotation, 1 / RATE, ("a note",))
    done = smoothed_capture(capture, 6)
    seen = np.isfinite(noisy).all(1)
    assert np.array_equal(np.isfinite(done.weights).all(1), seen) and not done.weights[seen, 1].any()
    inner = np.r_[10:40, 65:110]  # the ends of a piece stay near what was captured
    error, before = (np.sqrt(((w - clean)[inner, 0] ** 2).mean()) for w in (done.weights, noisy))
    assert error < 0.6 * before
    assert done.notes[0] == "a note" and "smoothed at 6 Hz, jitter of expressions" in done.notes[1]
    with pytest.raises(TrackError, match="cut-off"):
        smoothed_capture(capture, 30)


@pytest.mark.parametrize("cut_off", [0, -1, 30, 100, float("nan")])
def test_impossible_cut_offs(cut_off):
    with pytest.raises(ValueError, match="cut-off"):
        low_pass(np.zeros((9, 1, 3)), cut_off, RATE)


def test_short_takes_are_left_alone():
    short = np.random.default_rng(0).random((3, 2, 3)).astype(np.float32)
    assert np.array_equal(low_pass(short, 5, RATE), short)
    assert jitter(short[:2]) == 0
