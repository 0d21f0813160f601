# SPDX-License-Identifier: GPL-3.0-or-later
"""Places a jaw and a cranium under a head's skin by soft-tissue thickness.

The bone is the set of points that lie deeper under the skin than the local tissue thickness, keep away from the mouth,
the nostrils and the eyes, and lie within the regions of the cranium or the mandible. Both sets are fields on a regular
grid; their surfaces are isosurfaces.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..geometry.intersections import intersecting_pairs
from ..geometry.isosurface import Grid, isosurface, large_parts, smooth_surface
from ..geometry.solid_angle import inside_grid, winding_number
from ..geometry.surface import Surface, vertex_normals
from ..geometry.triangle_bvh import TriangleTree
from .bones import signed_distance
from .landmarks import Landmarks

MIN_TISSUE = 0.002  # between any bone and any skin [m]
_EYE_RADIUS = 0.0145  # eyeball (12 mm) and the tissue around it [m]
_MANDIBLE = 0.014  # the mandible's thickness seen from above [m]
_GINGIVA = 1.25 * MIN_TISSUE  # over bone in the mouth, with some reserve for smoothing [m]
_BONE = 0.010  # thickness that bone needs between mouth and skin [m]
_THINNEST = 0.4  # fraction of the table's thickness that tissue keeps where bone needs room
_DEEP = 0.04  # deeper than this under the skin, tissue thickness does not matter [m]
_OUT = 1e-4  # field value of excluded samples [m]
_GAP = 0.003  # between jaw and cranium [m]
_SMOOTH_STEPS = 3  # of the surfaces, after the isosurface
_SMOOTHING = 0.6  # of the field, in grid cells
_ONE_PLACE = 0.001  # landmarks closer together than this count as one, for an adult head [m]: on a whole head, none are
CRANIUM_SPACING = 0.006  # of the cranium's grid, for an adult head [m]: triangles of about 6 mm
_JAW_SPACING = 0.004  # the same for the jaw, which is thin

# Soft-tissue depths [mm] at landmarks: round numbers close to the pooled adult means of Stephan and Simpson 2008
# ("Facial soft tissue depths in craniofacial identification, part I"), not a transcription of their table; the ear,
# the temple and the side of the scalp, which it lacks, follow common anatomy. Position: a detected landmark and an
# offset from it [mm of an adult head] (lateral, up, front), then moved to the closest point of the skin.
_DEPTHS: list[tuple[str, str, tuple[float, float, float], float]] = [
    ("vertex", "vertex", (0, 0, 0), 5.0),
    ("parietal", "vertex", (45, -15, -20), 5.5),
    ("euryon", "ear_left", (0, 55, -10), 6.5),
    ("opisthocranion", "opisthocranion", (0, 0, 0), 6.5),
    ("occiput side", "opisthocranion", (45, -5, 15), 7.5),
    ("mid forehead", "sellion", (0, 50, 5), 4.5),
    ("side forehead", "sellion", (38, 45, -10), 5.0),
    ("glabella", "sellion", (0, 14, 4), 5.5),
    ("mid supraorbital", "sellion", (30, 18, -5), 6.0),
    ("temple", "sellion", (62, 18, -40), 11.0),
    ("nasion", "sellion", (0, 0, 0), 6.5),
    ("side of the nasal root", "sellion", (9, -6, -6), 6.0),
    ("rhinion", "sellion", (0, -14, 8), 3.5),
    ("pronasale", "pronasale", (0, 0, 0), 30.0),
    ("ala", "pronasale", (14, -5, -14), 17.0),
    ("alar curvature", "subnasale", (17, 3, -8), 10.0),
    ("subnasale", "subnasale", (0, 0, 0), 13.0),
    ("mid philtrum", "subnasale", (0, -6, 0), 11.5),
    ("supra canine", "subnasale", (17, -6, -5), 10.0),
    ("lower lip", "stomion", (0, -8, 0), 13.0),
    ("labiomental fold", "pogonion", (0, 12, -4), 11.0),
    ("infra canine", "pogonion", (17, 12, -6), 10.5),
    ("pogonion", "pogonion", (0, 0, 0), 11.0),
    ("menton", "menton", (0, 0, 0), 7.5),
    ("side of the chin", "menton", (22, 4, -4), 9.0),
    ("mid infraorbital", "sellion", (32, -28, -8), 7.0),
    ("lateral orbit", "sellion", (48, -12, -18), 8.5),
    ("zygoma", "sellion", (56, -24, -30), 9.0),
    ("zygomatic arch", "ear_left", (-12, 2, 34), 7.0),
    ("cheek", "stomion", (40, 16, -20), 18.0),
    ("lower cheek", "stomion", (42, -2, -30), 15.0),
    ("mid mandibular border", "pogonion", (42, 4, -34), 9.5),
    ("mid ramus", "ear_left", (-15, -35, 22), 16.0),
    ("gonion", "ear_left", (-20, -68, 14), 11.0),
    ("mastoid", "ear_left", (-14, -30, -10), 9.0),
]


@dataclass(frozen=True)
class Skull:
    """jaw and cranium as closed surfaces, world space [m]."""

    jaw_vertices: NDArray[np.float64]
    jaw_triangles: NDArray[np.int32]
    cranium_vertices: NDArray[np.float64]
    cranium_triangles: NDArray[np.int32]

    @property
    def bones(self) -> list[tuple[NDArray[np.float64], NDArray[np.int32]]]:
        """Vertices and triangles of jaw and cranium."""
        return [(self.jaw_vertices, self.jaw_triangles), (self.cranium_vertices, self.cranium_triangles)]


def place_skull(
    vertices: NDArray,
    triangles: NDArray,
    outer: NDArray,
    landmarks: Landmarks,
    jaw: Surface | None = None,
    cranium: Surface | None = None,
    spacing: float = CRANIUM_SPACING,
) -> Skull:
    """Places jaw and cranium under a closed skin, or pulls the artist's own, in world space, inside it.

    vertices: (n, 3) [m]; triangles: (m, 3) closed, with caps; outer: (m,) whether a triangle is visible skin (not mouth
    bag, nostril, socket or cap); spacing: of the cranium's grid, for an adult head [m]. A bone is empty if there is no
    room for it. Both keep `MIN_TISSUE` from the skin and `_GAP` from each other.
    """
    local = landmarks.frame.into(vertices)
    whole = TriangleTree(local, triangles)
    visible = TriangleTree(local, triangles[outer])
    hidden = TriangleTree(local, triangles[~outer]) if (~outer).any() else None
    thickness = tissue_thickness(landmarks, visible)
    skin = local[triangles[outer]].reshape(-1, 3)

    def bone(spacing: float, own: Surface | None, region: Callable, keep_off: tuple[NDArray, NDArray] | None):
        grid = _grid(skin, landmarks, spacing, jaw=keep_off is None and own is None)
        points = grid.points()
        depth = visible.closest(points)[0]
        cavity = hidden.closest(points)[0] if hidden else np.full(len(points), np.inf)
        inside = inside_grid(whole, grid, np.minimum(depth, cavity))
        depth = np.where(inside, depth, -depth)
        cavity = np.where(inside, cavity, -cavity) if hidden else cavity  # infinite on both sides without any
        if own is not None:
            field = signed_distance(Surface(landmarks.frame.into(own.vertices), own.triangles), grid)
        else:
            field = np.maximum(_placed(points, inside, depth, cavity, thickness, landmarks), region(points))
            field = gaussian_filter(np.clip(field, -_DEEP, _DEEP).reshape(grid.shape), _SMOOTHING).ravel()
        # Neither smoothing nor an artist's bone may reduce the tissue below its minimum.
        field = np.maximum(field, _GINGIVA - np.minimum(depth, cavity))
        if keep_off is not None and len(keep_off[1]):
            field = np.maximum(field, _GAP - signed_distance(Surface(*keep_off), grid))
        field = field.reshape(grid.shape)
        field = np.where(large_parts(field < 0), field, np.maximum(field, _OUT))
        v, t = isosurface(field, grid)
        if len(v):
            even = pushed_inside(smooth_surface(v, t, _SMOOTH_STEPS), t, whole, MIN_TISSUE)
            # If the skin intersects itself, pushing can fold the bone; the isosurface itself is never folded.
            v = even if not len(intersecting_pairs(even, t)) else v
        return v, t

    jaw_local = bone(_JAW_SPACING, jaw, _mandible(landmarks, visible), None)
    cranium_local = bone(spacing, cranium, _cranium(landmarks), jaw_local)
    out = landmarks.frame.out_of
    return Skull(out(jaw_local[0]), jaw_local[1], out(cranium_local[0]), cranium_local[1])


def _placed(
    points: NDArray, inside: NDArray, depth: NDArray, cavity: NDArray, thickness: Callable, landmarks: Landmarks
) -> NDArray[np.float64]:
    """Negative where `points` (k, 3) lie deep enough under the skin for bone, and away from mouth and eyes."""
    k = landmarks.scale
    wished = np.zeros(len(points))
    near = inside & (depth < _DEEP * k)
    wished[near] = thickness(points[near])
    # Where skin and mouth are close together, bone takes its room from the tissue, not from the mouth.
    room = depth + cavity - _BONE * k - _GINGIVA
    wished = np.clip(room, _THINNEST * wished, wished)
    wished[~inside] = _GINGIVA
    return np.maximum(np.maximum(wished - depth, _GINGIVA - cavity), _eyes(points, landmarks))


def _grid(skin: NDArray, landmarks: Landmarks, spacing: float, *, jaw: bool) -> Grid:
    """The grid of a bone: over the whole head above the chin, or over its lower front half for the jaw."""
    k = landmarks.scale
    low, high = skin.min(0), skin.max(0)
    low[1] = max(low[1], landmarks.points["menton"][1] - 0.01 * k)
    if jaw:
        high[1] = joint(landmarks)[1] + 0.01 * k
        low[2] = joint(landmarks)[2] - 0.02 * k
    return Grid.around(low, high, spacing * k, 2 * spacing * k)


def tissue_thickness(landmarks: Landmarks, skin: TriangleTree) -> RBFInterpolator:
    """Desired tissue thickness [m] at points (k, 3) of the head's frame: the table, interpolated by φ(r) = r.

    skin: the visible skin in the head's frame.
    """
    _, on_skin, depths = usual_depths(landmarks, skin)
    # Depth grows far less with body size than length does: children's tissue is nearly as thick as adults'.
    places, depths = _apart(on_skin, depths * landmarks.scale**0.5, _ONE_PLACE * landmarks.scale)
    return RBFInterpolator(places, depths, kernel="linear", degree=0)


def usual_depths(landmarks: Landmarks, skin: TriangleTree) -> tuple[list[str], NDArray[np.float64], NDArray]:
    """The table at a head: names, places on the skin (d, 3) in the head's frame, and adults' depths (d,) [m]."""
    names, places, depths = [], [], []
    for name, base, offset, depth in _DEPTHS:
        place = landmarks.points[base] + landmarks.scale * 1e-3 * np.array(offset)
        for side in [place] if place[0] == 0 else [place, place * [-1, 1, 1]]:
            names.append(name)
            places.append(side)
            depths.append(depth)
    _, triangle, barycentric, _ = skin.closest(np.array(places))
    return names, skin.points_at(triangle, barycentric), 1e-3 * np.array(depths)


def _apart(points: NDArray, values: NDArray, distance: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (n, 3) closer together than `distance` [m] as one, with the mean of their values (n,).

    On a shell several landmarks have the same closest point, at its rim: two values there have no interpolation.
    """
    near = cKDTree(points).query_pairs(distance, output_type="ndarray")
    graph = csr_matrix((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(points),) * 2)
    count, group = connected_components(graph, directed=False)
    first = np.array([np.flatnonzero(group == k)[0] for k in range(count)])
    return points[first], np.bincount(group, values) / np.bincount(group)


