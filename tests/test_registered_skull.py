# SPDX-License-Identifier: GPL-3.0-or-later
"""A real skull registered to a head: known deformations are found, on any mesh, in any place, with parts missing."""

import hashlib
from functools import cache

import numpy as np
from nephim.choices import REGISTERED, THICKNESS
from nephim.progress import drive
from nephim.sim.geometry.refine import refine
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.geometry.warp import folded
from nephim.sim.template import JAW, TISSUE
from nephim.sim.volume.build import VolumeSettings, build_template, fingerprint
from nephim.sim.volume.cutaway import cut_volume
from nephim.sim.volume.landmarks import find_landmarks
from nephim.sim.volume.registered_skull import register_skull, settled, surplus
from nephim.sim.volume.registration import similarity, transformed
from nephim.sim.volume.template_head import load_template_head
from synthetic_head import synthetic_head
from volumes import icosphere

TEMPLATE = load_template_head()
UP, FRONT = np.array([0.0, 1, 0]), np.array([0.0, 0, 1])


def deformed(points):
    """Another person: broader, longer in the face, a receding chin, the nose to one side."""
    x, y, z = points.T
    chin = np.clip(-y / 0.1, 0, 1) ** 2 * np.clip(z / 0.1, 0, 1)
    return np.column_stack([1.08 * x + 0.03 * x * y / 0.1, 1.05 * y - 0.004 * chin, 0.97 * z - 0.006 * chin])


@cache
def other_head():
    """The deformed template's skin on another mesh."""
    fine = refine(TEMPLATE.skin_vertices, TEMPLATE.skin_triangles, np.full(len(TEMPLATE.skin_vertices), 0.006))
    return deformed(fine.matrix @ TEMPLATE.skin_vertices), fine.triangles


def distances(found, truth):
    """Mean distance of the jaw and of the cranium from where they should be [m]."""
    return [
        np.linalg.norm(surface.vertices - truth(vertices), axis=1).mean()
        for surface, vertices in ((found.jaw, TEMPLATE.jaw_vertices), (found.cranium, TEMPLATE.cranium_vertices))
    ]


def registered(vertices, triangles, up=UP, front=FRONT, **options):
    return register_skull(vertices, triangles, find_landmarks(vertices, triangles, up, front), **options)


def test_a_known_deformation_is_found_on_another_mesh():
    vertices, triangles = other_head()
    found = registered(vertices, triangles)
    assert found.error < 0.0005 and found.matched > 0.9 and found.stretch < 1.5
    assert max(distances(found, deformed)) < 0.0025
    tip = TEMPLATE.landmark_names.index("pronasale")
    assert np.linalg.norm(found.landmarks["pronasale"] - deformed(TEMPLATE.landmarks)[tip]) < 0.003
    assert np.linalg.norm(found.upper_teeth - deformed(TEMPLATE.upper_teeth), axis=1).max() < 0.004


def test_heads_may_stand_anywhere_in_any_size():
    vertices, triangles = other_head()
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))

    def away(points):
        return 1.4 * points @ turn.T + [3.0, -2.0, 1.0]

    # The usual depth of tissue does not grow with the head, so it is left alone here.
    found = registered(away(vertices), triangles, turn @ UP, turn @ FRONT, tolerated=np.inf)
    assert max(distances(found, lambda points: away(deformed(points)))) < 1.4 * 0.0025


def test_a_head_without_its_lower_face_gets_its_cranium():
    vertices, triangles = other_head()
    cut = deformed(TEMPLATE.landmarks)[TEMPLATE.landmark_names.index("subnasale"), 1]
    found = registered(vertices, triangles[vertices[triangles, 1].min(axis=1) > cut])
    truth = deformed(TEMPLATE.cranium_vertices)
    under_skin = truth[:, 1] > cut + 0.01
    tree = TriangleTree(found.cranium.vertices, found.cranium.triangles)
    assert tree.closest(truth[under_skin])[0].mean() < 0.0025


