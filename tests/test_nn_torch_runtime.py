# SPDX-License-Identifier: GPL-3.0-or-later
"""The network through torch: the same as the plain one, and refusals where torch or the device is missing."""

import sys

import numpy as np
import pytest
from nephim.errors import SimulationError
from nephim.nn.runtime import Network
from nephim.nn.torch_runtime import TorchNetwork, devices
from small_cast import FINGER, TEMPLATE, controls, finger_at, frame_of, random_weights


def torch_network(device: str, **more) -> TorchNetwork:
    return TorchNetwork(TEMPLATE, more.pop("weights", random_weights()), device=device, right=FINGER, **more)


needs_torch = pytest.mark.skipif(not devices(), reason="PyTorch is not installed: pip install nephim[train]")


@needs_torch
def test_through_torch_the_result_is_the_same():
    for device in devices():
        weights = random_weights(1, size=0.1)
        ours = torch_network(device, weights=weights, controls=controls())
        theirs = Network(TEMPLATE, weights, right=FINGER, controls=controls())
        largest = 0.0
        for depth in (-0.05, -0.002, 0.001, 0.004, 0.006, 0.006, 0.002, -0.002, -0.05):
            frame = frame_of(finger_at(depth, 0.13))
            a, b = ours.step(frame), theirs.step(frame)
            assert np.abs(a.skin - b.skin).max() < 1e-6
            assert np.array_equal(a.contacts, b.contacts)
            largest = max(largest, float(np.abs(a.skin - a.tracked).max()))
        assert largest > 1e-4


@needs_torch
def test_without_contact_nothing_moves():
    for device in devices():
        simulation = torch_network(device, controls=controls())
        result = simulation.step(frame_of(finger_at(-0.05)))
        assert np.array_equal(result.skin, result.tracked)


@needs_torch
def test_a_device_that_is_not_there_is_refused():
    missing = ["toaster", "cuda:99", "meta"] + ([] if "cuda" in devices() else ["cuda"])
    for device in missing:
        with pytest.raises(SimulationError, match=f"cannot compute on '{device}'"):
            torch_network(device)


def test_without_torch_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert devices() == []
    with pytest.raises(SimulationError, match="needs PyTorch"):
        torch_network("cpu")
