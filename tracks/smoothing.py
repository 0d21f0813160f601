# SPDX-License-Identifier: GPL-3.0-or-later
"""Jitter of captures, and a low-pass filter without delay that does not blur the moments of contact."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import TrackError
from .checks import Take
from .face_capture import FaceCapture
from .track import HEAD, LEFT, RIGHT, Track

_ORDER = 2  # forwards and backwards: the fourth order that biomechanics uses for markers (Winter 2009)
_TOUCH, _RELEASE = 0.001, 0.003  # [m] below and above which contact begins and ends: apart by more than usual jitter
_NEAR = 0.02  # [m] beyond which no distance is asked for
_BENEATH = 0.007  # [m] landmarks of fingertips lie about so deep in them
_SHORTEST = 4  # frames; what is shorter cannot be filtered
_MEASURED = 1000  # vertices that jitter is measured at; more say the same
_AT_ONCE = 1000  # vertices that are filtered together, to save memory


def jitter(vertices: NDArray) -> float:
    """How far vertices (f, n, 3), a thousand of them evenly, jump about a smooth path, RMS in their unit; 0 for fewer
    than four frames.

    From third differences over time, which smooth motion leaves near zero, and in which independent noise of standard
    deviation s has √20 s.
    """
    if len(vertices) < 4:
        return 0.0
    some = vertices[:, :: -(-vertices.shape[1] // _MEASURED)]
    third = np.diff(some.astype(np.float64), 3, axis=0)
    return float(np.sqrt((third**2).sum(2).mean() / 20))


def contact_changes(head: NDArray, triangles: NDArray, hand: NDArray, beneath: float = 0.0) -> list[int]:
    """Frames in which contact of a hand (f, n, 3) with the head (f, m, 3) and its triangles (t, 3) begins or ends: the
    first frame of the new state.

    A hand touches as long as a vertex of it is less than a millimetre above the skin, or inside. It must go further
    away than three in between, or it has touched all the time: jitter is no end of a contact. beneath: how deep in the
    hand its vertices lie [m].
    """
    gap = _gaps(head, triangles, hand) - beneath
    touches = np.flatnonzero(gap < _TOUCH)
    if not len(touches):
        return []
    away = np.flatnonzero(gap > _RELEASE)
    # Between one touch and the next, has it been away?
    parted = np.searchsorted(away, touches[1:]) > np.searchsorted(away, touches[:-1])
    begins, ends = [touches[0], *touches[1:][parted]], [*(touches[:-1][parted] + 1), touches[-1] + 1]
    return sorted({int(frame) for frame in [*begins, *ends]} - {0, len(head)})


def _gaps(head: NDArray, triangles: NDArray, hand: NDArray) -> NDArray[np.float64]:
    """Smallest distance (f,) of a hand's vertices from the skin [m], negative inside, infinite if it is far away."""
    from ..sim.geometry.triangle_bvh import TriangleTree  # loads numba

    tree, gap = TriangleTree(head[0], triangles), np.full(len(head), np.inf)
    for frame, (skin, fingers) in enumerate(zip(head, hand, strict=True)):
        low, high = skin.min(0) - _NEAR, skin.max(0) + _NEAR
        near = fingers[((fingers > low) & (fingers < high)).all(1)]
        if len(near):
            tree.refit(skin)
            distance, _, _, sign = tree.closest(near, _NEAR)
            gap[frame] = (distance * sign).min()
    return gap


def low_pass(vertices: NDArray, cut_off: float, frame_rate: float, changes: Sequence[int] = ()) -> NDArray[np.float32]:
    """(f, n, 3) filtered by a Butterworth filter, forwards and backwards, so that nothing lags.

    cut_off, frame_rate: [1/s]. changes: frames across which nothing is averaged. Raises ValueError unless the cut-off
    lies between 0 and half the frame rate.
    """
    from scipy.signal import butter, sosfiltfilt  # loads scipy's statistics, which takes a second

    if not 0 < cut_off < 0.5 * frame_rate:
        raise ValueError(f"a cut-off of {cut_off:g} Hz is not between 0 and half the frame rate, {frame_rate / 2:g} Hz")
    sections = butter(_ORDER, cut_off / (0.5 * frame_rate), output="sos")
    result = vertices.astype(np.float32)
    for start, end in zip([0, *changes], [*changes, len(vertices)], strict=True):
        if end - start < _SHORTEST:
            continue
        # Extended oddly, so that the ends stay; by as much as there is, at most a period of the cut-off.
        extent = min(end - start - 1, round(frame_rate / cut_off))
        for first in range(0, vertices.shape[1], _AT_ONCE):
            part = vertices[start:end, first : first + _AT_ONCE].astype(np.float64)
            filtered = sosfiltfilt(sections, part, axis=0, padtype="odd", padlen=extent)
            result[start:end, first : first + _AT_ONCE] = filtered
    return result


