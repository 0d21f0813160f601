# SPDX-License-Identifier: GPL-3.0-or-later
"""How the flesh of a hand yields where it presses: fingertips flatten, palms widen.

Hand and face are two layers on bone, pressed together: both carry the same pressure, so that their compressions follow
from how far the tracked surfaces overlap. What the hand gives is taken from its tracked surface before contact is
resolved: it depends on this frame alone, neither on how fast nor on which way the hand came. Hands give to each other
as well, see `hand_on_hand`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from .contact.bone_limit import towards
from .contact.tracker import unit_normals
from .geometry.clearance import Clearance
from .geometry.surface import Surface, vertex_normals
from .geometry.tips import tips
from .geometry.topology import boundary_loops, fan_caps, unique_edges
from .geometry.triangle_bvh import TriangleTree
from .hand_on_hand import HandOnHand
from .settings import PhysicsSettings
from .solver.system import vertex_areas
from .template import Template

# Flesh under the palmar and the dorsal skin, as shares of the thickness there: of a fingertip of 13 mm about 5 mm are
# pulp, and 1.5 mm cover the bone at the back, where nails are as hard. A palm of 28 mm has the same shares.
_PALMAR, _DORSAL = 0.38, 0.12
_UNKNOWN = 0.25  # where a mesh has no five fingers that tell the palm from the back
_THINNEST, _THICKEST = 0.001, 0.010  # [m] of flesh; the latter is the ball of the thumb
# Rays to the other side, straight and around at this angle: of the end of a finger, too, the thickness is its width.
_CONE, _RAYS = np.radians(40.0), 6
_FARTHEST = 0.04  # [m] across a hand; farther is along it
_SMOOTHED = 4  # rounds over the neighbours: rays jump from one side of a knuckle to the other
# [Pa] of a layer of flesh bonded to bone: a fingertip pressed on glass with 1 N is 1.5 mm flatter over a contact of
# 80 mm². Our choice; measured pads stiffen with the load (Pawluk and Howe 1999), which the limit below stands for.
_MODULUS = 40e3
_MOST = 0.6  # share of its depth by which flesh can be compressed: pads are firmer than cheeks, which give 0.7
_CONTACT = 0.008  # [m] radius of a fingertip's contact; layers thinner than this cannot give way aside, and are stiffer
_EDGE = 0.006  # [m] a lip's height
_YOUNG = 1.5  # times w_str is Young's modulus of the tissue, as in the presets
_FACING = 0.5  # cosine to the bone's direction from which skin of a hand is pressed as if it faced it; its back is not
# Of the volume that is pressed in, the share that comes out beside it, and how far away.
_RETURNED, _BESIDE = 0.7, 0.006
_SWOLLEN = 0.25  # share of the flesh's depth by which it bulges at most
_SEEN = 1e-6  # [m] flesh that bulges less is not kept out of another hand
_FADES = 0.001  # [m] inside the face within which the bulge ends


class HandFlesh:
    """The flesh of all hands of a simulation.

    surfaces: each hand in any pose, closed or open at the wrist, by its side ("left", "right"). depth: (n,) of flesh
    over bone; limit: (n,) by how much of it is compressed at most [m].
    """

    def __init__(self, surfaces: dict[str, Surface], template: Template, settings: PhysicsSettings):
        self._template, self._settings = template, settings
        self._whole = _away_from_edges(template.skin_vertices, template.skin_triangles, template.outer)
        parts = list(surfaces.items())
        self.depth = np.concatenate([flesh_depth(surface, side) for side, surface in parts])
        self.limit = _MOST * self.depth
        self._together: HandOnHand | None = None
        if len(parts) == 2:
            (_, one), (_, other) = parts
            self._together = HandOnHand(one, other, self.depth, self.limit, settings.gap)
        self._normals = np.zeros((len(self.depth), 3))
        offsets = np.cumsum([0, *(len(s.vertices) for _, s in parts)])
        triangles = np.concatenate([s.triangles + o for (_, s), o in zip(parts, offsets, strict=False)])
        self._triangles = triangles.astype(np.int32)
        vertices = np.concatenate([s.vertices for _, s in parts])
        self._area = np.maximum(vertex_areas(vertices, self._triangles), 1e-12)  # loose vertices have none
        self._spread = splu((diags(self._area) + _BESIDE**2 * _laplacian(vertices, self._triangles)).tocsc())

    def give(
        self,
        tree: TriangleTree,
        hands: NDArray[np.float64],
        towards_bone: NDArray[np.float64],
        clearance: Clearance,
    ) -> NDArray[np.float64] | None:
        """How far the skin of the hands (n, 3) gives to the face and to each other, (n, 3) [m]; None where none
        touches.

        tree: of the outer tracked skin, which `clearance` searches: vertices deeper than it looks are past the edge of
        a thin part and give nothing; towards_bone: (n_skin, 3) unit.
        """
        near = self._near(tree, hands, clearance)
        together = self._together
        if together is not None and not together.near(hands):
            together = None
        if len(near[0]) == 0 and together is None:
            return None
        normals = self._normals
        unit_normals(hands, self._triangles, normals)
        rows, pressed_in, inwards, deep = self._press(tree, hands, towards_bone, near)
        result, pressed = np.zeros_like(hands), np.zeros(len(hands))
        result[rows], pressed[rows] = -pressed_in[:, None] * inwards, pressed_in
        bulges = np.ones(len(hands))  # share of what comes out that may: not into what presses
        bulges[rows] = np.clip(1.0 - deep / _FADES, 0.0, 1.0)
        if together is not None:
            given = together.press(hands, normals)
            result -= given[:, None] * normals
            pressed += given
            bulges *= np.clip(1.0 - given / _FADES, 0.0, 1.0)
        if not pressed.any():
            return None
        swollen = self._bulge(pressed, bulges)
        if together is not None:
            rows = np.flatnonzero(swollen > _SEEN)
            swollen[rows] = np.minimum(swollen[rows], together.room(hands, rows, swollen.max()))
        length = np.linalg.norm(result, axis=1)
        result *= (self.limit / np.maximum(length, self.limit))[:, None]  # the same flesh gives to face and hand
        result += swollen[:, None] * normals
        return result

    def _near(self, tree: TriangleTree, hands: NDArray, clearance: Clearance) -> tuple[NDArray, ...]:
        """The vertices of the hands that touch the face: rows, distance, triangle, barycentric and sign, as
        `TriangleTree.closest`."""
        # From farther off than what touches: past an edge, a hand is suddenly in the head.
        near = clearance.near(tree, hands, _EDGE)
        found = (near[4] < 0) | (near[1] < self._settings.gap)
        return tuple(array[found] for array in near)

    def _press(
        self, tree: TriangleTree, hands: NDArray, towards_bone: NDArray, near: tuple[NDArray, ...]
    ) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """What a face makes the hands give: rows (k,), how far (k,), the unit way to bone (k, 3), against which they
        give, and how deep they are (k,) [m]."""
        rows, distance, triangle, weights, sign = near
        ids = tree.triangles[triangle]
        inwards, depth = towards(tree.vertices, towards_bone, hands[rows], ids, weights)
        facing = np.clip(np.einsum("ij,ij->i", self._normals[rows], inwards) / _FACING, 0.0, 1.0)
        facing *= np.einsum("mk,mk->m", weights, self._whole[ids])
        deep = np.where(sign < 0, depth, -distance)
        layer = np.einsum("mk,mk->m", weights, self._template.tissue_depth[ids])
        overlap = np.maximum(deep + self._settings.gap, 0.0)
        modulus, most = _YOUNG * self._settings.w_str, self._settings.compression_limit
        return rows, facing * compressions(overlap, layer, self.depth[rows], modulus, most), inwards, deep

    def _bulge(self, pressed: NDArray, share: NDArray) -> NDArray[np.float64]:
        """How far [m] skin (n,) around what is `pressed` (n,) moves outwards, where it may bulge by a share (n,): the
        volume that goes in comes out beside it."""
        volume = self._area * pressed
        swollen = self._spread.solve(volume) * self.depth * share
        total = float(self._area @ swollen)
        if total > 0.0:
            swollen *= _RETURNED * volume.sum() / total
        return np.clip(swollen, 0.0, _SWOLLEN * self.depth)


def _away_from_edges(vertices: NDArray, triangles: NDArray, outer: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 on outer skin, falling to 0 where it ends, as at the lips, (n,): past that edge, a hand may be in the mouth as
    well as in the head."""
    faces = triangles[outer[triangles].all(axis=1)]
    loops = boundary_loops(faces)
    if not loops:
        return np.ones(len(vertices))
    distance = cKDTree(vertices[np.concatenate(loops)]).query(vertices)[0]
    return np.asarray(np.clip(distance / _EDGE, 0.0, 1.0))


