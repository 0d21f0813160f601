# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumetric template of a character, built from the surfaces of head, jaw and cranium."""

import hashlib
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...choices import REGISTERED, SKULL, THICKNESS
from ...errors import SurfaceError, VolumeError
from ...progress import Job, Progress
from ..coarse import coarse_note, coarse_vertices
from ..geometry.intersections import degenerate, intersecting_pairs
from ..geometry.mending import main_part, mend
from ..geometry.refine import averaging, blend, refine
from ..geometry.surface import Surface, vertex_normals
from ..geometry.topology import fan_caps
from ..geometry.triangle_bvh import TriangleTree
from ..template import Template
from .assembly import Skin, assemble
from .axes import axes_notes, find_axes
from .bones import check_bone
from .closing import cap_holes, separate
from .envelope import envelope, flesh_only
from .hints import Hints
from .landmarks import Landmarks, find_landmarks
from .regions import openness, visible
from .registered_skull import kept_inside, register_skull
from .size import LEAST_VERTICES
from .skull import CRANIUM_SPACING, Skull, place_skull
from .teeth import teeth_in_mouth
from .tetrahedra import tetrahedralize

_MOST = 300_000  # vertices of a head
_REPAIR = 2e-4  # how far repairs may move skin [m]
_COARSE = 2.0  # edge length behind, below and inside the face, in target lengths
_ENVELOPE = 1.25  # edge length of an envelope, in target lengths
_UNFOLD_ROUNDS = 4  # of undoing fairing where it makes the skin intersect itself
_FINE = 0.005  # grid of a registered cranium [m]: cheekbones get lost in a coarser one; 4 mm: a third more tetrahedra
_CLEAR_ROUNDS, _CLEAR_STEP = 6, 5e-4  # of pulling bone back from what it touches, and step of each [m]


@dataclass(frozen=True)
class VolumeSettings:
    """target_edge: desired edge length on face and ears [m]; time_limit: for TetGen [s]; skull: one of
    `choices.SKULLS`, for bones that the artist has not modelled."""

    target_edge: float = 0.004
    time_limit: float = 120.0
    skull: str = SKULL


