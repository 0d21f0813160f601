# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the solver against closed forms and invariants."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nephim import threads
from nephim.sim.contact.contact_solver import solve_contacts, sweeps
from nephim.sim.geometry import rigid
from nephim.sim.geometry.topology import corner_lists
from nephim.sim.settings import PhysicsSettings
from nephim.sim.solver.active_set import Awake
from nephim.sim.solver.anderson import Anderson
from nephim.sim.solver.elasticity import deformation_gradients, shape_gradients
from nephim.sim.solver.membrane import triangle_forces, triangle_frames
from nephim.sim.solver.system import ElasticSystem
from nephim.sim.solver.tet_blocks import LANES, add_parts, make_blocks, pose, tet_forces, volume_ratios
from nephim.sim.solver.undisturbed import UndisturbedVolume
from nephim.sim.solver.untangle import LEAST_RATIO, SWEEPS, untangle
from scipy.optimize import minimize
from volumes import round_head

TEMPLATE = round_head()
TETRAHEDRON = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) * 0.01
MATRICES = arrays(float, (3, 3), elements=st.floats(-0.4, 0.4)).map(lambda m: np.eye(3) + m)


def local_step(f: np.ndarray, f_tra: np.ndarray | None = None, tolerance: float = 0.0) -> np.ndarray:
    """What one tetrahedron with F = f asks for, (R F_tra - F_tra) + (D - F_tra), with unit weights."""
    f_tra = np.eye(3) if f_tra is None else f_tra
    tets = np.array([[0, 1, 2, 3]], np.int32)
    gradients, _ = shape_gradients(TETRAHEDRON, tets)
    blocks = make_blocks(gradients, np.ones(1), np.ones(1))
    every = np.arange(len(blocks))
    pose(0, 1, TETRAHEDRON @ (f_tra - np.eye(3)).T, tets, every, np.ones(len(blocks), bool), blocks)
    u, out = TETRAHEDRON @ (f - f_tra).T, np.zeros((1, 4, 3))
    for _ in range(30):
        threads.run(
            tet_forces, len(out), u, np.ones(4, bool), np.zeros(1, np.int32), tets, blocks, np.float32(tolerance), out
        )
    return np.linalg.lstsq(gradients[0], out[0], rcond=None)[0].T


@settings(max_examples=40, deadline=None)
@given(MATRICES)
def test_the_local_step_finds_rotation_and_nearest_volume(f):
    if not 0.55 < np.linalg.det(f) < 1.95 or np.abs(f - np.eye(3)).max() < 1e-3:
        return
    u, _, vt = np.linalg.svd(f)
    rotation = u @ vt

    def distance(flat):
        return ((flat.reshape(3, 3) - f) ** 2).sum()

    nearest = minimize(
        distance, f.ravel(), constraints={"type": "eq", "fun": lambda x: np.linalg.det(x.reshape(3, 3)) - 1.0}
    ).x.reshape(3, 3)
    assert local_step(f) == pytest.approx(rotation + nearest - 2 * np.eye(3), abs=2e-3)


@settings(max_examples=40, deadline=None)
@given(MATRICES, st.floats(0, 3))
def test_a_rotated_tracked_shape_costs_no_strain(f_tra, angle):
    """F = R F_tra has zero energy: the force is that of the rotation alone, R F_tra - F_tra in both terms."""
    if np.linalg.det(f_tra) < 0.3:
        return
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    expected = 2 * (rotation @ f_tra - f_tra)
    assert local_step(rotation @ f_tra, f_tra) == pytest.approx(expected, abs=1e-3)


def test_inverted_and_flat_tetrahedra_are_asked_for_their_volume():
    for f in (np.diag([1.0, 1.0, -0.5]), np.diag([1.0, 1.0, 0.0]), np.diag([1e-3, 1e-3, 1e-3]), -np.eye(3)):
        wanted = local_step(f)
        assert np.isfinite(wanted).all()
        assert np.abs(wanted).max() < 10


