# SPDX-License-Identifier: GPL-3.0-or-later
"""From tracks as files have them to surfaces in metres, z up, wound outward, without gaps; every change is said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import TrackError
from ..sim.geometry.topology import boundary_loops
from .track import HEAD, LEFT, RIGHT, Faces, Track, role_of_topology

UNITS = {"mm": 0.001, "cm": 0.01, "m": 1.0}
# Largest extents [m] of a surface that is believed: a child's bare face to a head with shoulders, a small hand to a
# hand with forearm, a child to a tall person with raised arms. Each spans less than a factor of ten, the ratio of two
# units, so that at most one unit fits.
_SIZES = {HEAD: (0.13, 0.7), LEFT: (0.09, 0.6), RIGHT: (0.09, 0.6), "": (0.5, 2.8)}
_CALLED = {HEAD: "head", LEFT: "left hand", RIGHT: "right hand", "": "body"}
# Rotations (rows: new x, y, z) that take the named axis to +z, and a face that looks along the other to -y.
_UP = {
    "+z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-z": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "+y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "-y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "+x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
}
_DEFAULT_RATE = 30.0  # of most cameras
_STRETCH = 2.0  # median ratio of edge lengths between frames; skin stretches by a tenth of that
_LONG_GAP = 0.5  # [s] a hand does within it what no interpolation can know


@dataclass(frozen=True)
class Take:
    """Checked surfaces of the same frames. said: what was turned, scaled, flipped, filled or assumed."""

    tracks: tuple[Track, ...]
    frame_rate: float
    neutral: int
    said: tuple[str, ...]

    @property
    def n_frames(self) -> int:
        return len(self.tracks[0].vertices)


def check_take(
    tracks: Sequence[Track], *, frame_rate: float | None = None, units: str | None = None, up: str | None = None
) -> Take:
    """The tracks as a take. units: 'mm', 'cm' or 'm'; up: 'y' or 'z'; frame_rate [1/s]; None finds out.

    `neutral` is the index of the frame in which hands and head are farthest apart. Raises TrackError naming the surface
    and, counted from 0, the frame.
    """
    if not tracks:
        raise TrackError("There is no surface to import.")
    tracks = [_with_role(track, len(tracks)) for track in tracks]
    _check_roles(tracks)
    said: list[str] = [f"{track.name}: {note}" for track in tracks for note in track.notes]
    for track in tracks:
        _check_numbers(track)
    rate = _frame_rate(tracks, frame_rate, said)
    lengths = {len(track.vertices) for track in tracks}
    if len(lengths) > 1:
        counted = ", ".join(f"'{track.name}' {len(track.vertices)}" for track in tracks)
        raise TrackError(f"The tracks differ in length: {counted} frames.", advice="Cut them to the same frames.")
    unit = _unit(tracks, units, said)
    rotation = _rotation(tracks, up, said)
    matrix = (unit * rotation).astype(np.float32)
    done = []
    for track in tracks:
        vertices = _fill_gaps(track, rate, said)
        _check_order(track, vertices)
        faces = track.faces if track.landmarks else _outward(track, vertices[_reference(track)], said)
        captured = None
        if track.captured is not None:
            captured = np.where(np.isfinite(track.captured), track.captured, vertices) @ matrix.T
        done.append(
            replace(
                track, vertices=vertices @ matrix.T, faces=faces, unit=1.0, up="+z", frame_rate=rate, captured=captured
            )
        )
    return Take(tuple(done), rate, _neutral(done), tuple(said))


def _with_role(track: Track, count: int) -> Track:
    if track.parts or track.role:
        return track
    role = role_of_topology(track.vertices.shape[1]) or (HEAD if count == 1 else "")
    if not role:
        raise TrackError(
            f"'{track.name}' may be the head or a hand.",
            advice="Say which it is (--role head, left or right), or name the file or array after it.",
        )
    return replace(track, role=role)


def _check_roles(tracks: Sequence[Track]) -> None:
    taken: dict[str, str] = {}
    for track in tracks:
        for role in track.parts or [track.role]:
            if role in taken:
                raise TrackError(
                    f"'{taken[role]}' and '{track.name}' are both the {_CALLED[role]}.",
                    advice="Give each a role of its own (--role).",
                )
            taken[role] = track.name


def _check_numbers(track: Track) -> None:
    """Shapes, faces, and numbers that are not finite."""
    if track.faces is None:
        raise TrackError(
            f"'{track.name}' has {track.vertices.shape[1]} vertices a frame, but no faces.",
            advice="Name a mesh or model of its topology (--model FILE.obj).",
        )
    if track.vertices.ndim != 3 or track.vertices.shape[2] != 3 or not track.vertices.size:
        raise TrackError(f"'{track.name}' has shape {track.vertices.shape}, where (f, n, 3) is expected.")
    if track.faces.corners.max(initial=-1) >= track.vertices.shape[1]:
        raise TrackError(
            f"'{track.name}' has {track.vertices.shape[1]} vertices, but its faces need "
            f"{track.faces.corners.max() + 1}.",
            advice="Name the mesh or model that it was tracked with (--model).",
        )
    finite = np.isfinite(track.vertices).all(2)
    partly = finite.any(1) & ~finite.all(1)
    if partly.any():
        frame = int(partly.argmax())
        raise TrackError(
            "some vertices are not numbers (NaN).",
            object=track.name,
            frame=frame,
            vertices=np.nonzero(~finite[frame])[0].tolist(),
            advice="Make the whole frame NaN if it was not tracked; it is then filled as a gap.",
        )
    if not finite.any():
        raise TrackError(f"'{track.name}' was tracked in no frame.", advice="Check the export.")


def _frame_rate(tracks: Sequence[Track], wanted: float | None, said: list[str]) -> float:
    found = sorted({track.frame_rate for track in tracks if track.frame_rate})
    if wanted:
        if found and found != [wanted]:
            said.append(f"played at {wanted:g} frames per second, although the file says {found[0]:g}")
        return wanted
    if len(found) > 1:
        raise TrackError(
            f"The tracks have different frame rates: {', '.join(f'{rate:g}' for rate in found)}.",
            advice="Resample them, or say which one is right (--fps).",
        )
    if not found:
        said.append(f"no frame rate in the file: {_DEFAULT_RATE:g} assumed (--fps)")
    return found[0] if found else _DEFAULT_RATE


def _reference(track: Track) -> int:
    """The first tracked frame."""
    return int(np.isfinite(track.vertices[:, 0, 0]).argmax())


def _extent(track: Track) -> float:
    used = track.vertices[_reference(track)][np.unique(track.faces.corners)]  # type: ignore[union-attr]
    return float(np.ptp(used, axis=0).max())


def _unit(tracks: Sequence[Track], units: str | None, said: list[str]) -> float:
    """Metres per unit, the same for all: they were captured together."""
    known = {track.unit for track in tracks if track.unit}
    unit = UNITS[units] if units else next(iter(known)) if len(known) == 1 else None
    candidates = [unit] if unit else list(UNITS.values())
    for track in tracks:
        low, high = _SIZES[track.role]
        extent = _extent(track)
        fitting = [one for one in candidates if low <= one * extent <= high]
        if not fitting:
            as_read = f"{1000 * unit * extent:.0f} mm" if unit else f"{extent:.4g} units"
            raise TrackError(
                f"the {_CALLED[track.role]} is {as_read} large, where {1000 * low:.0f} to {1000 * high:.0f} mm is "
                "expected.",
                object=track.name,
                advice="Say its unit (--units mm, cm or m) or role (--role)." if not units else "Try another --units.",
            )
        candidates = fitting
    name = next((name for name, value in UNITS.items() if value == candidates[0]), f"{candidates[0]:g} m")
    size = 1000 * candidates[0] * _extent(tracks[0])
    if not known:
        said.append(f"unit {name}{'' if units else ' found'}: the {_CALLED[tracks[0].role]} is {size:.0f} mm large")
    return candidates[0]


def _rotation(tracks: Sequence[Track], up: str | None, said: list[str]) -> NDArray[np.float64]:
    known = {track.up for track in tracks if track.up}
    axis, how = f"+{up}", "as given"
    if not up and len(known) == 1:
        axis, how = str(next(iter(known))), "as its format has it"
    elif not up:
        heads = [track for track in tracks if track.role == HEAD]
        if heads:
            axis, how = _up_of_head(heads[0])
        elif all(track.landmarks for track in tracks):
            axis, how = "-y", "as detectors have it; else give --up"
        else:
            axis, how = "+y", "assumed, as there is no head; else give --up z"
    said.append(f"{axis} is up, {how}" + ("" if axis == "+z" else ": turned to z"))
    return np.array(_UP[axis], np.float64)


def _up_of_head(track: Track) -> tuple[str, str]:
    """The axis nearest the way from the cut of the neck to the middle of the head; a closed head's longest axis."""
    assert track.faces is not None
    skin, triangles = track.vertices[_reference(track)].astype(np.float64), track.faces.triangles()
    loops = boundary_loops(triangles)
    middle = skin[np.unique(triangles)].mean(0)
    if loops:
        neck = max(loops, key=lambda loop: np.linalg.norm(np.ptp(skin[loop], axis=0)))
        way = middle - skin[neck].mean(0)
        nearest = int(np.abs(way).argmax())
        return f"{'+' if way[nearest] > 0 else '-'}{'xyz'[nearest]}", "found by the neck"
    tall = np.ptp(skin, axis=0)
    return ("+z" if tall[2] > tall[1] else "+y"), "guessed from the height of the head; else give --up"