def test_what_is_no_head_is_refused():
    ball, triangles = icosphere(0.1, 4)
    assert registered(ball, triangles).doubt


def test_a_cartoon_is_refused():
    vertices, triangles = other_head()
    above = 1 / (1 + np.exp(-vertices[:, 1:2] / 0.02))
    cartoon = vertices * (1 + 0.6 * above)  # a large brain case over a small face
    cartoon[:, :2] *= np.where(vertices[:, 1:2] < 0, [0.75, 0.5], 1.0)
    assert "the proportions of its bones would change" in registered(cartoon, triangles).doubt


def test_bone_moves_only_where_depth_is_unusual():
    ball, triangles = icosphere(0.08, 3)
    small, small_triangles = icosphere(0.01, 2)
    bones = [(small + [0, -0.2, 0], small_triangles), (ball, triangles)]
    places = 0.09 * icosphere(1.0, 1)[0]
    jaw = np.zeros(len(places), bool)
    usual = np.full(len(places), 0.009)
    assert np.array_equal(settled(bones, places, usual, jaw)[1], ball)
    moved = settled(bones, places, np.full(len(places), 0.006), jaw, stiffness=1e-4, tolerated=0.0)[1]
    depth = TriangleTree(moved, triangles).closest(places)[0]
    assert np.abs(depth - 0.006).max() < 0.0005
    at, move = surplus(bones, places, np.full(len(places), 0.006), jaw)
    np.testing.assert_allclose(np.linalg.norm(move, axis=1), 0.004, atol=3e-4)
    assert ((move * at).sum(axis=1) > 0).all()  # outwards


def test_a_similarity_is_recovered():
    rng = np.random.default_rng(1)
    points, turn = rng.normal(size=(20, 3)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    matrix = np.column_stack([0.7 * turn, [1.0, 2, 3]])
    np.testing.assert_allclose(similarity(points, transformed(matrix, points), np.ones(20)), matrix, atol=1e-12)


def test_a_volume_with_a_registered_skull():
    head = synthetic_head()
    settings = VolumeSettings(target_edge=0.012, skull=REGISTERED)
    template = drive(build_template(head, None, None, settings=settings))
    assert any("Registered a real skull" in note for note in template.notes)
    assert not any("tissue thickness" in note for note in template.notes)
    assert not len(folded(template.vertices, template.tets))
    skin = TriangleTree(template.skin_vertices, template.skin_triangles[template.outer[template.skin_triangles].all(1)])
    for bone in (template.jaw_vertices, template.cranium_vertices):
        assert len(bone) and skin.closest(bone)[0].min() > 0.0015
    cut = cut_volume(template, template.jaw_vertices.mean(0), (0, 0, 1))
    assert np.isfinite(cut.vertices).all() and {JAW, TISSUE} <= set(cut.colour.tolist())
    # Cheekbones: the cranium is broader beside the orbits' lower rims than at the upper teeth.
    assert np.ptp(template.cranium_vertices[:, 0]) > 0.1


def test_an_own_jaw_stays_and_a_head_that_does_not_fit_says_so():
    ball, triangles = icosphere(0.09, 4)
    head = type(synthetic_head())(ball, triangles, "Ball")
    jaw = type(head)(icosphere(0.02, 2)[0] + [0, -0.03, -0.03], icosphere(0.02, 2)[1], "Own jaw")
    template = drive(build_template(head, jaw, None, settings=VolumeSettings(target_edge=0.02, skull=REGISTERED)))
    said = " ".join(template.notes)
    assert "No real skull was used, because" in said and "Placed by tissue thickness: cranium." in said
    assert np.linalg.norm(template.jaw_vertices.mean(0) - [0, -0.03, -0.03]) < 0.004


def test_volumes_built_before_there_was_a_choice_stay_valid():
    before = hashlib.sha256(repr((0.004, 120.0)).encode() + b"none").hexdigest()
    assert fingerprint([None], VolumeSettings(skull=THICKNESS)) == before
    assert fingerprint([None], VolumeSettings()) != before
