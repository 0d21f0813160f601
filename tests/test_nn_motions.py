# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated motions of the demo character, and the other people of the same base."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.demo.character import load_character
from nephim.errors import NephimError
from nephim.motions.generator import _schedule, _Track, generate
from nephim.motions.identities import HELD_BACK, IDENTITIES, load_identity
from nephim.motions.puppet import Puppet, demo_puppet
from nephim.motions.repertoire import GESTURES
from nephim.motions.skin_map import SkinMap
from nephim.sim.geometry import rigid
from nephim.sim.geometry.surface import vertex_normals
from nephim.sim.template import Template
from scipy.sparse import identity
from small_cast import TEMPLATE

FRAMES = 150
_LARGEST_STEP = 0.25  # [m] of a hand vertex in a frame, on its way between two gestures


@pytest.fixture(scope="module")
def stage(demo_assets) -> tuple[Puppet, SkinMap]:
    """The demo character with its coarse head; of its volume only what hands are placed by."""
    character = load_character(demo_assets)
    part = character.head
    n = len(part.vertices)
    same = identity(n, format="csr")
    low = part.vertices[:, 2] < part.vertices[:, 2].min() + 0.01
    changes = {
        "head_vertices": part.vertices, "refinement": same, "skin_vertices": part.vertices,
        "skin_triangles": part.triangles, "rim": low, "outer": np.ones(n, bool), "tissue_depth": np.full(n, 0.012),
        "bone_direction": -vertex_normals(part.vertices, part.triangles),
    }  # fmt: skip
    return demo_puppet("demo", character, same, same, part.triangles), SkinMap(
        Template(**{**vars(TEMPLATE), **changes})
    )


def test_every_gesture_can_be_performed(stage):
    puppet, _ = stage
    for hand in puppet.hands.values():
        for gesture in GESTURES:
            assert set(gesture.grips) <= set(hand.grips)


@pytest.mark.parametrize("seed", range(3))
def test_hands_come_from_outside_touch_and_leave(stage, seed):
    puppet, skin = stage
    clip = generate(puppet, skin, seed, FRAMES)
    assert sorted(clip.hands) == ["L", "R"] and clip.events
    for side, hands in clip.hands.items():
        local = np.einsum("fij,fni->fnj", clip.cranium[:, :3, :3], hands - clip.cranium[:, None, :3, 3])
        depth = np.array([skin.deepest(hand) for hand in local[::3]])
        assert depth[0] == 0.0 and skin.deepest(local[-1]) == 0.0
        assert depth.max() < 0.016  # 10 mm of a press, what the other parts of the hand may have, expressions
        assert np.linalg.norm(np.diff(local, axis=0), axis=2).max() < _LARGEST_STEP
        if any(e.side == side for e in clip.events):
            assert depth.max() > 2e-4
    assert all(0 <= e.first < e.last < FRAMES for e in clip.events)


def test_a_hand_is_clear_before_and_after_a_gesture_where_the_skin_faces_down(stage):
    """Under nose, lips and chin, moving off along the normal does not leave the face."""
    puppet, skin = stage
    hand = puppet.hands["L"]
    down = skin.candidates[
        vertex_normals(skin.template.skin_vertices, skin.template.skin_triangles)[skin.candidates, 2] < -0.6
    ]
    still = np.zeros((100, len(skin.template.skin_vertices), 3), np.float32)
    track = _Track(hand, skin, still)
    acts = _schedule(hand, skin, np.random.default_rng(0), 100, 30.0)
    assert len(down) > 10
    for vertex in down[:: len(down) // 10]:
        path = [skin.at(skin.template.skin_vertices[vertex])]
        for grip_name, grip in hand.grips.items():
            act = replace(acts[0], path=path, grip_name=grip_name, grip=grip, pull=np.zeros(3))
            posed = hand.posed(grip.opened)
            for frame in (act.first, act.last):
                assert skin.deepest(rigid.apply(track._placed(act, frame, posed), posed)) < 1e-4


def test_both_hands_do_the_same_only_where_there_is_room_for_two(stage):
    puppet, skin = stage
    twice = 0
    for seed in (0, 10, 18):
        events = generate(puppet, skin, seed, FRAMES).events
        for event in events:
            partner = [e for e in events if (e.name, e.first, e.last) == (event.name, event.first, event.last)]
            if len(partner) == 2:
                twice += 1
                assert abs((skin.template.skin_vertices[event.vertex] - skin.middle)[0]) > 0.03
    assert twice


def test_gestures_differ_between_seeds_and_cover_the_repertoire(stage):
    puppet, skin = stage
    names, places = set(), []
    for seed in range(25):
        acts = _schedule(puppet.hands["R"], skin, np.random.default_rng(seed), 240, 30.0)
        names |= {act.gesture.name for act in acts}
        places += [act.path[0].point for act in acts]
    assert names == {gesture.name for gesture in GESTURES}
    spread = np.ptp(np.array(places), axis=0)
    assert (spread > 0.7 * np.ptp(skin.template.skin_vertices[skin.candidates], axis=0)).all()


def test_people_share_the_topology_and_differ_in_shape(demo_assets):
    demo = load_character(demo_assets)
    same = load_identity(demo_assets.parent, "caucasian_female_young")
    assert np.abs(same.head.vertices - demo.head.vertices).max() < 1e-9
    other = load_identity(demo_assets.parent, HELD_BACK[0])
    assert np.array_equal(other.head.quads, demo.head.quads)
    assert np.abs(other.head.vertices - demo.head.vertices).max() > 0.005
    assert set(HELD_BACK) < set(IDENTITIES) and len(IDENTITIES) == 7


def test_an_unknown_person_or_a_missing_wheel_is_said(demo_assets, tmp_path):
    with pytest.raises(NephimError, match="no identity 'nobody'"):
        load_identity(demo_assets.parent, "nobody")
    with pytest.raises(NephimError, match="cannot be read"):
        load_identity(tmp_path, HELD_BACK[0])
