# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole template on a head made of formulas: its invariants, its fallbacks and what it says about bad input."""

import dataclasses
import io
import sys

import numpy as np
import pytest
from nephim.choices import THICKNESS
from nephim.errors import SurfaceError, VolumeError
from nephim.progress import drive
from nephim.sim.geometry.solid_angle import winding_number
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.template import CRANIUM, JAW, TISSUE, Template
from nephim.sim.volume import tetrahedra
from nephim.sim.volume.build import VolumeSettings, build_template
from nephim.sim.volume.cutaway import SKIN, cut_volume
from nephim.sim.volume.envelope import embed
from nephim.sim.volume.hints import Hints
from synthetic_head import synthetic_head

SETTINGS = VolumeSettings(target_edge=0.009, skull=THICKNESS)  # coarse, for speed


def build(head, jaw=None, cranium=None, settings=SETTINGS, **more) -> Template:
    return drive(build_template(head, jaw, cranium, settings=settings, **more), io.StringIO())


@pytest.fixture(scope="module")
def head() -> Surface:
    return synthetic_head()


@pytest.fixture(scope="module")
def template(head) -> Template:
    return build(head)


def volumes(t: Template):
    p = t.vertices[t.tets]
    return np.einsum("ij,ij->i", p[:, 1] - p[:, 0], np.cross(p[:, 2] - p[:, 0], p[:, 3] - p[:, 0])) / 6


def test_the_skin_comes_first_and_its_triangles_are_facets(head, template):
    t = template
    assert t.conforming and t.n_head == len(head.vertices)
    assert (t.vertices[: t.n_skin] == t.skin_vertices).all()
    assert t.refinement @ t.head_vertices == pytest.approx(t.skin_vertices, abs=2.5e-4)
    assert t.embedding @ t.vertices == pytest.approx(t.skin_vertices, abs=1e-12)
    faces = np.concatenate([t.tets[:, [1, 2, 3]], t.tets[:, [0, 2, 3]], t.tets[:, [0, 1, 3]], t.tets[:, [0, 1, 2]]])
    known = set(map(tuple, np.sort(faces, axis=1).tolist()))
    assert all(tuple(x) in known for x in np.sort(t.skin_triangles, axis=1).tolist())


def test_every_tetrahedron_has_volume_and_together_they_fill_the_head(template):
    v = volumes(template)
    assert (v > 0).all()
    assert 0.0035 < v.sum() < 0.0055  # a head and neck of 4 to 5 litres
    share = [v[template.tet_region == r].sum() / v.sum() for r in (TISSUE, JAW, CRANIUM)]
    assert share[0] > 0.3 and share[1] > 0.003 and share[2] > 0.2


def test_bone_lies_inside_and_apart(template):
    t = template
    skin = TriangleTree(t.skin_vertices, t.skin_triangles)
    for v in (t.jaw_vertices, t.cranium_vertices):
        assert skin.closest(v)[0].min() > 0.0019
        assert (winding_number(skin, v) > 0.4).all()
    gap = TriangleTree(t.jaw_vertices, t.jaw_triangles).closest(t.cranium_vertices)[0].min()
    assert gap > 0.001
    assert (t.vertex_region[t.tets[t.tet_region == JAW]] == JAW).all()
    assert not (t.vertex_region[: t.n_skin] != TISSUE).any()


def test_skin_quantities(template):
    t = template
    neck = t.skin_vertices[t.rim]
    assert t.rim.any() and neck[:, 2].max() < -0.17
    assert t.outer.mean() > 0.95  # this head has no mouth
    assert np.linalg.norm(t.bone_direction, axis=1) == pytest.approx(1, abs=1e-6)
    top = t.skin_vertices[:, 2] > 0.09
    assert 0.003 < t.tissue_depth[top].mean() < 0.009
    assert {1.0, 3.0, 20.0} <= set(np.unique(t.tet_stiffness)) <= {1.0, 1.5, 3.0, 20.0}


def test_the_same_input_gives_the_same_template(head, template):
    again = build(head)
    assert (again.vertices == template.vertices).all() and (again.tets == template.tets).all()
    assert again.fingerprint == template.fingerprint


def test_groups_repaint_stiffness(head):
    t = build(head, groups={"cartilage": np.ones(len(head.vertices))})
    assert (t.tet_stiffness == 20).all()


def test_it_survives_the_disk(template, tmp_path):
    template.save(tmp_path / "volume.npz")
    back = Template.load(tmp_path / "volume.npz")
    for f in dataclasses.fields(Template):
        a, b = getattr(template, f.name), getattr(back, f.name)
        assert (a != b).nnz == 0 if hasattr(a, "nnz") else np.array_equal(a, b), f.name