@njit(cache=True, nogil=True)
def compressions(overlap, tissue, flesh, modulus, most):
    """By how much the flesh of a hand is compressed where it and the tissue of a face give way together, (m,) [m].

    overlap, tissue, flesh: (m,) of the two surfaces, and the depths of both layers [m]; modulus: of the tissue [Pa];
    most: the share of its depth by which it can be compressed. Each layer of depth h resists a compression c with
    σ = E ε / (1 - ε / L), ε = c / h, which has no end before its limit L; with the same σ in both, c1 + c2 = overlap is
    a quadratic equation. Tissue thinner than the contact is wide is stiffer by the square of that, as is any
    incompressible layer that is bonded to what is hard.
    """
    result = np.zeros(len(overlap))
    for i in range(len(overlap)):
        o, h, d = overlap[i], tissue[i], flesh[i]
        if o <= 0.0:
            continue
        if h < 1e-6 or o >= most * h + _MOST * d:
            result[i] = _MOST * d
            continue
        soft = modulus * (1.0 + 0.5 * (_CONTACT / h) ** 2)
        a = h / _MOST + d / most - o / (most * _MOST)
        b = h * _MODULUS + d * soft - o * (soft / _MOST + _MODULUS / most)
        c = -o * soft * _MODULUS
        root = np.sqrt(b * b - 4.0 * a * c)
        pressure = (root - b) / (2.0 * a) if b < 0.0 else -2.0 * c / (b + root)
        result[i] = d * pressure / (_MODULUS + pressure / _MOST)
    return result


