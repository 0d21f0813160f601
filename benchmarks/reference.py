# SPDX-License-Identifier: GPL-3.0-or-later
"""The energy of the physics, minimised to convergence by Newton's method: slow, plain, no solver code of `sim`.

The unknown is the displacement u (n, 3) [m] of the volume's vertices from the undisturbed volume S_tra. With
F = F_tra + grad u per tetrahedron of rest volume V, and h the deformation of a skin triangle of rest area A relative to
its tracked shape:

    E_str  = 1/2 Σ V m w_str |F - R F_tra|²      R the rotation of F F_traᵀ
    E_vol  = 1/2 Σ V w_vol |F - D|²              D the nearest matrix with det D within ± tolerance of det F_tra
    E_cell = 1/2 Σ K (V_c - V_tra)² / V_tra      over cells of tissue, K their bulk modulus
    E_skin = 1/2 Σ A w_skin |h - P|²             P nearest to h with principal stretches within limits
    E_tra  = 1/2 Σ w_tra a_i |u_i|²              over the skin, a_i a third of the adjacent areas
    E_dyn  = 1/2 c |u - u_before|²_A             c = θ / (1 - θ), A the constant matrix of the projective dynamics

The physics measures |h - P|² through the tracked triangle's own stretch, which is not an energy where an expression
has stretched it; the minimisers then differ by a few micrometres.

Bone and rim have u = 0, contacts are given as fixed displacements. Second derivatives of functions of singular values
are those of Smith, de Goes and Kim, "Analytic Eigensystems for Isotropic Distortion Energies", 2019; negative
curvature is removed per element, each Newton step is solved by conjugate gradients with A as preconditioner.
"""

from dataclasses import dataclass

import numpy as np
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import TISSUE, Template
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import LinearOperator, cg, splu

STRETCH_LOW, STRETCH_HIGH = 0.95, 1.05  # free range of the skin's principal stretches, as in sim/solver/membrane.py
FLATTENED = 0.05  # det F_tra below which a tetrahedron keeps its tracked shape and not its volume, as in the physics
PAIRS = ((0, 1, 2), (0, 2, 1), (1, 2, 0))  # two axes and the third
BISECTIONS = 80  # more than the digits of a double
ARMIJO = 1e-4  # share of the promised decrease that a step must bring (Nocedal and Wright 2006, section 3.1)


@dataclass(frozen=True)
class Converged:
    """u: (n, 3) [m]; energy [J]; gradient: its norm over that at the start; steps: of Newton's method."""

    u: NDArray[np.float64]
    energy: float
    gradient: float
    steps: int