def test_the_cut_face_has_the_area_of_the_section(template):
    cut = cut_volume(template, (0, 0, 0.02), (0, 0, 2))
    area = 0.5 * np.cross(
        cut.vertices[cut.triangles[:, 1]] - cut.vertices[cut.triangles[:, 0]],
        cut.vertices[cut.triangles[:, 2]] - cut.vertices[cut.triangles[:, 0]],
    )
    face = cut.colour != SKIN
    expected = np.pi * 0.075 * 0.1 * (1 - 0.02**2 / 0.1**2)
    assert area[face, 2].sum() == pytest.approx(expected, rel=0.1) and (area[face, 2] >= -1e-12).all()
    assert cut.vertices[cut.triangles[face]][:, :, 2] == pytest.approx(0.02, abs=1e-9)
    assert cut.vertices[cut.triangles[~face]][:, :, 2].max() <= 0.02 + 1e-9
    assert {TISSUE, CRANIUM} <= set(cut.colour[face].tolist())


def test_embedding_rows_reproduce_points_even_outside():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], float)
    tets = np.array([[0, 1, 2, 3], [1, 2, 3, 4]])
    points = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5], [-0.1, 0.2, 0.2]])
    rows = embed(points, vertices, tets)
    assert rows @ vertices == pytest.approx(points)
    assert rows[:2].toarray().min() >= -1e-12


def test_skin_that_passes_through_itself_is_embedded(head):
    v = head.vertices.copy()
    chin = (v[:, 1] < -0.085) & (v[:, 2] < -0.1)
    v[chin] += [0, 0.005, 0.08]  # the chin is pushed up into the nose
    t = build(Surface(v, head.triangles, "Head"))
    assert not t.conforming and any("embedded" in n for n in t.notes)
    assert t.embedding @ t.vertices == pytest.approx(t.skin_vertices, abs=1e-9)
    assert (volumes(t) > 0).all()
    assert np.unique(t.tets).size == len(t.vertices)


def test_loose_vertices_and_separate_parts_are_held(head):
    ball = TriangleTree(head.vertices, head.triangles)  # any closed thing will do as an eye
    eye = 0.05 * ball.vertices + [0.02, -0.05, 0.0]
    v = np.concatenate([head.vertices, eye, [[0, 0, 0.5]]])
    t = build(Surface(v, np.concatenate([head.triangles, head.triangles + len(eye)]), "Head"))
    assert t.conforming and t.rim[len(head.vertices) : t.n_head].all() and not t.outer[t.n_head - 1]
    assert t.n_head == len(v) and any("separate parts" in n for n in t.notes)
    assert (t.vertices[: t.n_skin] == t.skin_vertices).all()


def test_own_bones_are_used_and_drawn_inside(head, template):
    own = Surface(template.jaw_vertices * [1.0, 1.0, 1.0], template.jaw_triangles, "Mandible")
    t = build(head, own)
    moved = TriangleTree(own.vertices, own.triangles).closest(t.jaw_vertices)[0]
    assert moved.max() < 0.004 and "Placed by tissue thickness: cranium." in t.notes


def test_a_jaw_outside_the_head_is_refused(head, template):
    outside = Surface(template.jaw_vertices + [0, -0.1, 0], template.jaw_triangles, "Mandible")
    with pytest.raises(VolumeError) as error:
        build(head, outside)
    assert error.value.object == "Mandible" and len(error.value.vertices) and "outside the head" in str(error.value)


def test_unusable_heads_are_refused(head):
    few = Surface(head.vertices[:200], head.triangles[(head.triangles < 200).all(1)], "Head")
    with pytest.raises(VolumeError, match="too coarse"):
        build(few)
    many = Surface(np.zeros((400_000, 3)), np.zeros((800_000, 3), np.int32), "Head")
    with pytest.raises(VolumeError, match=r"400000 vertices.*Decimate"):
        build(many)
    v = head.vertices.copy()
    v[[7, 9], 1] = np.nan
    with pytest.raises(SurfaceError, match="vertices 7, 9") as error:
        build(Surface(v, head.triangles, "Head"))
    assert error.value.vertices == [7, 9]


def test_tetgen_crashing_is_an_error_not_a_crash(head, monkeypatch):
    monkeypatch.setattr(tetrahedra, "python_command", lambda: [sys.executable, "-c", "import os; os.abort()"])
    with pytest.raises(VolumeError, match="TetGen failed") as error:
        build(head)
    assert error.value.object == "Head" and error.value.advice


def test_tetgen_hanging_ends_with_the_time_limit(head, monkeypatch):
    monkeypatch.setattr(tetrahedra, "python_command", lambda: [sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(VolumeError, match="longer than"):
        build(head, settings=dataclasses.replace(SETTINGS, time_limit=0.3))


def test_a_tilted_head_gets_the_same_volume(head, template):
    axis = np.array([0.3, 0.9, 0.2])
    axis /= np.linalg.norm(axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(0.8) * cross + (1 - np.cos(0.8)) * cross @ cross
    tilted = build(Surface(head.vertices @ turn.T, head.triangles, head.name), hints=Hints(upright=turn))
    # Skin is refined anew and bone lies on another grid: equal to a fraction of a millimetre, not vertex by vertex.
    n = template.n_head
    along = np.einsum("ij,ij->i", tilted.bone_direction[:n] @ turn, template.bone_direction[:n])
    assert np.median(along) > 0.99
    assert np.median(np.abs(tilted.tissue_depth[:n] - template.tissue_depth[:n])) < 5e-4
    assert tilted.jaw_vertices.mean(0) == pytest.approx(turn @ template.jaw_vertices.mean(0), abs=5e-3)
