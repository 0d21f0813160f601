# SPDX-License-Identifier: GPL-3.0-or-later
"""The undisturbed volume S_tra of a frame: the tracked skin, jaw and cranium extended into the tissue."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags

from ..geometry.topology import corner_lists
from ..template import CRANIUM, JAW, TISSUE, Template
from .elasticity import deformation_gradients, shape_gradients
from .multifrontal import Factor
from .sparse import PointMap, put
from .system import stiffness
from .tet_blocks import make_blocks
from .untangle import LEAST_RATIO, SWEEPS, untangle

# Pulls an embedding volume to the tracked skin so firmly that the remaining error is far below a micrometre.
_EMBEDDING_WEIGHT = 100.0


class UndisturbedVolume:
    """Extends displacements of skin and bone harmonically into the tissue with one prefactored solve per frame."""

    def __init__(self, template: Template):
        self.template = template
        self.untangles = True  # what strong expressions fold; otherwise it stays folded
        n = len(template.vertices)
        tets = template.tets[template.tet_region == TISSUE]
        gradients, volumes = shape_gradients(template.vertices, tets)
        t = len(tets)
        self._tets, self._gradients = np.ascontiguousarray(tets), gradients
        self._f, self._det = np.zeros((t, 3, 3)), np.ones(t)
        self._at_rest = make_blocks(gradients, np.ones(t), np.ones(t))  # F_tra is the identity
        self._never_stale = np.zeros(len(self._at_rest), np.bool_)
        self._start, self._corners = corner_lists(tets, n)
        # Stiffer where elements are small, so that thin tissue moves along instead of inverting.
        matrix = stiffness(tets, gradients, np.cbrt(volumes), n)
        used = np.zeros(n, bool)
        used[tets] = True
        self.jaw = np.flatnonzero(template.vertex_region == JAW)
        self.cranium = np.flatnonzero(template.vertex_region == CRANIUM)
        known = template.vertex_region != TISSUE
        self.embedding = template.embedding
        if template.conforming:
            known[: template.n_skin] = True
        else:
            weight = _EMBEDDING_WEIGHT * matrix.diagonal().mean()
            matrix = (matrix + weight * (template.embedding.T @ template.embedding)).tocsr()
            self._pull = (weight * template.embedding.T).tocsr()
        self.free = np.flatnonzero(used & ~known)
        self._mobility = np.zeros(n)
        self._mobility[self.free] = 1.0
        rows = matrix[self.free].tocsr()
        loads = (-rows @ diags(known.astype(np.float64))).tocsr()
        loads.eliminate_zeros()
        self._loads = PointMap(loads)
        self._factor = Factor(rows[:, self.free].tocsr(), template.vertices[self.free])

    def displacement(self, skin: NDArray[np.float64], jaw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displacement (n, 3) [m] of the volume from rest in the cranium's frame.

        skin: (n_skin, 3) displacement of the tracked skin; jaw: (4, 4) transform of the jaw relative to the cranium.
        """
        template = self.template
        d = np.zeros((len(template.vertices), 3))
        rest = template.vertices[self.jaw]
        d[self.jaw] = rest @ jaw[:3, :3].T + jaw[:3, 3] - rest
        if template.conforming:
            d[: template.n_skin] = skin
        b, x = np.empty((2, len(self.free), 3))
        self._loads.map(d, b)
        if not template.conforming:
            b += (self._pull @ skin)[self.free]
        self._factor.solve(b, x)
        put(x, self.free, d)
        if not self.untangles:
            return d
        deformation_gradients(d, self._tets, self._gradients, self._f, self._det)
        if self._det.min() < LEAST_RATIO:
            # Strong expressions fold thin tissue; harmonic extension does not prevent it, but the interior can yield.
            untangle(
                d, self._tets, self._gradients, d, self._never_stale, self._at_rest, self._det, self._mobility,
                self._start, self._corners, SWEEPS,
            )  # fmt: skip
        return d