def joint(landmarks: Landmarks) -> NDArray[np.float64]:
    """The left temporomandibular joint (lateral, up, front) [m]: in front of and just below the ear's centre."""
    ear = 0.5 * (landmarks.points["ear_left"] + landmarks.points["ear_right"] * [-1, 1, 1])
    return ear + landmarks.scale * np.array([-0.024, -0.006, 0.018])


def _eyes(points: NDArray, landmarks: Landmarks) -> NDArray[np.float64]:
    """Positive inside the eyeballs."""
    eyes = np.array(landmarks.mirrored("eye"))
    return _EYE_RADIUS * landmarks.scale - cKDTree(eyes).query(points)[0]


def _cranium(landmarks: Landmarks) -> Callable[[NDArray], NDArray]:
    """A field, negative above the skull's base: upper teeth in front, joint and mastoid at the side, occiput behind."""
    p, k = landmarks.points, landmarks.scale
    tmj = joint(landmarks)
    back = p["opisthocranion"][2]
    profile = np.array(
        [
            (back, tmj[1] + 0.000 * k),
            (tmj[2] - 0.060 * k, tmj[1] - 0.018 * k),
            (tmj[2] - 0.018 * k, tmj[1] - 0.026 * k),
            (tmj[2] - 0.013 * k, tmj[1] + 0.006 * k),
            (tmj[2] + 0.031 * k, tmj[1] + 0.006 * k),
            (tmj[2] + 0.036 * k, p["stomion"][1] + 0.004 * k),
            (p["stomion"][2] + 0.050 * k, p["stomion"][1] + 0.004 * k),
        ]
    )
    # The nose below the nasal bones is cartilage, in front of the maxilla.
    rhinion = 0.65 * p["sellion"][1] + 0.35 * p["pronasale"][1]
    maxilla = p["subnasale"][2] - 0.010 * k

    def field(points: NDArray) -> NDArray[np.float64]:
        nose = np.minimum(points[:, 2] - maxilla, rhinion - points[:, 1])
        nose = np.minimum(nose, points[:, 1] - p["subnasale"][1] + 0.002 * k)
        nose = np.minimum(nose, 0.018 * k - np.abs(points[:, 0]))
        return np.maximum(_below(points[:, 2], points[:, 1], profile), nose)

    return field