def with_jitter(take: Take) -> Take:
    """The take with the jitter of every track measured."""
    return replace(take, tracks=tuple(replace(track, jitter=jitter(track.vertices)) for track in take.tracks))


def smoothed(take: Take, cut_off: float) -> Take:
    """The take through a low-pass filter, between the moments in which contact begins and ends. Raises TrackError."""
    _check_cut_off(cut_off, take.frame_rate)
    surfaces = {role: (track, track.parts.get(role)) for track in take.tracks for role in (track.parts or [track.role])}
    changes: list[int] = []
    for role in (LEFT, RIGHT):
        if HEAD in surfaces and role in surfaces:
            track, inside = surfaces[role]
            beneath = _BENEATH if track.landmarks else 0.0
            head, triangles = _surface(*surfaces[HEAD])
            changes += contact_changes(head, triangles, _vertices(track, inside), beneath)
    changes = sorted(set(changes))
    said, tracks = list(take.said), []
    for track in take.tracks:
        after = low_pass(track.vertices, cut_off, take.frame_rate, changes)
        captured = None
        if track.captured is not None:
            captured = low_pass(track.captured, cut_off, take.frame_rate, changes)
        before, left = jitter(track.vertices), jitter(after)
        text = f"jitter {1000 * before:.2f} mm before, {1000 * left:.2f} mm after"
        said.append(f"{track.name}: smoothed at {cut_off:g} Hz, {text}")
        tracks.append(replace(track, vertices=after, captured=captured, jitter=before, smoothed=(cut_off, left)))
    return replace(take, tracks=tuple(tracks), said=tuple(said))


def _vertices(track: Track, inside: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    return track.vertices if inside is None else track.vertices[:, inside]


def _surface(track: Track, inside: NDArray[np.bool_] | None) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices (f, k, 3) and triangles (t, 3) of a track, or of what lies inside a part of it."""
    assert track.faces is not None
    triangles = track.faces.triangles()
    if inside is None:
        return track.vertices, triangles
    number = np.cumsum(inside) - 1
    return track.vertices[:, inside], number[triangles[inside[triangles].all(1)]].astype(np.int32)


def smoothed_capture(capture: FaceCapture, cut_off: float) -> FaceCapture:
    """A face capture with its weights, and its rotation, through the same filter between the frames that it lacks.

    Weights stay between the lowest and the highest that were captured. Raises TrackError.
    """
    rate = 1 / capture.step
    _check_cut_off(cut_off, rate)
    seen = np.isfinite(capture.weights).all(1)
    # Where a row follows the one before it by a usual step, both belong to one piece.
    apart = np.flatnonzero(~(seen[1:] & seen[:-1] & (np.diff(capture.times) < 1.5 * capture.step))) + 1
    weights = _columns(capture.weights, cut_off, rate, apart, seen)
    weights = np.clip(weights, np.nanmin(capture.weights, 0), np.nanmax(capture.weights, 0))
    rotation = None
    if capture.rotation is not None:
        turned = capture.rotation.copy()
        turned[seen] = np.unwrap(turned[seen], axis=0)
        rotation = _columns(turned, cut_off, rate, apart, seen)
    eyes = capture.eyes
    if eyes is not None:
        eyes = _columns(eyes.reshape(len(eyes), 4), cut_off, rate, apart, seen).reshape(-1, 2, 2)
    before, after = (jitter(values[seen][:, :, None]) for values in (capture.weights, weights))
    note = f"smoothed at {cut_off:g} Hz, jitter of expressions {before:.4f} before, {after:.4f} after"
    return replace(capture, weights=weights, rotation=rotation, eyes=eyes, notes=(*capture.notes, note))


def _columns(values: NDArray, cut_off: float, rate: float, apart: NDArray, seen: NDArray) -> NDArray[np.float64]:
    """Columns (f, k) filtered between the rows `apart`; rows that are not seen stay."""
    filled = np.where(seen[:, None], values, 0.0)  # NaN would spread in pieces of their own
    filtered = low_pass(filled[:, :, None], cut_off, rate, [int(row) for row in apart])[:, :, 0]
    return np.where(seen[:, None], filtered.astype(np.float64), values)


def _check_cut_off(cut_off: float, frame_rate: float) -> None:
    if not 0 < cut_off < 0.5 * frame_rate:
        raise TrackError(
            f"A cut-off of {cut_off:g} Hz cannot be had at {frame_rate:g} frames per second.",
            advice="Give one below half the frame rate; 6 Hz suits hands.",
        )