def _fill_gaps(track: Track, rate: float, said: list[str]) -> NDArray[np.float32]:
    """Linear between tracked frames, held at the ends."""
    tracked = np.isfinite(track.vertices[:, 0, 0])
    if tracked.all():
        return track.vertices
    frames = np.arange(len(tracked))
    known = frames[tracked]
    after = np.searchsorted(known, frames).clip(0, len(known) - 1)
    before = np.searchsorted(known, frames, side="right").clip(1) - 1
    span = np.maximum(known[after] - known[before], 1)
    share = ((frames - known[before]) / span).clip(0, 1).astype(np.float32)[:, None, None]
    filled = np.where(
        tracked[:, None, None],
        track.vertices,
        track.vertices[known[before]] * (1 - share) + track.vertices[known[after]] * share,
    )
    edges = np.flatnonzero(np.diff(np.concatenate([[True], tracked, [True]]).astype(int)))
    gaps = list(zip(edges[::2], edges[1::2], strict=True))
    longest = max(int(end - start) for start, end in gaps)
    spans = ", ".join(f"{start}-{end - 1}" if end - start > 1 else f"{start}" for start, end in gaps[:6])
    more = " …" if len(gaps) > 6 else ""
    text = f"{track.name}: {int((~tracked).sum())} frames were not tracked and are interpolated ({spans}{more})"
    if longest > _LONG_GAP * rate:
        text += f"; the longest gap lasts {longest / rate:.1f} s: do not trust contact in it"
    said.append(text)
    return filled


