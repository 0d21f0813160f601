# SPDX-License-Identifier: GPL-3.0-or-later
"""The template's skull in another head: carried along by the registration of the skins, then set to the usual depths of
tissue."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from ..geometry.surface import Surface
from ..geometry.topology import unique_edges
from ..geometry.triangle_bvh import TriangleTree
from .bones import MISPLACED, PIERCES, sticking_out
from .landmarks import Landmarks
from .parting import parted, touching
from .registration import Registration, Skin, register, similarity
from .skull import MIN_TISSUE, Skull, pushed_inside
from .template_head import TemplateHead, load_template_head

_TINY = 1e-6  # [m] below which a direction is undefined
_ROUNDS = 6  # of moving bone towards its depth; later ones hardly move it
_MOST = 0.006  # [m] a depth counts less where bone would have to move further: about two standard deviations of people
_BELOW_NOSE = 0.12  # [m] an adult's skin further below the tip of the nose is neck and shoulders
# What a registration must keep to be plausible. Real heads, also partial ones, match to 80 % within half a millimetre;
# bones keep their proportions within 1.6, and the registration alone misses the usual depth by 0.7 of it in a twentieth
# of the places.
_LEAST_MATCHED, _MOST_ERROR, _MOST_STRETCH = 0.6, 0.002, 2.0  # share, [m] for a head of the template's size, factor
_UNUSUAL, _MOST_UNUSUAL = 0.7, 0.2  # relative difference from the usual depth, and share of the places that may have it
_INSIDE_ROUNDS = 3  # of keeping bone in the skin and then off the other bone; the second hardly ever does anything
_SIZE = 0.1  # [m] unit of length of the stiffness below
# Standard deviation of depths among people, as a fraction: about a third in Stephan and Simpson 2008. Bone within it
# stays where the registration brings it: the table's mean is not this person's depth.
SPREAD = 0.3
_STIFFNESS = 0.3  # weight of smoothness of that move against depth


@dataclass(frozen=True)
class RegisteredSkull:
    """The template's skull in a head, in the head's own space [m].

    jaw, cranium: closed surfaces off each other, which may still come too close to the skin; landmarks: name → (3,) on
    the skin; upper_teeth, lower_teeth: (u, 3), (w, 3), see `TemplateHead`; error, matched, misfit: see `Registration`;
    size: of the head in the template's; stretch: see `_stretch`; unusual: share of the places of known depth where
    the registration alone makes tissue far thinner or thicker than usual.
    """

    jaw: Surface
    cranium: Surface
    landmarks: dict[str, NDArray[np.float64]]
    upper_teeth: NDArray[np.float64]
    lower_teeth: NDArray[np.float64]
    error: float
    matched: float
    misfit: float
    size: float
    stretch: float
    unusual: float

    @property
    def doubt(self) -> str:
        """Why this cannot be right, in half a sentence; empty if it is plausible."""
        if not (self.matched >= _LEAST_MATCHED and self.error <= _MOST_ERROR * self.size):
            return f"{100 * self.matched:.0f} % of the skin agree with a real head's to within {_mm(self.error)}"
        if self.stretch > _MOST_STRETCH:
            return f"the proportions of its bones would change by a factor of {self.stretch:.1f}"
        if self.unusual > _MOST_UNUSUAL:
            return f"tissue would be far too thin or too thick in {100 * self.unusual:.0f} % of the places"
        return ""

    def regions(self, landmarks: Landmarks) -> Landmarks:
        """The landmarks of the head as the registration has them: the search in its profile can take the chin's fold
        for the lips. The ears stay, which the template's skin does not have."""
        local = {name: landmarks.frame.into(point) for name, point in self.landmarks.items()}
        middle = {name for name, point in landmarks.points.items() if point[0] == 0}
        local = {name: point * [0, 1, 1] if name in middle else point for name, point in local.items()}
        ears = {name: point for name, point in landmarks.points.items() if name.startswith("ear")}
        return replace(landmarks, points=landmarks.points | local | ears)