def build_template(
    head: Surface,
    jaw: Surface | None,
    cranium: Surface | None,
    *,
    settings: VolumeSettings | None = None,
    groups: dict[str, NDArray] | None = None,
    hints: Hints | None = None,
) -> Job[Template]:
    """Builds the template from a head at its neutral frame, in world space [m].

    jaw, cranium: the artist's own surfaces inside the head, or None: placed as `settings.skull` says. groups: weights
    (n_head,) that repaint stiffness (see `regions.skin_regions`). hints: how the head stands, as far as known.
    Raises SurfaceError for vertices that are not finite, VolumeError if no volume can be built.
    """
    settings = settings or VolumeSettings()
    check_head(head)
    notes: list[str] = []
    yield Progress("volume", 0.0, "landmarks")
    mended = mend(head.vertices, head.triangles)
    welded, welded_to = mended.triangles, mended.welded_to
    notes += mended.notes(head.name)
    main = main_part(head.vertices, welded)
    if not main.all():
        notes.append(
            f"{int((~main).sum())} faces of separate parts, such as eyes or teeth, are not part of the volume."
        )
    body = Surface(head.vertices, welded[main], head.name)
    axes = find_axes(body.vertices, body.triangles, hints, head.name)
    notes += axes_notes(axes, hints)
    landmarks = find_landmarks(body.vertices, body.triangles, axes.up, axes.front, head.name, axes.middle)

    yield Progress("volume", 0.1, "refining the skin")
    skin = refined_skin(head, welded, main, welded_to, landmarks, settings.target_edge)
    yield Progress("volume", 0.3, "closing and repairing the skin")
    surface = skin.triangles[skin.main]
    limit = np.full(len(skin.vertices), _REPAIR)
    repaired, meeting = separate(skin.vertices, surface, limit)
    moved = np.linalg.norm(repaired - skin.vertices, axis=1).max()
    flat = degenerate(repaired, surface)
    reason = ""
    if len(meeting) or len(flat):
        reason = f"the skin meets itself in {len(meeting)} places and has {len(flat)} faces without area"
    elif moved > 0:
        notes.append(f"Moved touching skin apart by up to {1000 * moved:.2f} mm.")
        skin = Skin(**{**vars(skin), "vertices": repaired})
    closed, caps, loops = cap_holes(skin.vertices, surface, _COARSE * settings.target_edge)
    notes += [f"Closed an opening of {len(loop)} edges." for loop in loops]
    surface = np.concatenate([surface, caps])
    crossing = 0 if reason else len(intersecting_pairs(closed, surface))
    if crossing:  # no skull changes that
        reason = f"the skin meets itself in {crossing} places once its openings are closed"

    yield Progress("volume", 0.4, "placing the skull")
    skull, whole, regions = _bones(closed, surface, skin, landmarks, jaw, cranium, settings.skull, notes)
    solid = not reason
    if solid:
        yield Progress("volume", 0.6, "tetrahedra")
        try:
            points, tets = yield from _fill(closed, surface, skull, settings, len(skin.vertices))
        except VolumeError as error:
            solid, reason = False, error.what
            if whole is not None:
                return (yield from _by_thickness(reason, head, jaw, cranium, settings, groups, hints))
    if not solid:
        notes.append(f"The skin is embedded in a closed envelope, because {reason}.")
        yield Progress("volume", 0.6, "envelope")
        try:
            outside, around = envelope(closed, surface, _ENVELOPE * settings.target_edge)
            if whole is not None:  # the envelope lies elsewhere than the skin that its teeth and cheekbones keep off
                jaw_there, cranium_there = (Surface(v, t) for v, t in whole.bones)
                everywhere = np.ones(len(around), bool)
                skull = place_skull(outside, around, everywhere, regions, jaw_there, cranium_there, _FINE)
            skull = _cleared(outside, around, skull)
            points, tets = yield from _fill(outside, around, skull, settings, 0)
            points, tets = flesh_only(points, tets, outside, around)
        except VolumeError as error:
            if whole is not None:
                return (yield from _by_thickness(error.what, head, jaw, cranium, settings, groups, hints))
            raise VolumeError(
                f"no volume could be built: {reason}; and around its envelope: {error.what.rstrip('.')}.",
                object=head.name,
                vertices=np.unique(surface[meeting])[:100].tolist() if len(meeting) else (),
                advice="Repair the mesh where it intersects itself, or raise the time limit.",
            ) from error
    yield Progress("volume", 0.95, "regions")
    template = assemble(head, skin, points, tets, skull, whole or skull, regions, groups, conforming=solid)
    coarse, longest = coarse_vertices(template)
    if len(coarse):
        notes.append(coarse_note(len(coarse), longest))
    if whole is not None:
        tree = TriangleTree(closed, surface)
        template.teeth = teeth_in_mouth(whole, (jaw is not None, cranium is not None), tree)
    template.notes = notes
    template.fingerprint = fingerprint([head, jaw, cranium], settings, groups, hints)
    return template


def _by_thickness(
    reason: str,
    head: Surface,
    jaw: Surface | None,
    cranium: Surface | None,
    settings: VolumeSettings,
    groups: dict[str, NDArray] | None,
    hints: Hints | None,
) -> Job[Template]:
    """The template of a head that a registered skull leaves no volume in, with a note that says why."""
    other = replace(settings, skull=THICKNESS)
    template = yield from build_template(head, jaw, cranium, settings=other, groups=groups, hints=hints)
    template.notes.append(f"No real skull was used, because {reason}.")
    template.fingerprint = fingerprint([head, jaw, cranium], settings, groups, hints)
    return template


def check_head(head: Surface) -> None:
    """Raises SurfaceError or VolumeError for a head that cannot be used at all."""
    bad = np.flatnonzero(~np.isfinite(head.vertices).all(1))
    if len(bad):
        raise SurfaceError(
            "positions are not finite numbers.",
            object=head.name,
            vertices=bad.tolist(),
            advice="Look for broken drivers, modifiers or shape keys on these vertices.",
        )
    if len(head.vertices) < LEAST_VERTICES or len(head.triangles) < LEAST_VERTICES:
        raise VolumeError(
            f"the head has only {len(head.vertices)} vertices: too coarse for a volume.",
            object=head.name,
            advice=f"Use a head mesh of at least {LEAST_VERTICES} vertices, or subdivide this one.",
        )
    if len(head.vertices) > _MOST:
        raise VolumeError(
            f"the head has {len(head.vertices)} vertices, more than {_MOST}.",
            object=head.name,
            advice="Decimate it, disable its subdivision modifier, or choose the face as a vertex group.",
        )


