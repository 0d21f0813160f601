# SPDX-License-Identifier: GPL-3.0-or-later
"""Modifiers that change the vertices: read past after the rig, refused before it, seen in bake and preview."""

import io
import re

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
import scenes  # noqa: E402
from nephim.bridge import display  # noqa: E402
from nephim.bridge.bake.mesh_cache import add_mesh_cache  # noqa: E402
from nephim.bridge.bake.shape_keys import bake_shape_keys  # noqa: E402
from nephim.bridge.bake.shown import obstacles  # noqa: E402
from nephim.bridge.copied_modifiers import copy_modifier  # noqa: E402
from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.bridge.surfaces import SurfaceReader, view_layer_of  # noqa: E402
from nephim.compat import NODE_INPUTS_ARE_PROPERTIES, node_inputs, set_node_inputs  # noqa: E402
from nephim.errors import RigError, SurfaceError  # noqa: E402
from nephim.progress import drive  # noqa: E402

pytestmark = pytest.mark.bpy
BOTTOM = 24  # vertices of the lowest ring, which the masks of these tests hide


def group(obj, name="shown"):
    """All vertices but the lowest ring's."""
    obj.vertex_groups.new(name=name).add(list(range(BOTTOM, len(obj.data.vertices))), 1.0, "REPLACE")


def outline_nodes():
    """Geometry nodes that join a second, larger copy of the mesh to it: an outline."""
    tree = bpy.data.node_groups.new("Outline", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    size = tree.interface.new_socket("Size", in_out="INPUT", socket_type="NodeSocketFloat")
    start, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    larger, join = tree.nodes.new("GeometryNodeTransform"), tree.nodes.new("GeometryNodeJoinGeometry")
    tree.links.new(start.outputs[0], larger.inputs[0])
    tree.links.new(start.outputs[size.identifier], larger.inputs["Scale"])
    tree.links.new(start.outputs[0], join.inputs[0])
    tree.links.new(larger.outputs[0], join.inputs[0])
    tree.links.new(join.outputs[0], end.inputs[0])
    return tree, size.identifier


def moving_nodes():
    """Geometry nodes that lift the whole mesh by 1 cm: part of what is tracked."""
    tree = bpy.data.node_groups.new("Lift", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    start, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    lift = tree.nodes.new("GeometryNodeSetPosition")
    lift.inputs["Offset"].default_value = (0, 0, 0.01)
    tree.links.new(start.outputs[0], lift.inputs[0])
    tree.links.new(lift.outputs[0], end.inputs[0])
    return tree


def mask(obj):
    group(obj)
    obj.modifiers.new("Changing", "MASK").vertex_group = "shown"


def nodes(obj):
    modifier = obj.modifiers.new("Changing", "NODES")
    tree, size = outline_nodes()
    modifier.node_group = tree
    set_node_inputs(modifier, {size: 1.02 if NODE_INPUTS_ARE_PROPERTIES else {"value": 1.02}})


def multires(obj):
    obj.modifiers.new("Changing", "MULTIRES")
    with bpy.context.temp_override(object=obj, active_object=obj):
        bpy.ops.object.multires_subdivide(modifier="Changing")


def plain(kind, **values):
    def add(obj):
        modifier = obj.modifiers.new("Changing", kind)
        for name, value in values.items():
            setattr(modifier, name, value)

    return add


KINDS = {
    "mask": mask,
    "solidify": plain("SOLIDIFY", thickness=0.004),
    "outline nodes": nodes,
    "bevel": plain("BEVEL", width=0.001),
    "weld": plain("WELD", merge_threshold=0.004),
    "mirror": plain("MIRROR", use_axis=(False, True, False)),
    "decimate": plain("DECIMATE", ratio=0.5),
    "remesh": plain("REMESH", mode="BLOCKS", octree_depth=5),
    "multires": multires,
    "subdivision": plain("SUBSURF", levels=1),
    "edge split": plain("EDGE_SPLIT", split_angle=0.01),
    "wireframe": plain("WIREFRAME"),
}


def with_kind(kind, **variant):
    scene = scenes.build(right=False, **variant)
    KINDS[kind](scene.nephim.head)
    return scene


@pytest.mark.parametrize("kind", KINDS)
def test_read_past_and_the_scene_is_as_it_was(kind):
    plain_scene = scenes.build(right=False)
    expected = SurfaceReader(plain_scene, read_rig(plain_scene)).read(6)
    scene = with_kind(kind)
    before = scenes.evaluated(scene.nephim.head, 6)
    rig = read_rig(scene)
    tracked = SurfaceReader(scene, rig).read(6)
    assert np.array_equal(tracked.head, expected.head[rig.head.indices])
    assert np.array_equal(scenes.evaluated(scene.nephim.head, 6), before)
    SurfaceReader(scene, rig).neutral()


@pytest.mark.parametrize("kind", KINDS)
def test_point_cache_shows_what_the_modifier_makes_of_the_result(kind, tmp_path):
    """The evaluated mesh with the cache equals the one whose vertices were put there by hand."""
    scene = with_kind(kind)
    head = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    before = scenes.evaluated(head, 5)
    add_mesh_cache(scene, rig, cache)
    assert [m.name for m in head.modifiers] == ["Armature", "NePHIM", "Changing"]
    assert not obstacles(head)
    shown = scenes.evaluated(head, 5)
    assert len(shown) != len(cache.read(5)) or kind == "weld"
    if shown.shape == before.shape:
        assert np.abs(shown - before).max() > 5e-3
    # The same without rig and cache: a copy of the mesh with the simulated positions, and the modifier.
    copy = head.copy()
    copy.data = head.data.copy()
    scene.collection.objects.link(copy)
    copy.shape_key_clear()
    copy.modifiers.remove(copy.modifiers["Armature"])
    copy.modifiers.remove(copy.modifiers["NePHIM"])
    copy.data.vertices.foreach_set("co", cache.read(5).ravel())
    assert np.allclose(scenes.evaluated(copy, 5), shown, atol=2e-5)


@pytest.mark.parametrize("kind", ["mask", "solidify", "outline nodes", "mirror"])
def test_shape_keys_show_what_the_modifier_makes_of_the_result(kind, tmp_path):
    scene = with_kind(kind)
    head = scene.nephim.head
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    before = scenes.evaluated(head, 5)
    result = drive(bake_shape_keys(scene, rig, cache), io.StringIO())
    assert result.error_max_mm <= 0.1 and not result.notes
    assert np.abs(scenes.evaluated(head, 5) - before).max() > 5e-3
    head.modifiers["Changing"].show_viewport = False
    assert np.abs(scenes.evaluated(head, 5) - cache.read(5)).max() < 1.1e-4


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "weld"])
def test_preview_shows_the_scene_as_it_is(kind):
    scene = with_kind(kind)
    head = scene.nephim.head
    settings = {name: getattr(head.modifiers["Changing"], name) for name in ("show_viewport", "show_render")}
    expected = scenes.evaluated(head, 1)
    tracked = SurfaceReader(scene, read_rig(scene)).read(1)
    assert len(tracked.head) == len(read_rig(scene).head.indices)
    seen = display.show(scene, view_layer_of(scene), [head, scene.nephim.left])
    display.write(seen, scenes.evaluated(head, 1), None)
    assert scenes.evaluated(seen, 1).shape == expected.shape
    assert np.allclose(scenes.evaluated(seen, 1), expected, atol=2e-5)
    display.hide(scene)
    assert settings == {name: getattr(head.modifiers["Changing"], name) for name in settings}
    assert np.array_equal(scenes.evaluated(head, 1), expected)


