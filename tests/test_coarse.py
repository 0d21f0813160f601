# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh coarser than a fingertip: fitted to the simulated skin, said in the notes; a fine one stays as it is."""

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from nephim.progress import drive
from nephim.sim.coarse import CoarseFit, coarse_vertices, own_edges
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.surface import Surface
from nephim.sim.measure import PenetrationMeter
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import Template
from nephim.sim.volume.build import VolumeSettings, build_template
from scipy.sparse.linalg import lsqr
from synthetic_head import synthetic_head
from volumes import finger, round_head


@cache
def coarse_head() -> tuple[Surface, Template]:
    """A head with edges of 12 mm, whose volume has edges of 5."""
    head = synthetic_head(0.014)
    return head, drive(build_template(head, None, None, settings=VolumeSettings(target_edge=0.005)), io.StringIO())


@cache
def pressed():
    """The coarse head with a finger 5 mm in its cheek: (hand, simulated frame)."""
    head, template = coarse_head()
    towards = np.array([0.8, -0.6, -0.45])
    x = towards / np.linalg.norm(towards)
    centre = np.array([0, -0.03, 0.0])
    outer = template.skin_vertices[template.outer] - centre
    on_way = np.linalg.norm(outer - (outer @ x)[:, None] * x, axis=1) < 0.008
    at = centre + x * (outer @ x)[on_way].max()
    y = np.cross(x, [0, 0, 1.0])
    y /= np.linalg.norm(y)
    tip = finger()
    rest = tip.vertices @ np.stack([x, y, np.cross(x, y)]) + at
    physics = Physics(template, PhysicsSettings.load("default"), left=Surface(rest, tip.triangles, "tip"), right=None)
    for k, depth in enumerate([-0.01, 0.0, 0.002, 0.004, 0.005, 0.005, 0.005]):
        hand = (rest - depth * x).astype(np.float32)
        tracked = TrackedFrame(head.vertices.astype(np.float32), hand, None, np.eye(4), np.eye(4), k, k / 24)
        result = physics.step(tracked)
    return hand.astype(np.float64), result


def deepest(skin, hand):
    head, template = coarse_head()
    found = PenetrationMeter(head.triangles, template.outer[: template.n_head], finger().triangles)
    both = found.measure(np.asarray(skin, np.float64), hand)
    return max(both.skin_depth.max(), both.hand_depth.max())


def test_the_coarse_surface_penetrates_less_than_a_sampled_one():
    hand, result = pressed()
    _, template = coarse_head()
    fit = CoarseFit(template)
    before = deepest(result.tracked[: template.n_head], hand)
    sampled, fitted = (
        deepest(skin, hand) for skin in (result.skin[: template.n_head], fit.head(result.skin, result.tracked))
    )
    assert before > sampled > fitted
    assert fitted < 0.8 * sampled


def test_the_hand_keeps_its_room_between_coarse_vertices():
    hand, result = pressed()
    _, template = coarse_head()
    fit = CoarseFit(template)
    fitted, cleared = (fit.head(result.skin, result.tracked, hands) for hands in ([], [hand.astype(np.float32)]))
    assert deepest(fitted, hand) > 5e-4
    assert deepest(cleared, hand) < 5e-5
    moved = np.linalg.norm(cleared - fitted, axis=1)
    near = np.linalg.norm(fitted[:, None] - hand[None], axis=2).min(1) < 0.02
    assert moved[near].max() > 5e-4 and not moved[~near].any()
    # Corners give way towards bone, and no farther than tissue reaches.
    displacement = np.linalg.norm(cleared - result.tracked[: template.n_head], axis=1)
    assert np.all(displacement[moved > 0] <= 0.9 * template.tissue_depth[: template.n_head][moved > 0] + 1e-6)


def test_a_hand_that_touches_nothing_moves_nothing():
    hand, result = pressed()
    _, template = coarse_head()
    fit = CoarseFit(template)
    away = (hand + [0.0, 0.0, 0.3]).astype(np.float32)
    assert np.array_equal(fit.head(result.skin, result.tracked, [away]), fit.head(result.skin, result.tracked))
    still = template.skin_vertices.astype(np.float32)
    assert np.array_equal(fit.head(still, still, [hand.astype(np.float32)]), still[: template.n_head])


