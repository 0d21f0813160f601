# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures on shapes whose answers are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nephim.sim import measure
from nephim.sim.geometry.winding import inside_by_crossings, winding_numbers


def icosphere(radius, centre=(0.0, 0.0, 0.0), levels=3):
    """A sphere of triangles, outward winding, vertices exactly on the sphere."""
    g = (1 + 5**0.5) / 2
    v = np.array([[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g], [0, -1, -g], [0, 1, -g],
                  [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]])  # fmt: skip
    t = np.array([[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2],
                  [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11],
                  [6, 2, 10], [8, 6, 7], [9, 8, 1]])  # fmt: skip
    for _ in range(levels):
        edges = np.sort(np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]]), axis=1)
        unique, where = np.unique(edges, axis=0, return_inverse=True)
        a, b, c = where.reshape(3, -1) + len(v)
        v = np.concatenate([v, v[unique].mean(axis=1)])
        t = np.concatenate([np.column_stack(x) for x in
                            ((t[:, 0], a, c), (t[:, 1], b, a), (t[:, 2], c, b), (a, b, c))])  # fmt: skip
    v = v / np.linalg.norm(v, axis=1, keepdims=True)
    return v * radius + np.asarray(centre), t.astype(np.int32)


def box(low, high):
    """A closed box of 12 triangles, outward winding."""
    v = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    t = np.array([tri for a, b, c, d in quads for tri in ((a, b, c), (a, c, d))], np.int32)
    return np.asarray(low) + v * (np.asarray(high, float) - low), t


def all_outer(vertices):
    return np.ones(len(vertices), bool)


def test_winding_counts_overlap():
    a, t = icosphere(0.1)
    b = a + [0.1, 0, 0]
    both, triangles = np.concatenate([a, b]), np.concatenate([t, t + len(a)])
    points = np.array([[-0.05, 0.001, 0.002], [0.05, 0.001, 0.002], [0.3, 0, 0], [0.15, 0.003, 0.001]])
    assert winding_numbers(points, both, triangles).tolist() == [1, 2, 0, 1]


def test_rays_through_edges_and_vertices_count_once():
    """Every point shares its y and z with grid vertices of the box faces' diagonals."""
    v, t = box([0, 0, 0], [1, 1, 1])
    points = np.array([[0.5, y, y] for y in (0.0, 0.25, 0.5, 0.75)] + [[-1.0, 0.5, 0.5], [2.0, 0.5, 0.5]])
    assert winding_numbers(points, v, t).tolist() == [1, 1, 1, 1, 0, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.02, 0.2))
def test_inside_sphere_agrees_with_radius(seed, radius):
    v, t = icosphere(radius, levels=2)
    points = np.random.default_rng(seed).uniform(-1.2 * radius, 1.2 * radius, (200, 3))
    distance = np.linalg.norm(points, axis=1)
    # Between the inscribed and the circumscribed sphere the polyhedron decides.
    clear = (distance < 0.95 * radius) | (distance > radius)
    assert np.array_equal(inside_by_crossings(points, v, t)[clear], (distance < radius)[clear])


def test_sphere_in_sphere_depths():
    skin, t = icosphere(0.10, levels=4)
    hand, ht = icosphere(0.02, centre=(0.11, 0, 0), levels=4)
    found = measure.penetration(skin, t, all_outer(skin), hand, ht)
    expected = np.maximum(0, 0.02 - np.linalg.norm(skin - [0.11, 0, 0], axis=1))
    assert np.abs(found.skin_depth - expected).max() < 1e-4
    expected = np.maximum(0, 0.10 - np.linalg.norm(hand, axis=1))
    assert np.abs(found.hand_depth - expected).max() < 2e-4
    assert found.hand_depth.max() == pytest.approx(0.01, abs=2e-4)
    assert np.array_equal(found.hand_triangle >= 0, found.hand_depth > 0)
    assert found.gap == 0.0