def test_affine_motion_is_reproduced_in_the_volume():
    """The patch test: an affine displacement of skin and bone is extended to the same affine displacement."""
    volume = UndisturbedVolume(TEMPLATE)
    stretch = np.array([[0.02, 0.01, 0], [0, -0.01, 0.02], [0.01, 0, 0.01]])
    volume.cranium = np.zeros(0, int)
    d = volume.displacement(TEMPLATE.skin_vertices @ stretch.T, np.eye(4))
    on_bone = TEMPLATE.vertex_region != 0
    free = ~on_bone
    # Bone stays where it is (u = 0), skin moves: in between the extension is bounded by both.
    assert np.abs(d[on_bone]).max() == 0.0
    assert np.abs(d[free]).max() <= np.abs(TEMPLATE.skin_vertices @ stretch.T).max() + 1e-9


def test_forces_are_the_same_in_one_part_and_in_three_and_leave_the_undisplaced_alone():
    rng = np.random.default_rng(1)
    n, tets = len(TEMPLATE.vertices), TEMPLATE.tets
    gradients, volumes = shape_gradients(TEMPLATE.vertices, tets)
    u = np.zeros((n, 3))
    u[rng.integers(0, n, 60)] = rng.normal(scale=5e-4, size=(60, 3))
    finder = Awake(tets, n, LANES)
    awake, displaced = finder.find(u), finder.displaced
    assert np.array_equal(displaced, u.any(axis=1))
    sums = []
    for parts in (1, 3):
        blocks, out = make_blocks(gradients, 1e4 * volumes, 3e4 * volumes), np.ones((parts, n, 3))
        threads.run(tet_forces, len(out), u, displaced, awake, tets, blocks, np.float32(0.05), out)
        sums.append(np.zeros((n, 3)))
        add_parts(out, np.arange(n), sums[-1])
    assert np.abs(sums[0]).max() > 0
    assert sums[1] == pytest.approx(sums[0], abs=1e-12)
    near = np.zeros(n, bool)
    near[tets[displaced[tets].any(axis=1)]] = True
    assert np.abs(sums[0][~near]).max() == 0.0


def test_a_membrane_within_its_free_stretch_carries_nothing():
    vertices, triangles = TEMPLATE.skin_vertices, TEMPLATE.skin_triangles
    gradients, areas = triangle_frames(vertices, triangles)
    out, awake = np.zeros((2, len(vertices), 3)), np.arange(len(triangles))
    for scale, carries in ((1.02, False), (1.2, True)):
        u = vertices * (scale - 1)  # a growing sphere
        threads.run(triangle_forces, len(out), vertices, u, awake, triangles, gradients, areas, out)
        # The projection equals the present shape exactly where nothing is carried: then the force is G^T (F - F_tra).
        present = np.einsum("mki,mkj->mij", u[triangles], gradients) * areas[:, None, None]
        free = np.zeros_like(vertices)
        np.add.at(free, triangles.ravel(), np.einsum("mij,mkj->mki", present, gradients).reshape(-1, 3))
        assert np.allclose(out.sum(axis=0), free, atol=1e-12) != carries


def test_elastic_system_is_symmetric_and_positive():
    system = ElasticSystem(TEMPLATE, PhysicsSettings.load("default"))
    assert abs(system.matrix - system.matrix.T).max() < 1e-9
    assert system.matrix.diagonal().min() > 0
    assert 0 < system.strain_share < 1
    skin = np.array([3, 8])
    slots = system.respond(skin)
    responses = np.zeros((2, len(system.free)))
    for k, response in enumerate(responses):
        whole = np.zeros((len(system.free), 3))
        system.add_responses(slots[[k]], np.array([[0.0, 1.0, 0.0]]), whole)
        assert np.abs(whole[:, [0, 2]]).max() == 0.0
        response[:] = whole[:, 1]
    solution = np.zeros_like(responses)
    for k in range(2):
        b, x = np.zeros((len(system.free), 3)), np.zeros((len(system.free), 3))
        b[:, 0] = system.free_embedding[skin[k]].toarray()
        system.factor.solve(b, x)
        solution[k] = x[:, 0]
    single = 1e-6  # of the load, 1: the precision of the factor
    assert system.matrix @ solution.T == pytest.approx(system.free_embedding[skin].T.toarray(), abs=single)
    left_out = np.abs(solution - responses).max(axis=1) / solution.max(axis=1)
    assert left_out.max() < 0.021
    assert system.compliance(skin) == pytest.approx(solution @ system.free_embedding[skin].T, rel=1e-5)
    assert np.array_equal(system.respond(skin[::-1]), slots[::-1])