def test_no_position_of_the_coarse_vertices_is_nearer_to_the_simulated_surface():
    """Sampled ones are farther; what is left is what so few vertices cannot follow."""
    _, result = pressed()
    _, template = coarse_head()
    wanted = result.skin.astype(np.float64) - result.tracked
    own = CoarseFit(template).head(result.skin, result.tracked)
    moves = [head.astype(np.float64) - result.tracked[: template.n_head] for head in (result.skin[: len(own)], own)]
    moves.append(np.stack([lsqr(template.linear, column, atol=1e-12, btol=1e-12)[0] for column in wanted.T], axis=1))
    sampled, fitted, least = (np.linalg.norm(template.linear @ move - wanted) for move in moves)
    assert fitted < 1.02 * least < 0.95 * sampled


def test_nothing_moves_at_rest_and_what_a_coarse_mesh_can_follow_is_followed():
    _, template = coarse_head()
    fit = CoarseFit(template)
    still = template.skin_vertices.astype(np.float32)
    assert np.array_equal(fit.head(still, still), still[: template.n_head])
    own = np.random.default_rng(0).normal(scale=0.003, size=(template.n_head, 3))
    moved = (still + template.linear @ own).astype(np.float32)
    assert np.abs(fit.head(moved, still) - still[: template.n_head] - own).max() < 2e-7


def test_a_constant_linear_map():
    _, template = coarse_head()
    fit, rest = CoarseFit(template), np.zeros((template.n_skin, 3), np.float32)
    one, other = (np.random.default_rng(seed).normal(size=rest.shape).astype(np.float32) for seed in (1, 2))
    together = fit.head(2 * one + other, rest)
    assert np.allclose(together, 2 * fit.head(one, rest) + fit.head(other, rest), atol=1e-5)


def test_both_sides_of_a_seam_move_together():
    _, template = coarse_head()
    n, vertex = template.n_head, int(CoarseFit(template).vertices[0])
    # The same head, with one coarse vertex once more that no face of the volume's skin uses.
    triangles = template.skin_triangles.copy()
    triangles[triangles >= n] += 1
    order = np.r_[np.arange(n), vertex, np.arange(n, template.n_skin)]
    from scipy.sparse import csr_matrix

    linear = template.linear[order].tocoo()
    entries = np.where(linear.row == n, n, linear.col)
    split = replace(
        template,
        head_vertices=np.vstack([template.head_vertices, template.head_vertices[vertex]]),
        skin_vertices=template.skin_vertices[order],
        skin_triangles=triangles,
        outer=template.outer[order] & (np.arange(len(order)) != n),
        linear=csr_matrix((linear.data, (linear.row, entries)), shape=(len(order), n + 1)),
    )
    _, result = pressed()
    own = CoarseFit(split).head(result.skin[order], result.tracked[order])
    assert np.array_equal(own[n], own[vertex])
    assert np.allclose(own[:n], CoarseFit(template).head(result.skin, result.tracked), atol=1e-7)


def test_fine_meshes_are_sampled_bit_for_bit():
    fine = round_head(3)
    assert not len(CoarseFit(fine).vertices)
    skin = (fine.skin_vertices + np.random.default_rng(0).normal(scale=1e-3, size=(fine.n_skin, 3))).astype(np.float32)
    assert np.array_equal(CoarseFit(fine).head(skin, fine.skin_vertices.astype(np.float32)), skin)
    head = synthetic_head(0.007)
    template = drive(build_template(head, None, None, settings=VolumeSettings(target_edge=0.005)), io.StringIO())
    assert template.n_skin > template.n_head and not len(coarse_vertices(template)[0])
    assert not any("too coarse" in note for note in template.notes)


def test_edge_lengths_and_note():
    head, template = coarse_head()
    own, fine = own_edges(template)
    coarse, longest = coarse_vertices(template)
    edges = np.unique(np.sort(head.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    length = np.linalg.norm(head.vertices[edges[:, 0]] - head.vertices[edges[:, 1]], axis=1)
    vertex = int(coarse[own[coarse].argmax()])
    assert own[vertex] == pytest.approx(length[(edges == vertex).any(axis=1)].mean())
    assert longest == own[vertex] > 1.5 * fine[vertex]
    said = f"too coarse for a fingertip at {len(coarse)} vertices, with edges of up to {1000 * longest:.0f} mm"
    assert any(said in note for note in template.notes)


def test_an_older_volume_is_read_and_sampled(tmp_path):
    _, template = coarse_head()
    template.save(tmp_path / "new.npz")
    assert (Template.load(tmp_path / "new.npz").linear != template.linear).nnz == 0
    replace(template, linear=None).save(tmp_path / "old.npz")
    old = Template.load(tmp_path / "old.npz")
    assert old.linear is None and not len(CoarseFit(old).vertices)
