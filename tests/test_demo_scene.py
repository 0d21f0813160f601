# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's motion, held against what a tracked performance is: contacts, depths, speeds; and its Blender scenes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from nephim.demo import motion, posing
from nephim.demo.character import Character, load_character
from nephim.sim.geometry.intersections import intersecting_pairs
from nephim.sim.geometry.topology import fan_caps
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.geometry.winding import inside_by_crossings
from scipy.spatial import cKDTree

# Which bones of the hand may be in the head in each contact: pads and palm, not the backs of fingers elsewhere.
TOUCHING = {
    "index finger on the cheek": {"finger2-3"},
    "palm on the forehead": {"metacarpal", "finger3", "finger4", "finger5", "finger2"},
    "two fingers on the nose": {"finger1-3", "finger2-3"},
    "fist under the chin": {"finger1", "finger2", "finger3", "finger4"},
}
STRAY = 2e-3  # a neighbour of the touching parts may graze the skin [m]


@dataclass
class Performance:
    """The whole motion in vertices. depth: side → (f, n) of hand vertices in the head; skin: side → (f,) vice versa."""

    character: Character
    authored: motion.Motion
    head: list[np.ndarray]
    hands: dict[str, list[np.ndarray]]
    depth: dict[str, np.ndarray]
    skin: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def performance(demo_assets: Path) -> Performance:
    character = load_character(demo_assets)
    authored = motion.author(character)
    rows = range(len(authored.frames))
    head = [authored.head_vertices(character, row) for row in rows]
    hands = {s: [authored.hand_vertices(character, s, row) for row in rows] for s in "LR"}
    depth = {s: np.zeros((len(rows), len(character.hands[s].vertices))) for s in "LR"}
    skin = {s: np.zeros(len(rows)) for s in "LR"}
    closed = _closed(character.head.triangles)
    tree = TriangleTree(head[0], closed)
    for side in "LR":
        hand_closed = _closed(character.hands[side].triangles)
        hand_tree = TriangleTree(hands[side][0], hand_closed)
        for row in rows:
            for points, body, triangles, search, found in (
                (hands[side][row], head[row], closed, tree, depth[side][row]),
                (head[row], hands[side][row], hand_closed, hand_tree, None),
            ):
                near = np.flatnonzero(((points > body.min(0)) & (points < body.max(0))).all(1))
                near = near[inside_by_crossings(points[near], body, triangles)]
                if len(near):
                    search.refit(body)
                    distance = search.closest(points[near])[0]
                    if found is not None:
                        found[near] = distance
                    else:
                        skin[side][row] = distance.max()
    return Performance(character, authored, head, hands, depth, skin)


def _closed(triangles: np.ndarray) -> np.ndarray:
    return np.concatenate([triangles, fan_caps(triangles)])


def test_motion_is_long_enough_and_finite(performance: Performance):
    frames = performance.authored.frames
    assert len(frames) >= 150 and np.array_equal(frames, np.arange(1, len(frames) + 1))
    assert all(np.isfinite(v).all() for v in (*performance.head, *performance.hands["L"], *performance.hands["R"]))
    wrists = np.concatenate(list(performance.authored.wrists.values()))[:, :3, :3]
    assert np.allclose(wrists @ wrists.transpose(0, 2, 1), np.eye(3)) and np.allclose(np.linalg.det(wrists), 1)


@pytest.mark.parametrize("segment", motion.SEGMENTS, ids=lambda s: s.name)
def test_tracked_hands_go_into_the_head_by_a_believable_depth(performance: Performance, segment: motion.Segment):
    rows = np.isin(performance.authored.frames, np.arange(segment.first, segment.last + 1))
    depth = performance.depth[segment.side][rows]
    assert 2e-3 < depth.max() < 15e-3  # over the forehead's bone the tissue is thin
    assert 1e-3 < performance.skin[segment.side][rows].max() < 15e-3
    touching = (depth.max(1) > 0) | (performance.skin[segment.side][rows] > 0)
    assert touching.sum() >= 12, "half a second of contact"
    bones = performance.character.hand_skeletons[segment.side].names
    owner = performance.character.hands[segment.side].weights.argmax(1)
    for bone, name in enumerate(bones):
        if not any(name.startswith(wanted) for wanted in TOUCHING[segment.name]):
            assert depth[:, owner == bone].max(initial=0) < STRAY, f"{name} goes into the head"