def test_masked_vertices_are_no_part_of_head_and_hands():
    scene = with_kind("mask")
    head, left = scene.nephim.head, scene.nephim.left
    group(left)
    left.modifiers.new("Hide", "MASK").vertex_group = "shown"
    rig = read_rig(scene)
    assert rig.head.indices.min() == BOTTOM and rig.head.n_vertices == len(head.data.vertices)
    assert rig.left.indices.min() == BOTTOM and rig.left.n_vertices == len(left.data.vertices)
    head.modifiers["Changing"].invert_vertex_group = True
    with pytest.raises(RigError, match=r"'Head': Its masks \('Changing'\) hide all faces of the head.*switch"):
        read_rig(scene)
    head.modifiers["Changing"].show_viewport = False
    assert read_rig(scene).head.indices.min() == 0


def test_masked_vertices_stay_where_they_are_animated(tmp_path):
    scene = with_kind("mask")
    _, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    scene.nephim.head.modifiers["Changing"].show_viewport = False
    assert np.array_equal(scenes.evaluated(scene.nephim.head, 5)[:BOTTOM], cache.read(5)[:BOTTOM])


def test_nodes_that_only_move_vertices_are_part_of_what_is_tracked(tmp_path):
    scene = scenes.build(right=False)
    still = SurfaceReader(scene, read_rig(scene)).read(6).head
    scene.nephim.head.modifiers.new("Lift", "NODES").node_group = moving_nodes()
    lifted = SurfaceReader(scene, read_rig(scene)).read(6).head
    assert np.abs(lifted - still - [0, 0, 0.01]).max() < 1e-6
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    add_mesh_cache(scene, rig, cache)
    assert [m.name for m in scene.nephim.head.modifiers] == ["Armature", "Lift", "NePHIM"]
    assert np.abs(scenes.evaluated(scene.nephim.head, 5) - cache.read(5)).max() < 1e-6