def test_capsule_through_a_plate_is_seen_between_the_vertices():
    """A plate without vertices near the finger: only the hand's side of the measure sees it."""
    plate, t = box([-0.1, -0.1, -0.004], [0.1, 0.1, 0.0])
    finger, ft = icosphere(0.008, levels=3)
    finger = finger * [1, 1, 3] + [0.01, 0.02, 0.0]  # 48 mm long, right through
    found = measure.penetration(plate, t, all_outer(plate), finger, ft)
    assert found.skin_depth.max() == 0.0
    # Within a plate of 4 mm nothing is deeper than half of it.
    assert 1e-3 < found.hand_depth.max() <= 2e-3 + 1e-9


def test_pockets_are_not_inside_and_inner_skin_does_not_count():
    outer_v, t = icosphere(0.1)
    inner_v, _ = icosphere(0.05)
    skin = np.concatenate([outer_v, inner_v])
    triangles = np.concatenate([t, t[:, ::-1] + len(outer_v)])  # the pocket is wound inwards
    outer = np.arange(len(skin)) < len(outer_v)
    hand, ht = icosphere(0.01, levels=2)
    found = measure.penetration(skin, triangles, outer, hand, ht)  # in the pocket
    assert found.hand_depth.max() == 0 and found.skin_depth.max() == 0
    found = measure.penetration(skin, triangles, outer, hand + [0.075, 0, 0], ht)  # in the flesh
    assert found.hand_depth.max() == pytest.approx(0.035, abs=1e-3)  # to the outer skin, not to the pocket
    assert found.skin_depth[~outer].max() == 0


def test_open_neck_and_wrist_are_closed_for_the_measure():
    skin, t = icosphere(0.1, levels=4)
    t = t[skin[t][:, :, 2].mean(axis=1) > -0.08]
    hand, ht = icosphere(0.02, centre=(0, 0, 0.105), levels=3)
    ht = ht[hand[ht][:, :, 2].mean(axis=1) < 0.12]
    used = np.unique(t)
    skin, t = skin[used], np.searchsorted(used, t)
    found = measure.penetration(skin, t, all_outer(skin), hand, ht)
    assert found.hand_depth.max() == pytest.approx(0.015, abs=3e-4)
    assert found.skin_depth.max() == pytest.approx(0.015, abs=3e-4)


def test_gap_reaches_five_millimetres():
    skin, t = icosphere(0.1, levels=4)
    hand, ht = icosphere(0.02, levels=3)
    for gap, expected in ((0.003, 0.003), (0.02, np.inf)):
        found = measure.penetration(skin, t, all_outer(skin), hand + [0, 0, 0.12 + gap], ht)
        assert found.gap == pytest.approx(expected, abs=2e-4)
        assert found.skin_depth.max() == 0 and found.hand_depth.max() == 0


def one_sided(depths, n_hand=1):
    return measure.Penetration(np.asarray(depths, float), np.zeros(n_hand), np.full(n_hand, -1, np.int32), 0.0)


def test_before_and_after_are_taken_over_the_same_set():
    record = measure.PenetrationRecord()
    triangles = np.array([[0, 1, 2]])
    before, after = one_sided([0.010, 0.002, 0.0, 0.0]), one_sided([0.001, 0.0, 0.0, 0.003])
    record.add([(before, after)], [np.array([True, False, False, False])], triangles)
    summary = record.summary()
    assert summary["before"]["samples"] == summary["after"]["samples"] == 3
    assert summary["before"]["mean"] == pytest.approx(4.0)
    assert summary["after"]["mean"] == pytest.approx(4 / 3)
    assert summary["after"]["max"] == pytest.approx(3.0)
    assert summary["after"]["bone_limited"]["max"] == pytest.approx(1.0)
    assert summary["after"]["avoidable"]["samples"] == 2
    assert summary["after"]["p95"] == pytest.approx(np.percentile([1, 0, 3], 95))


def test_hand_vertex_is_bone_limited_with_its_nearest_skin():
    record = measure.PenetrationRecord()
    triangles = np.array([[0, 1, 2], [1, 2, 3]])
    hand = measure.Penetration(np.zeros(4), np.array([0.002, 0.004]), np.array([0, 1], np.int32), 0.0)
    record.add([(hand, hand)], [np.array([True, False, False, False])], triangles)
    after = record.summary()["after"]
    assert after["bone_limited"]["max"] == pytest.approx(2.0) and after["avoidable"]["max"] == pytest.approx(4.0)