def test_somewhere_a_hand_goes_in_deep(performance: Performance):
    assert max(depth.max() for depth in performance.depth.values()) > 6e-3


def test_nothing_touches_outside_the_segments(performance: Performance):
    for side in "LR":
        contact = np.zeros(len(performance.authored.frames), bool)
        for segment in motion.SEGMENTS:
            if segment.side == side:
                contact[segment.first - 1 : segment.last] = True
        assert performance.depth[side][~contact].max() == 0
        assert performance.skin[side][~contact].max() == 0
    either = sum(performance.depth[s].max(1) for s in "LR") > 0
    assert not either[:20].any() and not either[-15:].any() and not either[70:85].any(), "rest at both ends and between"


def test_speeds_are_natural(performance: Performance):
    rate = motion.FRAME_RATE
    for side in "LR":
        positions = np.array(performance.hands[side])
        speed = np.linalg.norm(np.diff(positions, axis=0), axis=2).max(1) * rate
        assert speed.max() < 1.5, "in the air"
        contact = performance.depth[side].max(1) > 0
        assert speed[contact[1:] & contact[:-1]].max() < 0.5, "in touch"
        jerk = np.linalg.norm(np.diff(positions, n=2, axis=0), axis=2).max()
        assert jerk < 0.02, "no frame jumps"


def test_hands_stay_clear_of_each_other(performance: Performance):
    for left, right in zip(performance.hands["L"], performance.hands["R"], strict=True):
        assert cKDTree(left).query(right[::3])[0].min() > 8e-3


def test_hands_follow_the_head_while_in_touch(performance: Performance):
    """The finger's place on the forehead stays while the head nods."""
    rows = [97, 99, 101, 103]
    deepest = [performance.depth["L"][row].argmax() for row in rows]
    places = []
    for row, vertex in zip(rows, deepest, strict=True):
        tree = TriangleTree(performance.head[row], performance.character.head.triangles)
        places.append(tree.closest(performance.hands["L"][row][vertex])[1][0])
    centre = performance.character.head.vertices[performance.character.head.triangles[places]].mean(1)
    assert np.ptp(centre, axis=0).max() < 0.01


@pytest.mark.bpy
def test_skin_never_passes_through_itself(performance: Performance):
    """Blinks, mouth and jaw over the whole motion, on the surface that is simulated."""
    from nephim.demo import scene

    fine = scene.refine_head(performance.character.head)
    authored = performance.authored
    closed = authored.expressions["eyeBlinkLeft"] > 0.95
    for row in np.flatnonzero(closed | (authored.frames % 5 == 0)):  # neighbouring frames are alike
        head = fine.vertices + sum(weights[row] * fine.keys[name] for name, weights in authored.expressions.items())
        pose = authored.head_pose(performance.character, row)
        head = posing.skin(head, fine.weights, performance.character.head_skeleton, pose)
        assert len(intersecting_pairs(head, fine.triangles)) == 0, f"frame {authored.frames[row]}"


def test_motion_is_deterministic(performance: Performance):
    again = motion.author(performance.character)
    assert np.array_equal(again.wrists["R"], performance.authored.wrists["R"])


