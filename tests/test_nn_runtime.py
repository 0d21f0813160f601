# SPDX-License-Identifier: GPL-3.0-or-later
"""The network at work: exact rest, bounds, invariance, and refusals; its weights are random."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nephim
import numpy as np
import pytest
from nephim.errors import SimulationError, SurfaceError
from nephim.nn.runtime import Network
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.surface import Surface
from small_cast import FINGER, TEMPLATE, controls, finger_at, frame_of, random_weights, turned


def network(weights=None, frame_rate: float = 24.0, **more) -> Network:
    return Network(
        TEMPLATE, weights or random_weights(), right=FINGER, frame_rate=frame_rate, controls=controls(), **more
    )


def test_without_contact_nothing_moves():
    for seed in range(3):
        simulation = network(random_weights(seed))
        for _ in range(3):
            result = simulation.step(frame_of(finger_at(-0.05)))
            assert np.array_equal(result.skin, result.tracked)
            assert np.array_equal(result.tracked, TEMPLATE.head_vertices.astype(np.float32))
            assert result.statistics["substeps"] == result.statistics["contacts"] == 0


def test_contact_moves_skin_only_nearby_and_within_bounds():
    simulation = network(random_weights(1, size=3.0))
    for _ in range(40):
        result = simulation.step(frame_of(finger_at(0.006)))
    moved = np.linalg.norm(result.skin - result.tracked, axis=1)
    assert 1e-4 < moved.max() < 0.13  # interpolation may exceed the 60 mm of a control
    assert np.isfinite(result.skin).all()
    assert len(result.contacts) > 0


def test_after_contact_the_skin_comes_exactly_to_rest():
    """Whatever the weights say: 1.5 s after the hand has left."""
    for seed in range(3):
        simulation = network(random_weights(seed, size=1.0))
        for _ in range(5):
            simulation.step(frame_of(finger_at(0.006)))
        assert simulation.state.any()
        for _ in range(36):
            result = simulation.step(frame_of(finger_at(-0.05)))
        assert not simulation.state.any()
        assert np.array_equal(result.skin, result.tracked)


def test_ten_thousand_frames_stay_within_bounds():
    simulation = network(random_weights(2, size=0.5))
    largest = 0.0
    for k in range(10_000):
        simulation.step(frame_of(finger_at(0.004 * np.sin(0.1 * k))))
        largest = max(largest, float(np.abs(simulation.state).max()))
    assert largest < 0.061
    simulation.step(frame_of(finger_at(-0.05)))


def test_head_and_hand_moved_together_give_the_same_deformation():
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turned(0.8), [0.3, -0.2, 1.5]
    # Small weights: rounding must not be blown up. Off the axes: no two controls are equally near.
    ours, theirs = (network(random_weights(size=0.05)) for _ in range(2))
    for depth in (0.0, 0.003, 0.006):
        frame = frame_of(finger_at(depth, 0.13))
        a = ours.step(frame)
        head, hand = (
            (v.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32) for v in (frame.head, frame.right)
        )
        b = theirs.step(TrackedFrame(head, None, hand, pose, pose))
    moved = (b.skin - b.tracked) @ pose[:3, :3]
    assert np.abs(a.skin - a.tracked).max() > 1e-4
    assert np.abs(moved - (a.skin - a.tracked)).max() < 2e-5


def test_reset_forgets_and_repeats():
    simulation = network()
    first = [simulation.step(frame_of(finger_at(d))).skin for d in (0.0, 0.002, 0.004)]
    simulation.reset()
    again = [simulation.step(frame_of(finger_at(d))).skin for d in (0.0, 0.002, 0.004)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_history_matters():
    """The same hand, reached in another way, gives another skin."""
    ours, theirs = network(), network()
    ours.step(frame_of(finger_at(0.004)))
    theirs.step(frame_of(finger_at(0.001, 0.1)))
    a, b = (n.step(frame_of(finger_at(0.004))) for n in (ours, theirs))
    assert np.abs(a.skin - b.skin).max() > 1e-5


def test_another_character_is_refused():
    for changes, reason in (({"heads": (7,)}, "other heads"), ({"hands": (7,)}, "other hands")):
        foreign = replace(random_weights(), **changes)
        with pytest.raises(SimulationError, match=reason):
            network(foreign)
        network(foreign, strict=False)
    with pytest.raises(SimulationError, match="frames per second"):
        network(frame_rate=120.0)
    with pytest.raises(SimulationError, match="no hand"):
        Network(TEMPLATE, random_weights(), controls=controls())


def test_a_bad_frame_is_refused():
    simulation = network()
    with pytest.raises(SurfaceError, match="vertices"):
        simulation.step(frame_of(finger_at(0.0)[:-1]))
    broken = finger_at(0.0)
    broken[3] = np.nan
    with pytest.raises(SurfaceError, match="finite"):
        simulation.step(frame_of(broken))


def test_a_hand_that_is_not_there_is_refused():
    left = Surface(FINGER.vertices, FINGER.triangles, "Left")
    both = Network(TEMPLATE, random_weights(), left=left, right=FINGER, controls=controls())
    with pytest.raises(SurfaceError, match="Left"):
        both.step(frame_of(finger_at(0.0)))


def test_only_training_and_its_own_runtime_know_torch():
    folder = Path(nephim.__file__).parent
    users = {
        path.name
        for path in folder.rglob("*.py")
        if not {".venv", "build", "tests"} & set(path.relative_to(folder).parts)
        and re.search(r"^\s*(import|from) torch\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users == {"model.py", "training.py", "torch_runtime.py"}


def test_all_but_training_is_imported_without_torch():
    """torch_runtime too: it asks for torch when a device is named."""
    names = ("runtime", "torch_runtime", "pipeline", "evaluation", "dataset", "cluster")
    code = "import sys; sys.modules['torch'] = None\n" + "\n".join(f"import nephim.nn.{name}" for name in names)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    python = sys.executable if "python" in Path(sys.executable).name else "python3"
    subprocess.run([python, "-c", code], check=True, env=environment)


def test_a_hand_touches_where_the_physics_says_so():
    """From half a millimetre off the skin on."""
    counts = []
    for depth in (-0.002, -0.0008, -0.0002, 0.001, 0.004):
        counts.append(len(network().step(frame_of(finger_at(depth))).contacts))
    assert counts[0] == counts[1] == 0 < counts[2] <= counts[3] <= counts[4]


def test_a_hovering_hand_lets_go():
    """3 mm off the skin for a while: felt, but nothing is held."""
    simulation = network(random_weights(1, size=1.0))
    simulation.step(frame_of(finger_at(0.004)))
    for _ in range(60):
        result = simulation.step(frame_of(finger_at(-0.003)))
    assert simulation.field.values.any()
    assert np.array_equal(result.skin, result.tracked)