def flesh_depth(surface: Surface, side: str) -> NDArray[np.float64]:
    """How deep the bone lies under the skin of a hand, (n,) [m]; side: "left" or "right"."""
    vertices, triangles = np.asarray(surface.vertices, np.float64), surface.triangles
    normals = vertex_normals(vertices, triangles)
    palm = _palm(vertices, triangles, side)
    if palm is None:
        share = np.full(len(vertices), _UNKNOWN)
    else:
        share = _DORSAL + (_PALMAR - _DORSAL) * np.clip(0.5 + normals @ palm, 0.0, 1.0)
    depth = share * _thickness(vertices, triangles, normals)
    edges = unique_edges(triangles)[0]
    for _ in range(_SMOOTHED):
        depth = _averaged(depth, edges)
    return np.clip(depth, _THINNEST, _THICKEST)


def _thickness(vertices: NDArray, triangles: NDArray, normals: NDArray) -> NDArray[np.float64]:
    """The diameter of the largest ball in the hand that touches it at each vertex, (n,) [m]."""
    tree = TriangleTree(vertices, np.concatenate([triangles, fan_caps(triangles)]).astype(np.int32))
    across = np.cross(normals, np.where(np.abs(normals[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]))
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    other = np.cross(normals, across)
    start = vertices - 1e-5 * normals  # not the vertex itself
    diameter = np.minimum(tree.hit(start, -normals, _FARTHEST), _FARTHEST)
    for angle in np.arange(_RAYS) * (2 * np.pi / _RAYS):
        aside = np.cos(angle) * across + np.sin(angle) * other
        hit = tree.hit(start, np.sin(_CONE) * aside - np.cos(_CONE) * normals, _FARTHEST)
        diameter = np.minimum(diameter, hit / np.cos(_CONE))  # of the ball that goes through what the ray hits
    return diameter


def _palm(vertices: NDArray, triangles: NDArray, side: str) -> NDArray[np.float64] | None:
    """The unit direction in which the palm looks; None where five fingers and an open wrist are not found.

    With the fingers pointing up and the palm towards the eye, the thumb of the right hand points to the right.
    """
    loops = boundary_loops(triangles)
    if not loops:
        return None
    wrist = vertices[max(loops, key=len)].mean(axis=0)
    ends = vertices[tips(vertices, triangles)]
    ends = ends[np.linalg.norm(ends - wrist, axis=1) > 0.3 * np.linalg.norm(ends - wrist, axis=1).max()]
    if len(ends) != 5:
        return None
    # The thumb branches off before the fingers, away from the line through their tips.
    others = [np.delete(ends, k, axis=0) for k in range(5)]
    apart = [np.linalg.norm(ends[k] - others[k], axis=1).min() for k in range(5)]
    thumb = int(np.argmax(apart))
    along = others[thumb].mean(axis=0) - wrist
    palm = np.cross(along, ends[thumb] - wrist)
    palm *= 1.0 if side == "left" else -1.0
    return np.asarray(palm / max(float(np.linalg.norm(palm)), 1e-12))


def _averaged(values: NDArray, edges: NDArray) -> NDArray[np.float64]:
    """Each value with those of its neighbours along the edges (k, 2), (n,)."""
    total, count = values.copy(), np.ones(len(values))
    for a, b in ((0, 1), (1, 0)):
        total += np.bincount(edges[:, a], values[edges[:, b]], len(values))
        count += np.bincount(edges[:, a], minlength=len(values))
    return np.asarray(total / count)


def _laplacian(vertices: NDArray, triangles: NDArray) -> csr_matrix:
    """Of the edges, each weighing 1: as good as cotangents where edges are about as long as each other, and never
    negative."""
    edges = unique_edges(triangles)[0]
    n = len(vertices)
    weights = np.full(len(edges), 0.5)
    graph = coo_matrix((weights, (edges[:, 0], edges[:, 1])), shape=(n, n))
    graph = (graph + graph.T).tocsr()
    return (diags(np.asarray(graph.sum(axis=1)).ravel()) - graph).tocsr()
