# SPDX-License-Identifier: GPL-3.0-or-later
"""Bone never pierces skin and never touches other bone, whoever's head it is; what is no real head is found out."""

from pathlib import Path

import numpy as np
import pytest
from nephim.motions.identities import IDENTITIES, load_identity
from nephim.progress import drive
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.volume import build
from nephim.sim.volume.parting import parted, touching
from nephim.sim.volume.registered_skull import kept_inside
from nephim.sim.volume.skull import MIN_TISSUE
from nephim.sim.volume.template_head import load_template_head
from volumes import icosphere

TEMPLATE = load_template_head()
UP = np.array([0.0, 0, 1])


class _Placed(Exception):
    pass


def placed(head, monkeypatch):
    """The closed skin and which triangles are visible, the volume's bones, the whole ones, and the notes."""
    found = []
    place = build._bones

    def stop(closed, surface, skin, landmarks, jaw, cranium, chosen, notes):
        outer = np.zeros(len(closed), bool)
        outer[: len(skin.outer)] = skin.outer
        found.append((closed, surface, outer[surface].all(axis=1)))
        found.append(place(closed, surface, skin, landmarks, jaw, cranium, chosen, notes))
        raise _Placed

    monkeypatch.setattr(build, "_bones", stop)
    with pytest.raises(_Placed):
        drive(build.build_template(head, None, None, settings=build.VolumeSettings(target_edge=0.02)))
    (closed, surface, visible), (skull, whole, _) = found
    return closed, surface, visible, skull, whole


def check(head, monkeypatch):
    closed, surface, visible, skull, whole = placed(head, monkeypatch)
    assert whole is not None
    assert touching([(closed, surface), *skull.bones]) == 0
    assert touching([(closed, surface[visible]), *whole.bones]) == 0
    skin = TriangleTree(closed, surface[visible])
    for vertices, triangles in whole.bones:
        assert len(triangles)
        assert skin.closest(vertices)[0].min() > 0.9 * MIN_TISSUE


@pytest.mark.parametrize("name", IDENTITIES)
def test_of_people(name, demo_assets: Path, monkeypatch):
    head = load_identity(demo_assets.parent, name).head
    triangles = np.concatenate([head.quads[:, :3], head.quads[:, [0, 2, 3]]]).astype(np.int32)
    check(Surface(np.asarray(head.vertices, float), triangles, name), monkeypatch)


@pytest.mark.bpy
@pytest.mark.parametrize("name", ["closed_mouth", "ngons", "collapsed", "tilted"])
def test_of_what_people_own(name, demo_assets: Path, monkeypatch):
    pytest.importorskip("bpy")
    from nephim.benchmarks.characters import ROWS
    from nephim.benchmarks.person import make_person

    row = next(row for row in ROWS if row.name == name)
    head = row.person(make_person(load_identity(demo_assets.parent, row.identity))).head
    check(Surface(head.vertices, head.triangles(), name), monkeypatch)


def test_the_template_itself_is_in_order():
    bones = [(TEMPLATE.jaw_vertices, TEMPLATE.jaw_triangles), (TEMPLATE.cranium_vertices, TEMPLATE.cranium_triangles)]
    assert touching([(TEMPLATE.skin_vertices, TEMPLATE.skin_triangles), *bones]) == 0
    assert all(np.array_equal(a, b) for a, (b, _) in zip(parted(bones, (0, 1, 0)), bones, strict=True))


def test_bones_that_bite_into_each_other_are_parted():
    ball, triangles = icosphere(0.03, 3)
    bones = [(ball + [0, 0, -0.055], triangles), (ball, triangles)]
    assert touching(bones) > 0
    jaw, cranium = parted(bones, UP)
    assert touching([(jaw, triangles), (cranium, triangles)]) == 0
    assert jaw[:, 2].max() < cranium[:, 2].min()
    assert np.array_equal(jaw[ball[:, 2] < 0], bones[0][0][ball[:, 2] < 0])  # the chin stays
    jaw, cranium = parted(bones, UP, fixed=(True, False))
    assert np.array_equal(jaw, bones[0][0]) and touching([(jaw, triangles), (cranium, triangles)]) == 0


def test_an_own_bone_stays_and_the_other_one_keeps_off():
    skin = TriangleTree(*icosphere(0.1, 4))
    ball, triangles = icosphere(0.03, 3)
    own, other = Surface(ball + [0, 0, -0.055], triangles, "Mine"), Surface(ball, triangles, "cranium")
    skull, doubt = kept_inside(own, other, skin, UP, (True, False))
    assert doubt == "" and touching(skull.bones) == 0
    assert np.array_equal(skull.jaw_vertices, own.vertices)


def test_a_skull_that_would_stick_out_is_doubted():
    skin = TriangleTree(*icosphere(0.05, 4))
    ball, triangles = icosphere(0.03, 3)
    inner, outer = Surface(ball - [0, 0, 0.01], triangles), Surface(ball + [0, 0, 0.04], triangles)
    said = kept_inside(inner, outer, skin, UP, (False, False))[1]
    assert "of the cranium would lie outside the skin" in said