def test_hand_vertex_deeper_than_tissue_yields_is_bone_limited():
    record = measure.PenetrationRecord()
    triangles = np.array([[0, 1, 2], [1, 2, 3]])
    before = measure.Penetration(np.zeros(4), np.array([0.030, 0.004, 0.0]), np.array([0, 0, -1], np.int32), 0.0)
    after = measure.Penetration(np.zeros(4), np.array([0.020, 0.003, 0.001]), np.array([1, 1, 1], np.int32), 0.0)
    record.add([(before, after)], [np.zeros(4, bool)], triangles, np.array([0.005, 0.006, 0.005, 0.0]))
    result = record.summary()["after"]
    assert result["bone_limited"]["samples"] == 1 and result["bone_limited"]["max"] == pytest.approx(20.0)
    assert result["avoidable"]["samples"] == 2 and result["avoidable"]["max"] == pytest.approx(3.0)


def test_empty_sets_are_zero():
    record = measure.PenetrationRecord()
    assert record.summary()["after"]["bone_limited"] == {"mean": 0.0, "p95": 0.0, "max": 0.0, "samples": 0}
    assert record.decaf()["after"] == {"collision_distance_mm": 0.0, "non_collision": 1.0, "touchness": 1.0}
    assert measure.percentiles(np.zeros(0)) == {"p1": 0.0, "p50": 0.0, "p99": 0.0}
    assert len(measure.pops(np.zeros((0, 3, 3)), np.zeros(0))) == 0
    assert measure.roughness(np.zeros((0, 3, 3)), np.zeros((0, 2, 3)), 24)["jerk_ratio"] == 0.0


def test_percentiles_interpolate():
    assert measure.percentiles(np.arange(101.0)) == {"p1": 1.0, "p50": 50.0, "p99": 99.0}


def test_decaf_measures():
    def frame(depth, gap):
        return measure.Penetration(np.zeros(1), np.array([depth, 0.0]), np.array([-1, -1], np.int32), gap)

    record = measure.PenetrationRecord()
    stopped, triangles = [np.zeros(1, bool)], np.zeros((1, 3), np.int32)
    record.add([(frame(0.010, 0.0), frame(0.0, 0.001))], stopped, triangles)
    record.add([(frame(0.004, 0.0), frame(0.0, np.inf))], stopped, triangles)
    record.add([(frame(0.0, np.inf), frame(0.0, np.inf))], stopped, triangles)
    found = record.decaf()
    assert found["before"] == pytest.approx({"collision_distance_mm": 7 / 3, "non_collision": 2 / 3, "touchness": 1.0})
    assert found["after"] == pytest.approx({"collision_distance_mm": 0.0, "non_collision": 1.0, "touchness": 0.5})


def test_bone_limit_by_compression_and_by_the_hand_in_the_bone():
    tracked = np.zeros((3, 3)) + [[0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]]
    direction, allowed = np.tile([0.0, 0, -1], (3, 1)), np.full(3, 0.007)
    skin = tracked + [[0, 0, -0.0068], [0, 0, -0.0060], [0, 0, 0]]
    assert measure.bone_limited(tracked, skin, direction, allowed).tolist() == [True, False, False]
    hand, ht = icosphere(0.01, centre=(0.2, 0, 0))
    meter = measure.PenetrationMeter(np.array([[0, 1, 2]], np.int32), np.ones(3, bool), ht)
    assert measure.bone_limited(tracked, skin, direction, allowed, meter, hand).tolist() == [True, False, True]
    dragged = skin + [[0, 0, 0], [0.1, 0, 0], [0.1, 0, 0]]  # onto the hand, and off it
    assert measure.bone_limited(tracked, dragged, direction, allowed, meter, hand).tolist() == [True, True, False]