def test_anderson_solves_a_linear_fixed_point_in_as_many_steps_as_unknowns():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    matrix, offset = q @ np.diag([0.9, 0.8, 0.5, -0.6]) @ q.T, rng.normal(size=4)
    solution = np.linalg.solve(np.eye(4) - matrix, offset)
    u, mixer = np.zeros(4), Anderson(4, window=5)
    for _ in range(8):
        mixer.mix(u, matrix @ u + offset)
    assert u == pytest.approx(solution, abs=1e-4)


def contact(gap: np.ndarray, friction: float) -> np.ndarray:
    """Force of one contact of compliance 2 with normal z whose point is off its target by `gap`."""
    force = np.zeros((1, 3))
    normal, none = np.array([[0.0, 0, 1]]), np.zeros(1, bool)
    solve_contacts(np.array([[2.0]]), np.array([gap]), normal, np.array([friction]), np.zeros(1), none, force, 50, 0.0)
    return force[0]


def test_contacts_push_hold_and_slide_as_coulomb_says():
    assert contact(np.array([0.0, 0, 1.0]), 0.5) == pytest.approx([0, 0, 0])  # apart: nothing
    assert contact(np.array([0.0, 0, -1.0]), 0.5) == pytest.approx([0, 0, 0.5])  # pushes itself out
    assert contact(np.array([0.1, 0, -1.0]), 0.5) == pytest.approx([-0.05, 0, 0.5])  # sticks
    assert contact(np.array([3.0, 0, -1.0]), 0.5) == pytest.approx([-0.25, 0, 0.5])  # slides at the cone
    assert contact(np.array([3.0, 0, -1.0]), 0.0) == pytest.approx([0, 0, 0.5])  # frictionless


def test_frictionless_contacts_solve_the_complementarity_problem():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(6, 6))
    compliance = a @ a.T + np.eye(6)
    gap = np.column_stack([np.zeros((6, 2)), rng.normal(size=6)])
    force, start = np.zeros((6, 3)), gap.copy()
    normals = np.tile([0.0, 0, 1], (6, 1))
    solve_contacts(compliance, gap, normals, np.zeros(6), np.zeros(6), np.zeros(6, bool), force, 2000, 1e-14)
    distance = start[:, 2] + compliance @ force[:, 2]
    assert force[:, 2].min() >= 0
    assert distance.min() > -1e-9
    assert abs(force[:, 2] @ distance) < 1e-9


def test_few_contacts_are_swept_more_often_than_many():
    """Held skin, whose contacts respond almost alike, is where it is held after as many sweeps as are allowed."""
    place = np.arange(200) / 200
    compliance = np.exp(-np.abs(place[:, None] - place) / 3)
    offset = 1e-3 * np.column_stack([np.sin(7 * place), place, place**2])
    normals, held, none = np.tile([0.0, 0, 1], (200, 1)), np.ones(200, bool), np.zeros(200)

    def left(most: int) -> float:
        force = np.zeros((200, 3))
        solve_contacts(compliance, offset.copy(), normals, none, none, held, force, most, 0.0)
        return float(np.abs(offset + compliance @ force).max())

    assert sweeps(200) >= 300 and sweeps(10) == sweeps(1) and sweeps(1000) == sweeps(900) == 20
    assert left(sweeps(200)) < 5e-5 and left(20) > 1e-3