def test_only_in_renders(tmp_path):
    scene = with_kind("subdivision")
    head = scene.nephim.head
    head.modifiers["Changing"].show_viewport = False
    head.modifiers.new("Smooth", "SMOOTH")
    rig, cache = scenes.simulate(scene, tmp_path / "simulation.pc2")
    add_mesh_cache(scene, rig, cache)
    assert [m.name for m in head.modifiers] == ["Armature", "NePHIM", "Changing", "Smooth"]


def first(scene):
    scene.nephim.head.modifiers.move(1, 0)


def keyed_visibility(scene):
    scene.nephim.head.modifiers["Changing"].keyframe_insert("show_viewport", frame=3)


REFUSED = {
    "mask first": ("mask", first, r"'Head': .*'Armature' \(Armature\) comes after 'Changing' \(Mask\).*Move .*below"),
    "solidify first": ("solidify", first, r"after 'Changing' \(Solidify\).*Move 'Changing' below 'Armature'"),
    "nodes first": ("outline nodes", first, r"after 'Changing' \(Geometry Nodes\).*Move 'Changing' below 'Armature'"),
    "mirror first": ("mirror", first, r"'Head': .*after 'Changing' \(Mirror\).*move it below 'Armature'"),
    "switched": (
        "mask",
        keyed_visibility,
        r"'Head': the visibility of its modifier 'Changing' \(Mask\) is animated.*Clear",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_the_check(case):
    kind, change, message = REFUSED[case]
    scene = with_kind(kind)
    change(scene)
    with pytest.raises(RigError, match=re.compile(message, re.S)):
        read_rig(scene)


def test_mirror_first_without_shape_keys():
    scene = with_kind("mirror", keys=False)
    first(scene)
    with pytest.raises(RigError, match=r"Apply 'Changing' \(in the menu of the modifier\)"):
        read_rig(scene)


def sorted_nodes():
    """Geometry nodes that keep the number of vertices and turn their order round."""
    tree = bpy.data.node_groups.new("Sort", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    start, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    turn, index = tree.nodes.new("GeometryNodeSortElements"), tree.nodes.new("GeometryNodeInputIndex")
    minus = tree.nodes.new("ShaderNodeMath")
    minus.operation = "SUBTRACT"
    minus.inputs[0].default_value = 0.0
    tree.links.new(index.outputs[0], minus.inputs[1])
    tree.links.new(minus.outputs[0], turn.inputs["Sort Weight"])
    tree.links.new(start.outputs[0], turn.inputs[0])
    tree.links.new(turn.outputs[0], end.inputs[0])
    return tree


def test_another_order_after_the_rig_is_read_past():
    scene = scenes.build(right=False)
    expected = SurfaceReader(scene, read_rig(scene)).read(6).head
    scene.nephim.head.modifiers.new("Sort", "NODES").node_group = sorted_nodes()
    assert np.array_equal(SurfaceReader(scene, read_rig(scene)).read(6).head, expected)


def test_another_order_from_a_file_is_refused_in_the_check(tmp_path):
    """An Alembic file of another mesh with as many vertices."""
    if "alembic_export" not in dir(bpy.ops.wm):
        pytest.skip("this Blender is built without Alembic and USD")
    scene = scenes.build(right=False)
    head = scene.nephim.head
    turned = head.data.copy()
    order = np.random.default_rng(0).permutation(len(turned.vertices))
    other = scenes.mesh_object(
        scene, "Other", np.array([v.co for v in turned.vertices])[order],
        [[int(np.flatnonzero(order == v)[0]) for v in polygon.vertices] for polygon in turned.polygons],
    )  # fmt: skip
    for obj in scene.objects:
        obj.select_set(obj is other)
    path = str(tmp_path / "other.abc")
    bpy.ops.wm.alembic_export(filepath=path, selected=True, start=1, end=2, as_background_job=False)
    bpy.ops.cachefile.open(filepath=path)
    modifier = head.modifiers.new("Cache", "MESH_SEQUENCE_CACHE")
    modifier.cache_file = bpy.data.cache_files[0]
    modifier.object_path = "/Other/Other"
    with pytest.raises(SurfaceError, match=r"'Head'.*another order.*Mesh Sequence Cache"):
        SurfaceReader(scene, read_rig(scene)).check_vertices()


def test_a_copied_outline_keeps_its_nodes_inputs():
    scene = with_kind("outline nodes")
    obj = scene.nephim.head
    other = bpy.data.objects.new("Other", obj.data.copy())
    copy = copy_modifier(obj.modifiers["Changing"], other)
    assert node_inputs(copy) == node_inputs(obj.modifiers["Changing"])
    assert node_inputs(copy)