@pytest.fixture(scope="module")
def demo_blend(demo_assets: Path, registered, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo scene as a file, built once."""
    import bpy
    from nephim.demo import scene

    path = str(tmp_path_factory.mktemp("demo") / "demo.blend")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene.build_demo_scene(demo_assets)
    bpy.ops.wm.save_as_mainfile(filepath=path)
    return path


@pytest.mark.bpy
def test_scene_plays_exactly_the_authored_motion(demo_blend: str, performance: Performance):
    import bpy
    from nephim.demo import scene

    bpy.ops.wm.open_mainfile(filepath=demo_blend)
    count = len(performance.character.head.vertices)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, len(performance.authored.frames))
    for frame in (1, 42, 98, 140, 178):
        bpy.context.scene.frame_set(frame)
        head = _evaluated(scene.HEAD)
        assert len(head) > 2 * count and np.isfinite(head).all()
        assert np.abs(head[:count] - performance.head[frame - 1]).max() < 2e-6
        assert np.abs(_evaluated(scene.LEFT) - performance.hands["L"][frame - 1]).max() < 2e-6
        assert np.abs(_evaluated(scene.RIGHT) - performance.hands["R"][frame - 1]).max() < 2e-6


@pytest.mark.bpy
def test_scene_has_everything_an_animator_expects(demo_blend: str):
    import bpy
    from nephim.demo import scene

    bpy.ops.wm.open_mainfile(filepath=demo_blend)
    assert bpy.context.scene.render.fps == 24 and bpy.context.scene.camera
    for bone in (scene.HEAD_BONE, scene.JAW_BONE):
        armature, name = bone.split(":")
        assert name in bpy.data.objects[armature].pose.bones
    for name in (scene.HEAD, scene.HEAD_COARSE):
        obj = bpy.data.objects[name]
        assert {"jawOpen", "mouthSmileLeft", "eyeBlinkRight"} <= set(obj.data.shape_keys.key_blocks.keys())
        assert obj.data.shape_keys.animation_data.action and obj.modifiers["Armature"].object.name == scene.RIG
        assert obj.data.uv_layers and obj.data.materials[0]
    assert bpy.data.objects[scene.HEAD_COARSE].hide_render
    for name, rig in ((scene.LEFT, scene.LEFT_RIG), (scene.RIGHT, scene.RIGHT_RIG)):
        assert bpy.data.objects[name].modifiers["Armature"].object.name == rig
        assert len(bpy.data.objects[rig].pose.bones) == 20
        assert bpy.data.objects[rig].animation_data.action


@pytest.mark.bpy
def test_rest_surface_of_the_scene_is_clean(demo_assets: Path):
    from nephim.demo import scene

    fine = scene.refine_head(load_character(demo_assets).head)
    assert len(intersecting_pairs(fine.vertices, fine.triangles)) == 0
    assert 8_000 < len(fine.vertices) < 14_000
    assert np.isfinite(fine.uv).all() and fine.uv.min() >= 0 and fine.uv.max() <= 1
    assert fine.weights.min() >= 0 and np.allclose(fine.weights.sum(1), 1)
    edges = np.linalg.norm(fine.vertices[fine.triangles] - fine.vertices[fine.triangles[:, [1, 2, 0]]], axis=2)
    face = fine.vertices[fine.triangles].mean(1)[:, 1] < -0.05
    assert np.median(edges[face]) < 4.5e-3


@pytest.mark.bpy
def test_single_body_moves_like_the_separate_parts(demo_assets: Path, performance: Performance):
    import bpy
    from nephim.demo import scene

    scene.build_demo_scene(demo_assets, single_body=True)
    body = bpy.data.objects[scene.BODY]
    assert scene.HEAD not in bpy.data.objects
    members = {}
    for role, name in scene.GROUPS.items():
        index = body.vertex_groups[name].index
        held = [any(g.group == index and g.weight > 0.5 for g in v.groups) for v in body.data.vertices]
        members[role] = np.flatnonzero(held)
    assert sum(map(len, members.values())) == len(body.data.vertices)
    for frame in (1, 42, 98):
        bpy.context.scene.frame_set(frame)
        vertices = _evaluated(scene.BODY)
        head = performance.head[frame - 1]
        assert np.abs(vertices[members["head"]][: len(head)] - head).max() < 2e-6
        for role, side in (("left", "L"), ("right", "R")):
            assert np.abs(vertices[members[role]] - performance.hands[side][frame - 1]).max() < 2e-6


def _evaluated(name: str) -> np.ndarray:
    import bpy

    obj = bpy.data.objects[name].evaluated_get(bpy.context.evaluated_depsgraph_get())
    positions = np.empty(3 * len(obj.data.vertices), np.float32)
    obj.data.vertices.foreach_get("co", positions)
    world = np.array(obj.matrix_world)
    return positions.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
