# SPDX-License-Identifier: GPL-3.0-or-later
"""Subdivide Coarse Skin: finer where the mesh is coarse, with weights and shape keys interpolated; undo; refusals."""

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
import scenes  # noqa: E402
from nephim.bridge.subdivide import subdivide_region  # noqa: E402
from nephim.errors import RigError  # noqa: E402
from nephim.operators import subdivide  # noqa: E402
from nephim.sim.volume import look  # noqa: E402

pytestmark = pytest.mark.bpy
REGION = np.arange(100, 160)


def weights(obj, group):
    number = obj.vertex_groups[group].index
    return np.array([sum(g.weight for g in v.groups if g.group == number) for v in obj.data.vertices])


def key(obj, name):
    return np.array([point.co for point in obj.data.shape_keys.key_blocks[name].points])


def test_weights_and_shape_keys_are_interpolated_and_the_rest_stays():
    scene = scenes.build()
    head = scene.nephim.head
    before = {"position": np.array([v.co for v in head.data.vertices])}
    before |= {name: key(head, name) for name in ("smile", "open")}
    before |= {group: weights(head, group) for group in ("neck", "head", "jaw")}
    ends = {tuple(sorted(edge.vertices)) for edge in head.data.edges}
    animation = head.data.shape_keys.animation_data.action
    count = len(head.data.vertices)
    added = subdivide_region(head, REGION)
    assert added > 100 and len(head.data.vertices) == count + added
    now = {"position": np.array([v.co for v in head.data.vertices])}
    now |= {name: key(head, name) for name in ("smile", "open")}
    now |= {group: weights(head, group) for group in ("neck", "head", "jaw")}
    halves = 0
    middles = {tuple(np.round(before["position"][list(pair)].mean(axis=0), 5)): list(pair) for pair in ends}
    for name, values in now.items():
        assert np.allclose(values[:count], before[name], atol=1e-6), name
        for vertex in range(count, count + added):
            pair = middles.get(tuple(np.round(now["position"][vertex], 5)))
            if pair is not None:
                halves += 1
                assert np.allclose(values[vertex], before[name][pair].mean(axis=0), atol=1e-5), name
    assert halves > 6 * 50
    assert head.data.shape_keys.animation_data.action == animation


def linked(obj):
    obj.data = obj.data
    bpy.data.objects.new("Twin", obj.data)


REFUSED = {
    "shared": (linked, r"'Head'.*shared by several objects.*single user"),
    "baked": (lambda obj: obj.shape_key_add(name="NePHIM 001"), r"bake belongs.*Remove Bake"),
    "multires": (lambda obj: obj.modifiers.new("M", "MULTIRES"), r"'M' belongs to its present vertices.*remove"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    head = scenes.build().nephim.head
    change, message = REFUSED[case]
    change(head)
    count = len(head.data.vertices)
    with pytest.raises(RigError, match=message):
        subdivide_region(head, REGION)
    assert len(head.data.vertices) == count


def test_linked_mesh(tmp_path):
    scenes.build()
    library = str(tmp_path / "head.blend")
    bpy.data.libraries.write(library, {bpy.data.objects["Head"]})
    scenes.fresh()
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.objects = ["Head"]
    with pytest.raises(RigError, match=r"linked from another file.*Open the file"):
        subdivide_region(wanted.objects[0], REGION)


def test_operator_with_undo(registered, monkeypatch):
    scene = scenes.build(segments=32, rings=24)
    monkeypatch.setattr(look, "coarse_vertices", lambda refined: (np.zeros(0, np.int64), 0.0))
    with pytest.raises(RigError, match="fine enough"):
        subdivide.subdivide_coarse(scene)
    monkeypatch.setattr(look, "coarse_vertices", lambda refined: (REGION, 0.02))
    count = len(scene.nephim.head.data.vertices)
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.nephim.subdivide_region() == {"FINISHED"}
    assert len(bpy.context.scene.nephim.head.data.vertices) > count
    bpy.ops.ed.undo_push(message="after")
    bpy.ops.ed.undo()
    assert len(bpy.context.scene.nephim.head.data.vertices) == count