def test_skin_that_was_dragged_is_limited_by_the_bone_where_it_is():
    """A strip with little tissue at its left end and much at its right, and a hand above nothing."""
    tracked = np.array([[0.0, 0, 0], [0, 0.02, 0], [0.04, 0, 0], [0.04, 0.02, 0]])
    triangles = np.array([[0, 2, 1], [1, 2, 3]], np.int32)
    direction, allowed = np.tile([0.0, 0, -1], (4, 1)), np.array([0.004, 0.004, 0.012, 0.012])
    hand, hand_triangles = icosphere(0.01, centre=(0.02, 0.01, 0.05))
    meter = measure.PenetrationMeter(triangles, np.ones(4, bool), hand_triangles)
    skin = tracked + [[0, 0, -0.0039], [0.03, 0, -0.0039], [-0.03, 0, -0.0059], [0, 0, -0.0059]]
    stopped = measure.bone_limited(tracked, skin, direction, allowed, meter, hand)
    assert stopped.tolist() == [True, False, True, False]  # where it was tracked, over deeper, over shallower tissue


def test_rotation_is_recovered():
    points = np.random.default_rng(1).normal(size=(50, 3))
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    assert np.allclose(measure.rigid_rotation(points, points @ turn.T + [1, 2, 3]), turn)


def test_volume_ratios_of_a_stretch_and_an_inversion():
    tracked = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]], float)
    tets = np.array([[0, 1, 2, 3], [0, 2, 1, 4]])
    now = tracked * [1, 1, 2]
    now[4] = [0, 0, 0.5]
    assert measure.volume_ratios(now, tracked, tets) == pytest.approx([2.0, -0.5])


def test_resting_frames_wait_half_a_second():
    contact = np.zeros(40, bool)
    contact[10:13] = True
    rest = measure.resting_frames(contact, 24.0)
    assert rest[:10].all() and not rest[10:24].any() and rest[24:].all()


def test_pops():
    displacement = np.zeros((4, 5, 3))
    displacement[2, 3] = [0, 0, 0.005]
    displacement[3, 3] = [0, 0, 0.004]
    assert measure.pops(displacement, np.array([0.0, 0.001, 0.0])).tolist() == [2]
    assert measure.pops(displacement, np.array([0.0, 0.002, 0.0])).tolist() == []


def test_flicker_is_skin_that_goes_to_and_fro_under_a_standing_hand():
    displacement = np.zeros((5, 3, 3))
    displacement[:, 2, 0] = [0.0, 0.003, 0.006, 0.009, 0.012]  # a steady creep is none
    displacement[:, 0, 1] = [0.016, 0.008, 0.004, 0.002, 0.001]  # nor is skin that returns to rest
    assert measure.flicker(displacement, np.zeros(4)) == 0.0
    displacement[:, 1, 2] = [0.0, 0.001, 0.0, 0.001, 0.0]
    assert measure.flicker(displacement, np.zeros(4)) == pytest.approx(0.001)
    displacement[:, 1, 2] = [0.0, 0.005, 0.004, 0.004, 0.006]  # shot beyond where it ends
    assert measure.flicker(displacement, np.zeros(4)) == pytest.approx(0.001)
    assert measure.flicker(displacement, np.array([0.0, 0.001, 0.0, 0.001])) == 0.0
    assert measure.flicker(displacement[:1], np.zeros(0)) == 0.0


def test_roughness_of_a_parabola():
    """ΔH = ½ a t², hand = ½ b t²: the accelerations are a and b, the jerk nothing."""
    rate, t = 24.0, np.arange(12) / 24.0
    displacement = np.zeros((12, 2, 3))
    displacement[:, 0, 2] = 0.001 + 0.5 * 3.0 * t**2
    hand = np.zeros((12, 4, 3))
    hand[:, :, 0] = (0.5 * 6.0 * t**2)[:, None]
    found = measure.roughness(displacement, hand, rate)
    assert found["acceleration"] == pytest.approx(3.0) and found["hand_acceleration"] == pytest.approx(6.0)
    assert found["acceleration_ratio"] == pytest.approx(0.5) and found["jerk"] == pytest.approx(0.0, abs=1e-6)
