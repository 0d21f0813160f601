# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that yield: the setting, what it makes stale, and what is cached of them."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim import cli  # noqa: E402
from nephim.bridge.plan import read_method  # noqa: E402
from nephim.choices import YIELDING_HANDS  # noqa: E402
from nephim.operators import simulate  # noqa: E402
from nephim.sim.frame import SimulatedFrame, TrackedFrame  # noqa: E402

pytestmark = pytest.mark.bpy


def test_a_result_without_hands_of_its_own_has_those_tracked():
    skin = np.zeros((4, 3), np.float32)
    tracked = TrackedFrame(skin, skin + 1, None)
    plain = SimulatedFrame(skin, skin, np.zeros(0, np.int32))
    assert plain.yielded == {} and plain.resolved(tracked) is tracked
    yielded = SimulatedFrame(skin, skin, np.zeros(0, np.int32), left=skin + 2)
    assert list(yielded.yielded) == ["left"]
    assert np.array_equal(yielded.resolved(tracked).left, skin + 2) and yielded.resolved(tracked).right is None


def test_the_setting_makes_a_simulation_another_one_only_where_hands_can_yield():
    scene = scenes.build()
    scene.nephim.yielding_hands = False
    rigid = read_method(scene)
    assert not rigid.hands_yield
    assert simulate.choose(scene, yielding_hands=True) and not simulate.choose(scene)
    yielding = read_method(scene)
    assert yielding.hands_yield and yielding.fingerprint("volume") != rigid.fingerprint("volume")
    fingerprints = []
    for hands in (False, True):
        simulate.choose(scene, mode="surface", yielding_hands=hands)
        assert not read_method(scene).hands_yield
        fingerprints.append(read_method(scene).fingerprint("volume"))
    assert fingerprints[0] == fingerprints[1]


def test_command_line(capsys):
    def hands(text):
        return cli.build_parser(True).parse_args(["simulate", "a.blend", *text.split()]).yielding_hands

    assert (hands(""), hands("--yielding-hands"), hands("--rigid-hands")) == (None, True, False)
    assert cli.parse(["simulate", "a.blend", "--rigid-hands", "--yielding-hands"], True)[0] == cli.EXIT_USAGE
    assert "not allowed with" in capsys.readouterr().err
    assert bpy.context.scene.nephim.yielding_hands == YIELDING_HANDS