class Energy:
    """The energy of one template, settings and undisturbed volume; value, gradient and Hessian product of u (n, 3).

    volume: (n, 3) displacement [m] of S_tra from rest; skin: (n_skin, 3) that of H_tra, by default what the volume
    gives; u_before: (n, 3) [m]; theta: θ above, 0 for a purely static problem; cells: (t,) which cell each tissue
    tetrahedron belongs to, in the template's order, None without cells; bulk: [Pa].
    """

    def __init__(
        self,
        template: Template,
        settings: PhysicsSettings,
        volume: NDArray,
        *,
        skin: NDArray | None = None,
        u_before: NDArray | None = None,
        theta: float = 0.0,
        cells: NDArray[np.int64] | None = None,
        bulk: float = 0.0,
    ):
        n = len(template.vertices)
        tissue = template.tet_region == TISSUE
        tets = template.tets[tissue]
        self.grad, volumes = _gradient(template.vertices, tets)
        self.v_str = volumes * template.tet_stiffness[tissue] * settings.w_str
        self.v_vol = volumes * settings.w_vol
        self.f_tra = np.eye(3) + self._gradients(volume)
        det = np.linalg.det(self.f_tra)
        self.flat = det <= FLATTENED
        self.volumes, self.cells, self.bulk = volumes, cells, bulk
        if cells is not None:
            self.kept = np.bincount(cells, volumes * det)
        self.low, self.high = (1 - settings.volume_tolerance) * det, (1 + settings.volume_tolerance) * det

        embedding = template.embedding.tocsr()
        triangles = template.skin_triangles
        rest_grad, areas = _gradient(template.skin_vertices, triangles)
        tracked_skin = template.skin_vertices + (embedding @ volume if skin is None else skin)
        self.w_skin = settings.w_skin * areas
        tracked_grad, _ = _gradient(tracked_skin, triangles)
        self.skin_grad = (tracked_grad @ embedding).tocsr()
        self.h_tra = (tracked_grad @ tracked_skin).reshape(-1, 2, 3).transpose(0, 2, 1)
        attachment = np.bincount(triangles.ravel(), np.repeat(areas / 3, 3), template.n_skin) * settings.w_tra
        self.attachment = (embedding.T @ diags(attachment) @ embedding).tocsr()

        membrane = rest_grad.T @ diags(np.repeat(self.w_skin, 2)) @ rest_grad
        matrix = self.grad.T @ diags(np.repeat(self.v_str + self.v_vol, 3)) @ self.grad
        self.matrix: csr_matrix = (matrix + embedding.T @ membrane @ embedding + self.attachment).tocsr()
        self.dynamic = theta / (1 - theta)
        self.before = np.zeros((n, 3)) if u_before is None else u_before
        held = template.vertex_region != TISSUE
        rim = embedding[np.flatnonzero(template.rim)].tocoo()
        held[rim.col[rim.data > 1e-6]] = True
        used = np.zeros(n, bool)
        used[tets] = True
        self.free = used & ~held
        self._curvature: tuple[NDArray, NDArray] | None = None

    def _gradients(self, u: NDArray) -> NDArray[np.float64]:
        """grad u per tetrahedron, (t, 3, 3): row = component of u, column = direction."""
        return (self.grad @ u).reshape(-1, 3, 3).transpose(0, 2, 1)

    def _skin_gradients(self, u: NDArray) -> NDArray[np.float64]:
        return (self.skin_grad @ u).reshape(-1, 2, 3).transpose(0, 2, 1)

    def value(self, u: NDArray, *, curvature: bool = False) -> tuple[float, NDArray[np.float64]]:
        """Energy [J] and its gradient (n, 3) [N] at u; with `curvature` the Hessian is kept for `product`."""
        f = self.f_tra + self._gradients(u)
        strain, stress, bend = _strain(f, self.f_tra, self.v_str, curvature)
        volume, pressure, squeeze = _volume(f, self.f_tra, self.low, self.high, self.flat, self.v_vol, curvature)
        whole, load = self._cells(f, curvature)
        volume, pressure = volume + whole, pressure + load
        skin, tension, stretch = _skin(self.h_tra + self._skin_gradients(u), self.w_skin, curvature)
        if curvature:
            self._curvature = (bend + squeeze, stretch)
        attached, moved = self.attachment @ u, u - self.before
        delayed = self.dynamic * (self.matrix @ moved)
        energy = strain + volume + skin + 0.5 * float((attached * u).sum()) + 0.5 * float((delayed * moved).sum())
        gradient = self._apply(stress + pressure, tension) + attached + delayed
        return energy, gradient

    def product(self, p: NDArray) -> NDArray[np.float64]:
        """The Hessian of the last `value(…, curvature=True)`, free of negative curvature, times p (n, 3)."""
        assert self._curvature is not None
        inside, skin = self._curvature
        stress = np.einsum("tab,tb->ta", inside, self._gradients(p).reshape(-1, 9)).reshape(-1, 3, 3)
        if self.cells is not None:
            swept = np.bincount(self.cells, np.einsum("tij,tij->t", self._swelling, self._gradients(p)))
            stress = stress + (self.bulk / self.kept * swept)[self.cells, None, None] * self._swelling
        tension = np.einsum("tab,tb->ta", skin, self._skin_gradients(p).reshape(-1, 6)).reshape(-1, 3, 2)
        return self._apply(stress, tension) + self.attachment @ p + self.dynamic * (self.matrix @ p)

    def _cells(self, f: NDArray, curvature: bool) -> tuple[float, NDArray | float]:
        """E_cell [J] and its stress times volume (t, 3, 3). Its curvature is that of a Gauss-Newton step: without the
        turning of the gradients, which may be negative."""
        if self.cells is None:
            return 0.0, 0.0
        columns = [np.cross(f[:, :, i], f[:, :, j]) for i, j in ((1, 2), (2, 0), (0, 1))]
        swelling = self.volumes[:, None, None] * np.stack(columns, axis=2)  # V cof F
        if curvature:
            self._swelling = swelling
        excess = np.bincount(self.cells, self.volumes * np.linalg.det(f)) - self.kept
        stress = (self.bulk * excess / self.kept)[self.cells, None, None] * swelling
        return 0.5 * self.bulk * float((excess**2 / self.kept).sum()), stress

    def _apply(self, stress: NDArray, tension: NDArray) -> NDArray[np.float64]:
        inside = self.grad.T @ stress.transpose(0, 2, 1).reshape(-1, 3)
        return inside + self.skin_grad.T @ tension.transpose(0, 2, 1).reshape(-1, 3)