def _mandible(landmarks: Landmarks, skin: TriangleTree) -> Callable[[NDArray], NDArray]:
    """A field, negative within the horseshoe of the mandible and its rami."""
    p, k = landmarks.points, landmarks.scale
    tmj = joint(landmarks)
    gonion_up = p["stomion"][1] - 0.020 * k
    side = skin.hit([[1.0, gonion_up, tmj[2] + 0.010 * k]], [-1.0, 0.0, 0.0])[0]
    half_width = (1.0 - side if np.isfinite(side) else 0.058 * k) - 0.012 * k
    front, turn = p["pogonion"][2] - 0.008 * k, tmj[2] + 0.012 * k
    angle = np.linspace(0, 0.5 * np.pi, 40)
    # The arch's outside seen from above: rami straight forward, then a superellipse, broader than an ellipse in front.
    width = np.concatenate([[half_width, half_width], half_width * np.cos(angle[1:]) ** 0.85])
    along = np.concatenate([[tmj[2] - 0.05 * k, turn], turn + (front - turn) * np.sin(angle[1:]) ** 0.85])
    curve = cKDTree(np.concatenate([np.column_stack([width, along]), np.column_stack([-width, along])]))
    alveolar = p["stomion"][1] - 0.011 * k
    top = np.array(
        [
            (tmj[2] - 0.008 * k, tmj[1] - 0.001 * k),
            (tmj[2] + 0.024 * k, tmj[1] - 0.001 * k),
            (tmj[2] + 0.034 * k, alveolar),
            (front + 0.05 * k, alveolar),
        ]
    )
    bottom = np.array(
        [
            (tmj[2] - 0.012 * k, tmj[1] - 0.030 * k),
            (tmj[2] + 0.006 * k, gonion_up - 0.012 * k),
            (front, p["menton"][1] + 0.004 * k),
            (front + 0.05 * k, p["menton"][1] + 0.004 * k),
        ]
    )

    def field(points: NDArray) -> NDArray[np.float64]:
        distance = curve.query(points[:, [0, 2]])[0]
        within = np.abs(points[:, 0]) < np.interp(points[:, 2], along, width, right=-1.0)
        # Outside the arch only tissue thickness limits the bone.
        horseshoe = np.where(within, distance - _MANDIBLE * k, -distance)
        height = np.maximum(_below(points[:, 2], points[:, 1], bottom), -_below(points[:, 2], points[:, 1], top))
        return np.maximum(np.maximum(horseshoe, height), tmj[2] - 0.008 * k - points[:, 2])

    return field


