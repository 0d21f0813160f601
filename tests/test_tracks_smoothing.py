# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter against jitter: no delay, no blur across contact."""

import numpy as np
import pytest
from nephim.tracks.smoothing import contact_changes, jitter, low_pass

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


def test_contact_changes_are_found():
    head = np.zeros((6, 1, 3))
    hand = np.array([0.1, 0.05, 0.004, 0.003, 0.05, 0.002])[:, None, None] * [1.0, 0, 0]
    assert contact_changes(head, [hand]) == [2, 4, 5]


@pytest.mark.parametrize("cut_off", [0, -1, 30, 100, float("nan")])
def test_impossible_cut_offs(cut_off):
    with pytest.raises(ValueError, match="cut-off"):
        low_pass(np.zeros((9, 1, 3)), cut_off, RATE)


def test_short_takes_are_left_alone():
    short = np.random.default_rng(0).random((3, 2, 3)).astype(np.float32)
    assert np.array_equal(low_pass(short, 5, RATE), short)
    assert jitter(short[:2]) == 0