def test_contradicting_contacts_end_at_a_finite_force():
    """A hand and the bone that want the same point on opposite sides: the hand's contact gives."""
    force = np.zeros((2, 3))
    gap = np.array([[0.0, 0, -0.001], [0, 0, -0.001]])
    normals, give = np.array([[0.0, 0, 1], [0, 0, -1]]), np.array([0.02, 1e-3])
    held, compliance = np.zeros(2, bool), np.ones((2, 2))
    solve_contacts(compliance, gap, normals, np.zeros(2), give, held, force, 20000, 1e-12)
    assert np.abs(force).max() < 1.0


def test_untangling_opens_what_was_turned_inside_out():
    tets, gradients = TEMPLATE.tets, shape_gradients(TEMPLATE.vertices, TEMPLATE.tets)[0]
    start, corners = corner_lists(tets, len(TEMPLATE.vertices))
    u = np.zeros_like(TEMPLATE.vertices)
    inner = np.flatnonzero(TEMPLATE.vertex_region == 0)
    inner = inner[inner >= TEMPLATE.n_skin]
    u[inner[10]] = [0.006, 0.004, 0.0]  # one vertex thrown beyond its neighbours
    one, det = np.ones(len(tets)), np.ones(len(tets))
    blocks, moved = make_blocks(gradients, one, one), np.ones(len(u), bool)
    stale = np.zeros(len(blocks), bool)  # F_tra is the identity
    awake = np.arange(len(blocks))
    det[:] = 1.0
    threads.run(volume_ratios, 2, u, moved, awake, tets, blocks, det)
    assert det.min() < 0
    mobility = np.where(TEMPLATE.vertex_region == 0, 1.0, 0.0)
    assert untangle(u, tets, gradients, u, stale, blocks, det, mobility, start, corners, SWEEPS) == 0
    det[:] = 1.0
    threads.run(volume_ratios, 2, u, moved, awake, tets, blocks, det)
    assert det.min() >= LEAST_RATIO - 1e-5
    assert np.abs(u[TEMPLATE.vertex_region != 0]).max() == 0.0


def test_deformation_gradients_of_an_affine_motion():
    tets, (gradients, _) = TEMPLATE.tets, shape_gradients(TEMPLATE.vertices, TEMPLATE.tets)
    f = np.array([[1.1, 0.1, 0], [0, 0.9, 0.2], [0.1, 0, 1.0]])
    out, det = np.zeros((len(tets), 3, 3)), np.zeros(len(tets))
    deformation_gradients(TEMPLATE.vertices @ (f - np.eye(3)).T, tets, gradients, out, det)
    assert np.abs(out - f).max() < 1e-9
    assert det == pytest.approx(np.linalg.det(f))


@settings(max_examples=30, deadline=None)
@given(arrays(float, (3,), elements=st.floats(-2, 2)), arrays(float, (3,), elements=st.floats(-1, 1)))
def test_rigid_fit_finds_the_transform_and_its_inverse(axis, shift):
    from scipy.spatial.transform import Rotation

    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = Rotation.from_rotvec(axis).as_matrix(), shift
    points = TEMPLATE.skin_vertices[::40]
    moved = rigid.apply(transform, points)
    assert rigid.fit_rigid(points, moved) == pytest.approx(transform, abs=1e-9)
    assert rigid.apply(rigid.inverse(transform), moved) == pytest.approx(points, abs=1e-12)


def test_faces_without_area_do_not_count_in_the_membrane():
    a, b = TEMPLATE.skin_triangles[0, :2]
    more = np.concatenate([TEMPLATE.skin_triangles, [[a, a, a], [a, b, b]]]).astype(np.int32)
    whole, broken = (
        ElasticSystem(template, PhysicsSettings.load("default"))
        for template in (TEMPLATE, dataclasses.replace(TEMPLATE, skin_triangles=more))
    )
    assert (whole.triangles == broken.triangles).all() and (whole.w_skin == broken.w_skin).all()
    assert abs(whole.matrix - broken.matrix).max() == 0.0