def _below(front: NDArray, up: NDArray, profile: NDArray) -> NDArray[np.float64]:
    """Positive below a profile (front, up), (k, 2), seen from the side; near it, the distance to it."""
    height = np.interp(front, profile[:, 0], profile[:, 1]) - up
    dense = np.concatenate([np.linspace(a, b, 20) for a, b in pairwise(profile)])
    distance = cKDTree(dense).query(np.column_stack([front, up]))[0]
    return np.sign(height) * np.minimum(distance, np.abs(height))


def pushed_inside(vertices: NDArray, triangles: NDArray, skin: TriangleTree, margin: float) -> NDArray[np.float64]:
    """Moves vertices (n, 3) that come closer to the skin than `margin` [m] away from it."""
    for _ in range(10):
        distance, triangle, barycentric, _ = skin.closest(vertices)
        sign = np.where(winding_number(skin, vertices) > 0.5, -1.0, 1.0)
        signed = -sign * distance
        close = signed < margin
        if not close.any():
            break
        away = vertices - skin.points_at(triangle, barycentric)
        length = np.linalg.norm(away, axis=1, keepdims=True)
        inward = -sign[:, None] * away / np.maximum(length, 1e-9)
        inward = np.where(length > 1e-9, inward, -vertex_normals(vertices, triangles))
        vertices = vertices + np.where(close[:, None], 1.05 * (margin - signed)[:, None] * inward, 0.0)
    return vertices