def target_edges(vertices: NDArray, outer: NDArray, landmarks: Landmarks, edge: float) -> NDArray[np.float64]:
    """Desired edge lengths (n,) [m]: `edge` on face and ears, growing to twice that behind, below and inside."""
    local, p, k = landmarks.frame.into(vertices), landmarks.points, landmarks.scale
    ear = 0.5 * (p["ear_left"][2] + p["ear_right"][2])
    behind = (ear - 0.02 * k - local[:, 2]) / (0.03 * k)
    below = (p["menton"][1] - 0.005 * k - local[:, 1]) / (0.025 * k)
    above = (local[:, 1] - p["sellion"][1] - 0.055 * k) / (0.03 * k)
    grown = np.clip(np.maximum(np.maximum(behind, below), above), 0, 1)
    return edge * np.where(outer, 1 + (_COARSE - 1) * grown, _COARSE)


def fingerprint(
    surfaces: list[Surface | None],
    settings: VolumeSettings,
    groups: dict[str, NDArray] | None = None,
    hints: Hints | None = None,
) -> str:
    """Changes whenever any input of the template changes; of the hints, the head bone's and what was set by hand."""
    digest = hashlib.sha256(repr(_told(settings)).encode())
    for surface in surfaces:
        if surface is None:
            digest.update(b"none")
            continue
        digest.update(np.ascontiguousarray(surface.vertices, np.float32).tobytes())
        digest.update(np.ascontiguousarray(surface.triangles, np.int32).tobytes())
    for name, weights in sorted((groups or {}).items()):
        digest.update(name.encode() + np.ascontiguousarray(weights, np.float32).tobytes())
    for known in (hints.upright, hints.up, hints.front) if hints is not None else ():
        if known is not None:
            digest.update(np.asarray(known, np.float32).tobytes())
    return digest.hexdigest()


def _told(settings: VolumeSettings) -> tuple:
    """The settings for the fingerprint; volumes of before there was a choice of skulls stay valid."""
    return astuple(settings) if settings.skull != THICKNESS else astuple(settings)[:2]


def refined_skin(
    head: Surface, welded: NDArray, main: NDArray, welded_to: NDArray, landmarks: Landmarks, edge: float
) -> Skin:
    """The refined skin; where fairing would make it intersect itself, with plain edge midpoints."""
    share = openness(head.vertices, welded)
    target = target_edges(head.vertices, visible(share, welded), landmarks, edge)
    refinement = refine(head.vertices, welded, target)
    body = main[refinement.parent]
    surface = refinement.triangles[body]
    matrix, smooth = refinement.matrix, np.ones(refinement.matrix.shape[0])
    neighbours = averaging(refinement.triangles, len(smooth))
    for _ in range(_UNFOLD_ROUNDS):
        meeting = intersecting_pairs(matrix @ head.vertices, surface)
        folded = np.zeros(len(smooth))
        folded[surface[np.unique(meeting)]] = 1.0
        folded[: len(head.vertices)] = 0.0
        if not (folded * smooth).any():
            break
        smooth = np.minimum(smooth, 1 - np.minimum(1.0, folded + neighbours @ folded))
        matrix = blend(refinement, smooth)
    everyone = np.concatenate([welded_to, np.arange(len(welded_to), len(smooth))])
    outer = visible(refinement.linear @ share, refinement.triangles)
    return Skin(matrix @ head.vertices, refinement.triangles, body, matrix, refinement.linear, outer, everyone)


