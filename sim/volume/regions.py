# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions of a skin: visible or hidden, rim, and cheek, lips, scalp or cartilage."""

import numpy as np
from numpy.typing import NDArray

from ...choices import REGIONS
from ..geometry.refine import averaging
from ..geometry.sphere import sphere_directions
from ..geometry.surface import vertex_normals
from ..geometry.topology import boundary_loops
from ..geometry.triangle_bvh import TriangleTree
from ..template import CARTILAGE, CHEEK, LIPS, SCALP
from .landmarks import Landmarks

_RAYS = 64  # per vertex; averaging over neighbours reduces their noise
_REACH = 0.25  # a ray that gets this far [m] has left the head
_OPEN = 0.12  # fraction of free rays above which skin is visible: the hollow of the ear has more, a nostril less
_RIM = 0.010  # skin closer than this to the cut of the neck is fixed [m]
_LIFT = 1e-4  # of ray origins off the skin [m]

STIFFNESS = np.array([1.0, 1.5, 3.0, 20.0])  # m_t of each of the REGIONS, relative to the cheek


def openness(vertices: NDArray, triangles: NDArray) -> NDArray[np.float64]:
    """Fraction (n,) of the rays from the outer side of each vertex that leave the surface: 1 free, 0 in a cavity."""
    normals = vertex_normals(vertices, triangles)
    rays = np.repeat(sphere_directions(_RAYS)[None], len(vertices), axis=0)
    rays *= np.where(np.einsum("vkd,vd->vk", rays, normals) < 0, -1.0, 1.0)[..., None]
    origins = np.repeat((vertices + _LIFT * normals)[:, None], _RAYS, axis=1)
    hits = TriangleTree(vertices, triangles).hit(origins.reshape(-1, 3), rays.reshape(-1, 3), _REACH)
    return np.isinf(hits).reshape(-1, _RAYS).mean(1)


def visible(share: NDArray, triangles: NDArray) -> NDArray[np.bool_]:
    """Which vertices (n,) a hand can reach, from `openness` (n,) averaged over the neighbours."""
    average = averaging(triangles, len(share))
    return average @ (average @ share) > _OPEN


def rim(vertices: NDArray, triangles: NDArray, up: NDArray) -> NDArray[np.bool_]:
    """Skin (n,) at the cut of the neck: within 10 mm of the largest open boundary or, without one, of the lowest point.

    Vertices without triangles are fixed too, because nothing else holds them.
    """
    held = np.ones(len(vertices), bool)
    used = np.unique(triangles)
    loops = boundary_loops(triangles)
    if loops:
        neck = max(loops, key=lambda loop: float(np.linalg.norm(np.ptp(vertices[loop], axis=0))))
        closed = np.column_stack([neck, np.roll(neck, -1), np.roll(neck, -1)])
        held[used] = TriangleTree(vertices, closed).closest(vertices[used], _RIM)[1] >= 0
    else:
        height = vertices[used] @ up
        held[used] = height < height.min() + _RIM
    return held


def skin_regions(
    local: NDArray, tissue_depth: NDArray, landmarks: Landmarks, groups: dict[str, NDArray] | None
) -> NDArray[np.float64]:
    """Shares (n, 4) of the `REGIONS` at skin vertices, of sum 1: local (n, 3) in the head's frame, tissue_depth (n,)
    [m].

    groups: the name of a region → weights (n,) in 0..1 that override the landmarks.
    """
    p, k = landmarks.points, landmarks.scale
    region = np.full(len(local), CHEEK)
    brow, ear = p["sellion"][1] + 0.012 * k, 0.5 * (p["ear_left"][1:] + p["ear_right"][1:])
    # The scalp begins at the brows in front and falls to the nape behind the ears.
    nape = ear - 0.03 * k
    edge = np.interp(local[:, 2], [nape[1], ear[1] + 0.01 * k, p["sellion"][2]], [nape[0], brow, brow])
    region[local[:, 1] > edge] = SCALP
    mouth = (local - p["stomion"]) / (k * np.array([0.030, 0.015, 0.022]))
    region[(mouth**2).sum(1) < 1] = LIPS
    lateral, up, front = local.T
    nose = (np.abs(lateral) < 0.021 * k) & (front > p["subnasale"][2] - 0.006 * k)
    nose &= (up > p["subnasale"][1] + 0.004 * k) & (up < p["sellion"][1] - 0.016 * k)
    region[nose] = CARTILAGE
    for name in ("ear_left", "ear_right"):
        near = np.linalg.norm(local - p[name], axis=1) < 0.038 * k
        # The auricle protrudes from the skull; the skin beside it does not.
        region[near & (tissue_depth > 0.012 * k) & (np.abs(lateral) > np.abs(p[name][0]) - 0.018 * k)] = CARTILAGE
    shares = np.eye(len(REGIONS))[region]
    for name, share in zip(REGIONS, np.eye(len(REGIONS)), strict=True):
        if groups and name in groups:
            weight = np.clip(np.asarray(groups[name], float), 0, 1)[:, None]
            shares = shares * (1 - weight) + share * weight
    return shares