def register_skull(
    vertices: NDArray,
    triangles: NDArray,
    landmarks: Landmarks,
    template: TemplateHead | None = None,
    tolerated: float = SPREAD,
) -> RegisteredSkull:
    """Jaw and cranium of a head from its outer skin: vertices (n, 3) [m], triangles (m, 3).

    tolerated: fraction by which tissue may be thinner or thicker than usual; infinite: it is as the registration says.
    Always returns something: see `RegisteredSkull.doubt`.
    """
    template = template or load_template_head()
    found = register_template(vertices, triangles, landmarks, template)
    bones = [
        (found.warp(template.jaw_vertices), template.jaw_triangles),
        (found.warp(template.cranium_vertices), template.cranium_triangles),
    ]
    places = found.warp(template.depth_places)
    # Depth grows far less with size than length does: children's tissue is nearly as thick as adults'.
    size = float(np.linalg.norm(np.ptp(places, axis=0)) / np.linalg.norm(np.ptp(template.depth_places, axis=0)))
    usual = template.depths * size**0.5
    faces = (template.jaw_triangles, template.cranium_triangles)
    moved = list(zip(settled(bones, places, usual, template.depth_on_jaw, tolerated=tolerated), faces, strict=True))
    jaw, cranium = parted(moved, (0, 1, 0))
    out = landmarks.frame.out_of
    return RegisteredSkull(
        Surface(out(jaw), template.jaw_triangles, "registered jaw"),
        Surface(out(cranium), template.cranium_triangles, "registered cranium"),
        dict(zip(template.landmark_names, out(found.warp(template.landmarks)), strict=True)),
        out(found.warp(template.upper_teeth)),
        out(found.warp(template.lower_teeth)),
        found.error,
        found.matched,
        found.misfit,
        size,
        max(
            _stretch(template.jaw_vertices, jaw, bones[0][1]), _stretch(template.cranium_vertices, cranium, bones[1][1])
        ),
        _unusual(bones, places, usual, template.depth_on_jaw),
    )


def kept_inside(
    jaw: Surface, cranium: Surface, skin: TriangleTree, up: NDArray, fixed: tuple[bool, bool]
) -> tuple[Skull, str]:
    """Both bones under at least `MIN_TISSUE` of a closed skin and off each other, and why that is not plausible, or "".

    fixed: which of both are the artist's own; the other one then keeps off.
    """
    skull = Skull(jaw.vertices, jaw.triangles, cranium.vertices, cranium.triangles)
    for name, bone, own in zip(("jaw", "cranium"), (jaw, cranium), fixed, strict=True):
        outside, distance = sticking_out(bone, skin)
        share = len(outside) / len(bone.vertices)
        if not own and len(outside) and (distance.max() > PIERCES or share > MISPLACED):
            return skull, f"{100 * share:.0f} % of the {name} would lie outside the skin, up to {_mm(distance.max())}"
    placed = [jaw.vertices, cranium.vertices]
    for _ in range(_INSIDE_ROUNDS):
        placed = [pushed_inside(v, b.triangles, skin, MIN_TISSUE) for v, b in zip(placed, (jaw, cranium), strict=True)]
        before, placed = placed, parted([(placed[0], jaw.triangles), (placed[1], cranium.triangles)], up, fixed)
        if all(np.array_equal(a, b) for a, b in zip(before, placed, strict=True)):
            break
    skull = Skull(placed[0], jaw.triangles, placed[1], cranium.triangles)
    return skull, "its jaw would touch its cranium" if touching(skull.bones) else ""


def register_template(
    vertices: NDArray, triangles: NDArray, landmarks: Landmarks, template: TemplateHead
) -> Registration:
    """The registration of the template's skin to a head's: vertices (n, 3) [m], triangles (m, 3); its warp leads from
    the template's frame to the head's."""
    own = Skin.of(template.skin_vertices, template.skin_triangles)
    local, tip = landmarks.frame.into(vertices), landmarks.points["pronasale"]
    low = tip[1] - _BELOW_NOSE * max(landmarks.scale, 1.0)  # a face without its forehead looks like a small head
    head = Skin.of(local, triangles[local[triangles, 1].min(axis=1) > low])
    return register(own, head, _starts(template, landmarks))


