# SPDX-License-Identifier: GPL-3.0-or-later
"""The constant matrix of the global step: assembled and factored once per volume and settings."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from ...errors import VolumeError
from ..geometry.intersections import degenerate
from ..geometry.surface import triangle_normals
from ..geometry.topology import corner_lists
from ..geometry.triangle_bvh import curve_order
from ..settings import PhysicsSettings
from ..template import TISSUE, Template
from .elasticity import shape_gradients
from .membrane import triangle_frames
from .multifrontal import Factor
from .sparse import PointMap

_LITTLE = 0.02  # of its largest value: below this, a response is negligible
_SOFTEST = 0.1  # this quantile of the tissue represents its softest part


def stiffness(elements: NDArray, gradients: NDArray, weights: NDArray, n: int) -> csr_matrix:
    """Scalar stiffness Σ w_e grad φ_a · grad φ_b over elements of k corners; gradients (e, k, d), weights (e,), (n,
    n)."""
    k = elements.shape[1]
    blocks = np.einsum("e,eai,ebi->eab", weights, gradients, gradients)
    rows = np.repeat(elements, k, axis=1).ravel()
    columns = np.tile(elements, (1, k)).ravel()
    return csr_matrix((blocks.ravel(), (rows, columns)), shape=(n, n))


def vertex_areas(vertices: NDArray, triangles: NDArray) -> NDArray[np.float64]:
    """A third of the area of the adjacent triangles per vertex, (n,) [m²]."""
    areas = np.linalg.norm(triangle_normals(vertices, triangles), axis=1) / 2
    return np.bincount(triangles.ravel(), weights=np.repeat(areas / 3, 3), minlength=len(vertices)).astype(np.float64)


class ElasticSystem:
    """Soft tissue of a template with its rest quantities, constant matrix A and compliance columns.

    The unknown is the displacement u of the volume's vertices from the undisturbed volume; bone and rim have u = 0.
    A = Σ_t V (m w_str + w_vol) Gᵀ G + Σ_skin w_skin area Gᵀ G + Σ_i w_tra area_i, a scalar matrix acting on x, y, z
    alike.
    """

    def __init__(self, template: Template, settings: PhysicsSettings):
        self.template = template
        n = len(template.vertices)
        tissue = np.flatnonzero(template.tet_region == TISSUE)
        # Neighbours in space become neighbours in memory, so the few displaced ones share few blocks.
        tissue = tissue[curve_order(template.vertices[template.tets[tissue]].mean(axis=1))]
        self.tissue = tissue
        self.tets = np.ascontiguousarray(template.tets[tissue])
        self.gradients, volumes = shape_gradients(template.vertices, self.tets)
        if not (volumes > 0).all():
            raise VolumeError(
                f"The volume has {int((volumes <= 0).sum())} tetrahedra without volume.",
                advice="Build the volume again.",
            )
        self.volumes = volumes
        self.v_str = volumes * template.tet_stiffness[tissue] * settings.w_str
        self.v_vol = volumes * settings.w_vol
        # Triangles without area, as faces whose corners coincide, have no in-plane deformation.
        flat = degenerate(template.skin_vertices, template.skin_triangles)
        self.triangles = np.ascontiguousarray(np.delete(template.skin_triangles, flat, axis=0))
        self.skin_gradients, areas = triangle_frames(template.skin_vertices, self.triangles)
        self.w_skin = settings.w_skin * areas
        attachment = settings.w_tra * vertex_areas(template.skin_vertices, self.triangles)
        self.embedding = template.embedding.tocsr()

        skin = stiffness(self.triangles, self.skin_gradients, self.w_skin, template.n_skin) + diags(attachment)
        matrix = stiffness(self.tets, self.gradients, self.v_str + self.v_vol, n)
        matrix = (matrix + self.embedding.T @ skin @ self.embedding).tocsr()

        held = template.vertex_region != TISSUE
        rim_rows = self.embedding[np.flatnonzero(template.rim)]
        held[np.unique(rim_rows.indices[rim_rows.data > 1e-6])] = True
        loose = np.zeros(n, bool)
        loose[self.tets] = True  # vertices of bone alone are not part of the tissue
        self.free = np.flatnonzero(loose & ~held).astype(np.int64)
        self.matrix = matrix[self.free][:, self.free].tocsr()
        self.factor = Factor(self.matrix, template.vertices[self.free])
        strain = stiffness(self.tets, self.gradients, self.v_str, n).diagonal()[self.free]
        # Fraction of A that resists shear where the tissue is softest; the rest only resists volume and stretch.
        self.strain_share = float(np.quantile(strain / self.matrix.diagonal(), _SOFTEST))
        self.tet_start, self.tet_corners = corner_lists(self.tets, n)
        self.free_embedding = self.embedding[:, self.free].tocsr()
        self.to_skin, self.from_skin = PointMap(self.embedding), PointMap(self.free_embedding.T)
        self.skin_rows = PointMap(self.free_embedding)
        self._slot = np.full(template.n_skin, -1)
        self._known = 0
        self.negligible = 0.0  # [m/N] what responses leave out, far from the force
        self.little = _LITTLE  # what `add_responses` leaves out
        self._responses = np.zeros((0, len(self.free)), np.float32)
        # The non-negligible part of each response, as in a sparse matrix.
        self._near_start = np.zeros(1, np.int64)
        self._near, self._near_values = np.zeros(0, np.int32), np.zeros(0, np.float32)

    def persistence(self, decay: float) -> float:
        """Share θ of the previous deformation in an implicit step after which `decay` of it is to be left.

        E_dyn = 1/2 c |u - u_before|²_A with c = θ / (1 - θ), chosen so that a deformation held by strain alone decays
        by that, however the time is cut into steps.
        """
        c = self.strain_share * decay / (1 - decay)
        return float(c / (1 + c))

    def respond(self, skin: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots (k,) of the responses to a unit force on each of the given skin vertices (k,).

        A response, A⁻¹ Eᵀ [m/N] for one skin vertex, is computed on first use.
        """
        missing = skin[self._slot[skin] < 0]
        if len(missing):
            known = self._known
            if known + len(missing) > len(self._responses):
                size = max(2 * len(self._responses), known + len(missing), 256)
                grown = np.zeros((size, self._responses.shape[1]), np.float32)
                grown[:known] = self._responses[:known]
                self._responses = grown
            b, x = np.zeros((self.factor.n, 3)), np.empty((self.factor.n, 3))
            for first in range(0, len(missing), 3):
                batch = missing[first : first + 3]
                b[:] = 0.0
                self.skin_rows.add_back(batch, np.eye(len(batch), 3), b)
                self.factor.solve(b, x, self.negligible)
                self._responses[known + first : known + first + len(batch)] = x.T[: len(batch)]
            self._slot[missing] = np.arange(known, known + len(missing))
            self._known = known + len(missing)
            self._keep_near(self._responses[known : self._known])
        return self._slot[skin]

    @property
    def known_responses(self) -> NDArray[np.float32]:
        """The responses computed so far by slot, (k, n_free) [m/N]."""
        return self._responses[: self._known]

    def _keep_near(self, responses: NDArray[np.float32]) -> None:
        row, column = np.nonzero(np.abs(responses) > self.little * np.abs(responses).max(axis=1, keepdims=True))
        ends = self._near_start[-1] + np.cumsum(np.bincount(row, minlength=len(responses)))
        self._near_start = np.concatenate([self._near_start, ends])
        self._near = np.concatenate([self._near, column.astype(np.int32)])
        self._near_values = np.concatenate([self._near_values, responses[row, column]])

    def compliance(self, skin: NDArray[np.int64]) -> NDArray[np.float64]:
        """E A⁻¹ Eᵀ between the given skin vertices (k,), (k, k) [m/N]."""
        result = np.empty((len(skin), len(skin)))
        self.skin_rows.between(skin, self._responses, self.respond(skin), result)
        return result

    def add_responses(self, slots: NDArray[np.int64], forces: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """Adds to out (n_free, 3) [m] the responses in the given slots to forces (k, 3) [N], without negligible parts.

        The next iterate, whose global step includes the new forces, makes up for what is left out.
        """
        _add_responses(self._near_start, self._near, self._near_values, slots, forces, out)


@njit(cache=True, nogil=True)
def _add_responses(start, near, values, slots, forces, out):
    for k in range(len(slots)):
        x, y, z = forces[k, 0], forces[k, 1], forces[k, 2]
        if x == 0.0 and y == 0.0 and z == 0.0:
            continue
        for e in range(start[slots[k]], start[slots[k] + 1]):
            i, v = near[e], values[e]
            out[i, 0] += v * x
            out[i, 1] += v * y
            out[i, 2] += v * z