def _check_order(track: Track, vertices: NDArray[np.float32]) -> None:
    """Vertices that change places tear all edges apart."""
    assert track.faces is not None
    triangles = track.faces.triangles()
    reference = _edge_lengths(vertices[_reference(track)], triangles)
    smallest = 1e-3 * max(float(np.median(reference)), 1e-12)
    for frame, skin in enumerate(vertices):
        ratio = np.median(np.abs(np.log((_edge_lengths(skin, triangles) + smallest) / (reference + smallest))))
        if ratio > np.log(_STRETCH):
            raise TrackError(
                f"'{track.name}' is torn: its edges differ from the first frame's by a factor of {np.exp(ratio):.1f}.",
                frame=frame,
                advice="The order of its vertices changes, or the faces belong to another mesh. Export with 'keep "
                "vertex order'.",
            )


def _edge_lengths(skin: NDArray, triangles: NDArray) -> NDArray:
    return np.linalg.norm(skin[triangles[:, 0]] - skin[triangles[:, 1]], axis=1)


def _outward(track: Track, skin: NDArray, said: list[str]) -> Faces:
    """Faces turned so that the volume they enclose is positive; seen from their own middle, holes hardly count."""
    assert track.faces is not None
    triangles = track.faces.triangles()
    corners = (skin.astype(np.float64) - skin[np.unique(triangles)].mean(0))[triangles]
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum()
    if volume >= 0:
        return track.faces
    mirrored = ", as mirrored hands are" if track.role in (LEFT, RIGHT) else ""
    said.append(f"{track.name}: it was inside out{mirrored}; its faces are flipped")
    return track.faces.turned()


def _neutral(tracks: Sequence[Track]) -> int:
    """The frame with the largest distance between the boxes' middles of head and nearest hand; 0 without both."""
    middles = {
        role: track.vertices[:, track.parts[role]].mean(1) if track.parts else track.vertices.mean(1)
        for track in tracks
        for role in (track.parts or [track.role])
    }
    hands = [middles[role] for role in (LEFT, RIGHT) if role in middles]
    if HEAD not in middles or not hands:
        return 0
    away = np.min([np.linalg.norm(hand - middles[HEAD], axis=1) for hand in hands], axis=0)
    return int(away.argmax())