def _bones(
    closed: NDArray,
    surface: NDArray,
    skin: Skin,
    landmarks: Landmarks,
    jaw: Surface | None,
    cranium: Surface | None,
    chosen: str,
    notes: list[str],
) -> tuple[Skull, Skull | None, Landmarks]:
    """Jaw and cranium clear of the skin and of each other; if they are registered, the whole ones, of which mouth bag
    and sockets cut a part off; and the landmarks, better ones if a registration gives them. Adds to the notes."""
    outer = np.zeros(len(closed), bool)
    outer[: len(skin.outer)] = skin.outer
    shown = surface[outer[surface].all(1)]
    # A mouth bag may reach far into the head: an artist's skull surrounds it rather than lying in the closed skin.
    tree = TriangleTree(closed, np.concatenate([shown, fan_caps(shown)]))
    for own in (jaw, cranium):
        said = check_bone(own, tree) if own is not None else ""
        notes += [said] if said else []
    spacing, whole = CRANIUM_SPACING, None
    if chosen == REGISTERED and (jaw is None or cranium is None):
        found = register_skull(closed, shown, landmarks)
        inside, doubt = None, found.doubt
        if not doubt:
            up, owned = landmarks.frame.rotation[1], (jaw is not None, cranium is not None)
            inside, doubt = kept_inside(jaw or found.jaw, cranium or found.cranium, tree, up, owned)
        if doubt:
            notes.append(f"No real skull was used, because {doubt}.")
        else:
            notes.append(f"Registered a real skull to the skin, which it fits to {1000 * found.error:.1f} mm.")
            jaw, cranium, spacing, whole = jaw or found.jaw, cranium or found.cranium, _FINE, inside
            landmarks = found.regions(landmarks)
    placed = [name for name, own in (("jaw", jaw), ("cranium", cranium)) if own is None]
    if placed:
        notes.append(f"Placed by tissue thickness: {' and '.join(placed)}.")
    skull = place_skull(closed, surface, outer[surface].all(1), landmarks, jaw, cranium, spacing)
    for name, triangles in (("jaw", skull.jaw_triangles), ("cranium", skull.cranium_triangles)):
        if not len(triangles):
            notes.append(f"There is no room for a {name} inside this head.")
    return _cleared(closed, surface, skull), whole, landmarks


def _cleared(closed: NDArray, surface: NDArray, skull: Skull) -> Skull:
    """Shrinks bone where it still touches skin or the other bone."""
    jaw, cranium = skull.jaw_vertices, skull.cranium_vertices
    for _ in range(_CLEAR_ROUNDS):
        vertices, triangles = _together(
            [(closed, surface), (jaw, skull.jaw_triangles), (cranium, skull.cranium_triangles)]
        )
        pairs = intersecting_pairs(vertices, triangles)
        meeting = np.zeros(len(vertices), bool)
        meeting[triangles[np.unique(pairs)]] = True
        first, second = len(closed), len(closed) + len(jaw)
        if not meeting[first:].any():
            break
        jaw = jaw - _CLEAR_STEP * meeting[first:second, None] * vertex_normals(jaw, skull.jaw_triangles)
        cranium = cranium - _CLEAR_STEP * meeting[second:, None] * vertex_normals(cranium, skull.cranium_triangles)
    return Skull(jaw, skull.jaw_triangles, cranium, skull.cranium_triangles)


def _fill(
    outside: NDArray, surface: NDArray, skull: Skull, settings: VolumeSettings, kept: int
) -> Job[tuple[NDArray[np.float64], NDArray[np.int32]]]:
    """Tetrahedra between a closed surface and the bones; the first `kept` vertices stay first, used or not."""
    vertices, triangles = _together(
        [
            (outside, surface),
            (skull.jaw_vertices, skull.jaw_triangles),
            (skull.cranium_vertices, skull.cranium_triangles),
        ]
    )
    pairs = intersecting_pairs(vertices, triangles)
    if len(pairs):  # TetGen would reject them, or never end
        raise VolumeError(f"skin and bone meet in {len(pairs)} places")
    used = np.unique(triangles)
    compact = np.zeros(len(vertices), np.int64)
    compact[used] = np.arange(len(used))
    points, tets = yield from tetrahedralize(vertices[used], compact[triangles], time_limit=settings.time_limit)
    first = np.arange(kept)
    rest = used[used >= kept]
    number = np.empty(len(points), np.int64)
    number[: len(used)] = np.where(used < kept, used, kept + np.searchsorted(rest, used))
    number[len(used) :] = kept + len(rest) + np.arange(len(points) - len(used))
    return np.concatenate([vertices[first], vertices[rest], points[len(used) :]]), number[tets].astype(np.int32)


def _together(parts: list[tuple[NDArray, NDArray]]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Several surfaces (vertices, triangles) as one."""
    starts = np.cumsum([0] + [len(v) for v, _ in parts])
    triangles = [np.asarray(t, np.int64) + start for (_, t), start in zip(parts, starts[:-1], strict=True)]
    return np.concatenate([v for v, _ in parts]), np.concatenate(triangles).astype(np.int32)