def _starts(template: TemplateHead, landmarks: Landmarks) -> list[NDArray[np.float64]]:
    """Similarities (3, 4) to begin with: from the landmarks, which the lack of a part of the head misleads, and with
    the tips of the noses together at the detected and at the template's own size."""
    tip = template.landmark_names.index("pronasale")
    known = np.array([landmarks.points[name] for name in template.landmark_names])
    starts = [similarity(template.landmarks, known, np.ones(len(known)))]
    height = template.landmarks[template.landmark_names.index("vertex"), 1] - template.landmarks[tip, 1]
    for size in ((landmarks.points["vertex"] - landmarks.points["pronasale"])[1] / height, 1.0):
        starts.append(np.column_stack([size * np.eye(3), known[tip] - size * template.landmarks[tip]]))
    return starts


def _stretch(before: NDArray, after: NDArray, triangles: NDArray) -> float:
    """By which factor the proportions of a bone change: the ratio of the lengths of its edges, divided by the median,
    at the 2nd or the 98th percentile, whichever is further from 1."""
    edges, _ = unique_edges(triangles)
    ratio = np.linalg.norm(after[edges[:, 0]] - after[edges[:, 1]], axis=1) / np.maximum(
        np.linalg.norm(before[edges[:, 0]] - before[edges[:, 1]], axis=1), _TINY
    )
    low, middle, high = np.percentile(ratio, [2, 50, 98])
    return float(max(high / middle, middle / max(low, _TINY)))


def _unusual(bones: list[tuple[NDArray, NDArray]], places: NDArray, depths: NDArray, on_jaw: NDArray) -> float:
    """At which share of the places (d, 3) tissue is far thinner or thicker than the usual depth (d,) [m]."""
    move = surplus(bones, places, depths, on_jaw)[1]
    return float(np.mean(np.linalg.norm(move, axis=1) > _UNUSUAL * depths))


def _mm(length: float) -> str:
    return f"{1000 * length:.1f} mm"


def settled(
    bones: list[tuple[NDArray, NDArray]],
    places: NDArray,
    depths: NDArray,
    on_jaw: NDArray,
    stiffness: float = _STIFFNESS,
    tolerated: float = SPREAD,
) -> list[NDArray[np.float64]]:
    """Bones moved smoothly so that tissue at some places of the skin is about as deep as usual.

    bones: jaw and cranium, vertices (b, 3) [m] and triangles; the others, see `surplus`. Returns the vertices.
    """
    moved = [vertices for vertices, _ in bones]
    for _ in range(_ROUNDS):
        here = [(vertices, triangles) for vertices, (_, triangles) in zip(moved, bones, strict=True)]
        at, move = surplus(here, places, depths, on_jaw, tolerated)
        weight = 1 / (1 + (np.linalg.norm(move, axis=1) / _MOST) ** 2)
        field = RBFInterpolator(at / _SIZE, move, smoothing=stiffness / weight, kernel="cubic", degree=1)
        moved = [vertices + field(vertices / _SIZE) for vertices in moved]
    return moved


def surplus(
    bones: list[tuple[NDArray, NDArray]], places: NDArray, depths: NDArray, on_jaw: NDArray, tolerated: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of the bones (d, 3) closest to places of the skin (d, 3) [m], and by which vector (d, 3) each has to move
    for the tissue's depth (d,).

    on_jaw: (d,) whether the jaw, the first bone, lies there; tolerated: fraction by which a depth may differ.
    """
    at, move = np.zeros_like(places), np.zeros_like(places)
    for here, (vertices, triangles) in zip((on_jaw, ~on_jaw), bones, strict=True):
        tree = TriangleTree(vertices, triangles)
        distance, triangle, barycentric, sign = tree.closest(places[here])
        at[here] = tree.points_at(triangle, barycentric)
        outwards = sign[:, None] * (places[here] - at[here]) / np.maximum(distance, _TINY)[:, None]
        missing = sign * distance - depths[here]
        missing = np.sign(missing) * np.maximum(np.abs(missing) - tolerated * depths[here], 0.0)
        move[here] = missing[:, None] * outwards
    return at, move