def converged(
    template: Template,
    settings: PhysicsSettings,
    volume: NDArray,
    fixed: NDArray,
    displacements: NDArray,
    u_before: NDArray,
    theta: float,
    *,
    skin: NDArray | None = None,
    tolerance: float = 1e-6,
    max_steps: int = 100,
    cells: NDArray[np.int64] | None = None,
    bulk: float = 0.0,
) -> Converged:
    """The minimiser with given displacements (k, 3) [m] from S_tra of the vertices `fixed` (k,).

    fixed: vertices of the volume; of a conforming volume these are the skin's vertices too. The rest as in `Energy`.
    Ends when the gradient of the free vertices is below `tolerance` of what it was with u_before and the fixed
    displacements. Raises RuntimeError when it is not after `max_steps`.
    """
    energy = Energy(template, settings, volume, skin=skin, u_before=u_before, theta=theta, cells=cells, bulk=bulk)
    free = energy.free.copy()
    free[fixed] = False
    u = np.where(energy.free[:, None], u_before, 0.0)
    u[fixed] = displacements
    if not free.any():
        return Converged(u, energy.value(u)[0], 0.0, 0)
    ids = np.flatnonzero(free)
    factor = splu(energy.matrix[ids][:, ids].tocsc())
    size = 3 * len(ids)
    smooth = LinearOperator((size, size), lambda x: factor.solve(x.reshape(-1, 3)).ravel(), dtype=np.float64)

    def widen(x: NDArray) -> NDArray[np.float64]:
        p = np.zeros_like(u)
        p[ids] = x.reshape(-1, 3)
        return p

    hessian = LinearOperator((size, size), lambda x: energy.product(widen(x))[ids].ravel(), dtype=np.float64)
    value, gradient = energy.value(u, curvature=True)
    start = norm = float(np.linalg.norm(gradient[ids]))
    for step in range(max_steps):
        if norm <= tolerance * start:
            return Converged(u, value, norm / start if start else 0.0, step)
        # Inexact Newton: the closer to the end, the more exact (Nocedal and Wright 2006, section 7.1).
        direction, _ = cg(hessian, -gradient[ids].ravel(), rtol=min(0.1, norm / start), atol=0.0, M=smooth, maxiter=500)
        direction = widen(direction)
        slope, length = float((gradient * direction).sum()), 1.0
        while True:
            trial, trial_gradient = energy.value(u + length * direction, curvature=True)
            trial_norm = float(np.linalg.norm(trial_gradient[ids]))
            # Near the end the energy has no digits left to show a decrease; a smaller gradient is one.
            if trial <= value + ARMIJO * length * slope or (length == 1.0 and trial_norm < 0.5 * norm):
                break
            length *= 0.5
            if length < 1e-10:
                raise RuntimeError(f"The line search failed with the gradient at {norm / start:.1e} of the start.")
        u, value, gradient, norm = u + length * direction, trial, trial_gradient, trial_norm
    raise RuntimeError(f"The gradient is still {norm / start:.1e} of the start after {max_steps} steps.")


def _gradient(vertices: NDArray, elements: NDArray) -> tuple[csr_matrix, NDArray[np.float64]]:
    """Matrix (d e, n) that takes values at the vertices to their gradients, and the elements' volumes or areas (e,).

    For tetrahedra (e, 4) d = 3; for triangles (e, 3) d = 2, in the plane of each, first axis along the first edge.
    """
    edges = vertices[elements[:, 1:]] - vertices[elements[:, :1]]
    d = edges.shape[1]
    if d == 2:
        x = edges[:, 0] / np.linalg.norm(edges[:, 0], axis=1, keepdims=True)
        y = edges[:, 1] - np.einsum("ek,ek->e", edges[:, 1], x)[:, None] * x
        y /= np.linalg.norm(y, axis=1, keepdims=True)
        edges = np.einsum("ekd,ead->eka", edges, np.stack([x, y], axis=1))
    inverse = np.linalg.inv(edges)  # (e, direction, corner 1..d)
    corner = np.concatenate([-inverse.sum(axis=2, keepdims=True), inverse], axis=2)
    rows = np.repeat(np.arange(d * len(elements)), d + 1)
    columns = np.repeat(elements, d, axis=0).ravel()
    matrix = csr_matrix((corner.ravel(), (rows, columns)), shape=(d * len(elements), len(vertices)))
    return matrix, np.abs(np.linalg.det(edges)) / (6 if d == 3 else 2)


def _svd(f: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """U, s, Vᵀ with rotations U and V; the smallest singular value of an inverted matrix is negative."""
    u, s, vt = np.linalg.svd(f)
    for r in (u.transpose(0, 2, 1), vt):
        mirrored = np.linalg.det(r) < 0
        r[mirrored, 2] *= -1
        s[mirrored, 2] *= -1
    return u, s, vt


def _mode(u: NDArray, vt: NDArray, i: int, j: int, sign: float) -> NDArray[np.float64]:
    """(u_i v_jᵀ + sign u_j v_iᵀ) / √2, flattened (e, k)."""
    mode = np.einsum("ea,eb->eab", u[:, :, i], vt[:, j]) + sign * np.einsum("ea,eb->eab", u[:, :, j], vt[:, i])
    return mode.reshape(len(u), -1) / np.sqrt(2)


def _strain(f: NDArray, f_tra: NDArray, weight: NDArray, curvature: bool) -> tuple[float, NDArray, NDArray]:
    """E_str, its derivative by F (t, 3, 3) and, if asked for, its second derivative (t, 9, 9) without negative part."""
    u, s, vt = _svd(f @ f_tra.transpose(0, 2, 1))
    difference = f - u @ vt @ f_tra
    energy = 0.5 * float((weight * (difference**2).sum((1, 2))).sum())
    stress = weight[:, None, None] * difference
    if not curvature:
        return energy, stress, stress
    # |F - R F_tra|² = |F|² + |F_tra|² - 2 Σ s: besides the identity only the rotation in each plane has curvature.
    hessian = np.tile(np.eye(9), (len(f), 1, 1))
    for i, j, _ in PAIRS:
        twist = (_mode(u, vt, i, j, -1).reshape(-1, 3, 3) @ f_tra).reshape(-1, 9)
        hessian -= np.einsum("e,ea,eb->eab", 2 / np.maximum(s[:, i] + s[:, j], 1e-6), twist, twist)
    return energy, stress, weight[:, None, None] * _positive(hessian)


def _positive(hessian: NDArray) -> NDArray[np.float64]:
    """Symmetric matrices (e, k, k) with their negative eigenvalues set to zero."""
    values, vectors = np.linalg.eigh(hessian)
    return np.einsum("eak,ek,ebk->eab", vectors, np.maximum(values, 0), vectors)


def nearest_volume(s: NDArray, target: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Singular values σ (e, 3) nearest to s (e, 3), of which only the last may be negative, with product `target` > 0
    (e,), and λ (e,) of σ = s + λ ∇(σ₁σ₂σ₃).

    With μ = λ target each σ_k solves σ² - s_k σ = μ, so that one number per element is left, found by bisection. Too
    small a product grows with μ > 0. Too large a one shrinks with μ < 0 on the larger roots; if that is not enough the
    smallest σ goes on along its smaller root, back towards μ = 0.
    """
    small = s.prod(axis=1) < target
    least = np.where(small, 0.0, -(s[:, 2] ** 2) / 4)

    def roots(mu: NDArray, lower: NDArray) -> NDArray[np.float64]:
        root = np.sqrt(np.maximum(s**2 + 4 * mu[:, None], 0))
        sigma = 0.5 * (s + root)
        # The same without cancellation for negative s.
        sigma = np.where(s < 0, 2 * mu[:, None] / np.maximum(root - s, 1e-300), sigma)
        sigma[:, 2] = np.where(lower, 0.5 * (s[:, 2] - root[:, 2]), sigma[:, 2])
        return sigma

    lower = ~small & (roots(least, np.zeros(len(s), bool)).prod(axis=1) > target)
    # On the larger roots (σ + |s|) σ >= μ, so that this μ is more than enough.
    a, b = least, np.where(small, (2 * np.abs(s).max(axis=1, initial=0.0) + np.cbrt(target)) ** 2, 0.0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (a + b)
        below = (roots(middle, lower).prod(axis=1) < target) != lower
        a, b = np.where(below, middle, a), np.where(below, b, middle)
    mu = 0.5 * (a + b)
    return roots(mu, lower), mu / target


def _cofactor(sigma: NDArray) -> NDArray[np.float64]:
    return np.stack([sigma[:, 1] * sigma[:, 2], sigma[:, 0] * sigma[:, 2], sigma[:, 0] * sigma[:, 1]], axis=1)


def _stationarity(sigma: NDArray, multiplier: NDArray) -> NDArray[np.float64]:
    """Derivative (e, 4, 4) of the four equations by σ and λ."""
    matrix = np.zeros((len(sigma), 4, 4))
    matrix[:, :3, :3] = np.eye(3)
    for i, j, k in PAIRS:
        matrix[:, i, j] = matrix[:, j, i] = -multiplier * sigma[:, k]
    cofactor = _cofactor(sigma)
    matrix[:, :3, 3], matrix[:, 3, :3] = -cofactor, cofactor
    return matrix


def _volume(
    f: NDArray, f_tra: NDArray, low: NDArray, high: NDArray, flat: NDArray, weight: NDArray, curvature: bool
) -> tuple[float, NDArray, NDArray]:
    """E_vol, its derivative by F (t, 3, 3) and, if asked for, its second derivative (t, 9, 9) without negative part."""
    det = np.linalg.det(f)
    stress = np.where(flat[:, None, None], f - f_tra, 0.0)
    active = np.flatnonzero(~flat & ((det < low) | (det > high)))
    u, s, vt = _svd(f[active])
    sigma, multiplier = nearest_volume(s, np.where(det < low, low, high)[active])
    stress[active] = np.einsum("eak,ek,ekb->eab", u, s - sigma, vt)
    energy = 0.5 * float((weight * (stress**2).sum((1, 2))).sum())
    stress *= weight[:, None, None]
    if not curvature:
        return energy, stress, stress
    hessian = np.zeros((len(f), 9, 9))
    hessian[flat] = np.eye(9)
    part = np.zeros((len(active), 9, 9))
    # Along the stretches: dσ by ds from the four equations.
    along = np.eye(3) - np.linalg.inv(_stationarity(sigma, multiplier))[:, :3, :3]
    axes = np.stack([np.einsum("ea,eb->eab", u[:, :, k], vt[:, k]).reshape(-1, 9) for k in range(3)], axis=1)
    part += np.einsum("eka,ekl,elb->eab", axes, _positive(0.5 * (along + along.transpose(0, 2, 1))), axes)
    # Across them: (ψ_i ∓ ψ_j) / (s_i ∓ s_j) with σ_i ∓ σ_j = (s_i ∓ s_j) / (1 ± λ σ_k) put in, so nothing divides by 0.
    for i, j, k in PAIRS:
        turn = multiplier * sigma[:, k]
        for sign, curve in ((1, turn / (1 + turn)), (-1, -turn / (1 - turn))):
            mode = _mode(u, vt, i, j, sign)
            part += np.einsum("e,ea,eb->eab", np.maximum(curve, 0), mode, mode)
    hessian[active] = part
    return energy, stress, weight[:, None, None] * hessian


def _skin(h: NDArray, weight: NDArray, curvature: bool) -> tuple[float, NDArray, NDArray]:
    """E_skin, its derivative by h (m, 3, 2) and, if asked for, its second derivative (m, 6, 6) without negative
    part."""
    u, s, vt = np.linalg.svd(h)
    excess = s - np.clip(s, STRETCH_LOW, STRETCH_HIGH)
    energy = 0.5 * float((weight * (excess**2).sum(axis=1)).sum())
    tension = weight[:, None, None] * np.einsum("eak,ek,ekb->eab", u[:, :, :2], excess, vt)
    if not curvature:
        return energy, tension, tension
    hessian = np.zeros((len(h), 6, 6))
    for k in range(2):
        along = np.einsum("ea,eb->eab", u[:, :, k], vt[:, k]).reshape(-1, 6)
        out = np.einsum("ea,eb->eab", u[:, :, 2], vt[:, k]).reshape(-1, 6)
        hessian += np.einsum("e,ea,eb->eab", (excess[:, k] != 0).astype(float), along, along)
        hessian += np.einsum("e,ea,eb->eab", np.maximum(excess[:, k] / np.maximum(s[:, k], 1e-9), 0), out, out)
    apart = s[:, 0] - s[:, 1]
    equal = apart < 1e-9
    flip = np.where(equal, (excess[:, 0] != 0).astype(float), (excess[:, 0] - excess[:, 1]) / np.where(equal, 1, apart))
    twist = np.maximum(excess.sum(axis=1) / np.maximum(s.sum(axis=1), 1e-9), 0)
    for sign, curve in ((1, flip), (-1, twist)):
        mode = _mode(u, vt, 0, 1, sign)
        hessian += np.einsum("e,ea,eb->eab", curve, mode, mode)
    return energy, tension, weight[:, None, None] * hessian
