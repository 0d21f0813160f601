# SPDX-License-Identifier: GPL-3.0-or-later
"""NumPy's files: arrays read with every size checked before memory is taken, and surfaces found among them."""

import io
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .track import LEFT, RIGHT, Faces, Track, refuse, role_of

LARGEST = 8 << 30  # [bytes] of all arrays of a file: ten minutes of a detailed scan; more is a damaged header
BOMB = 1 << 30  # [bytes] above which an archive must not unpack to 200 times its size; moving surfaces do to a few
BOMB_RATIO = 200
_FACES = ("faces", "face", "triangles", "f", "tris")
_RATES = ("fps", "frame_rate", "framerate", "mocap_framerate", "mocap_frame_rate")
# Arrays (f, n, 3) of these names are no surfaces.
_NOT_SURFACES = ("joint", "landmark", "lmk", "keypoint", "normal", "marker", "deform", "color", "colour", "offset")
_SHOWN = 8  # names in a message
# What zipfile and numpy raise for archives and headers that are damaged or something else.
_DAMAGE = (ValueError, EOFError, LookupError, MemoryError, OverflowError, RuntimeError, SyntaxError, OSError,
           tokenize.TokenError, zipfile.BadZipFile, zlib.error)  # fmt: skip


def read_npy(path: Path) -> NDArray:
    """The array of an npy file. Raises TrackError; objects are refused, nothing is unpickled."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            dtype, shape, fortran = _header(stream)
            _check_size(dtype, shape, size - stream.tell())
            array = np.fromfile(stream, dtype)
    except _DAMAGE as error:
        raise refuse(path, f"it cannot be read ({_reason(error)})") from error
    return array.reshape(shape, order="F" if fortran else "C")


def read_npz(path: Path) -> dict[str, NDArray]:
    """The arrays of an npz file by name. Arrays of Python objects are not read, as that could run code: they come back
    empty, so that whoever needs them can refuse.

    Raises TrackError where the file is damaged, something else, or claims more than it holds.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            items = [item for item in archive.infolist() if item.filename.endswith(".npy")]
            if any(item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for item in items):
                raise ValueError("it is compressed in a way that NumPy does not use")
            claimed = sum(item.file_size for item in items)
            if claimed > LARGEST:
                raise ValueError(f"its arrays claim more than {LARGEST >> 30} GB")
            if claimed > max(BOMB, BOMB_RATIO * path.stat().st_size):
                raise ValueError(f"its {path.stat().st_size} bytes claim to unpack to {claimed}")
            if any(item.compress_size > path.stat().st_size for item in items):
                raise ValueError("it is shorter than it says")
            for item in items:
                with archive.open(item) as member:
                    stream = io.BytesIO(member.read())  # compares the checksum
                dtype, shape, fortran = _header(stream)
                name = item.filename.removesuffix(".npy")
                if dtype.hasobject:
                    found[name] = np.zeros(0, object)
                    continue
                _check_size(dtype, shape, item.file_size - stream.tell())
                array = np.frombuffer(stream.getbuffer(), dtype, offset=stream.tell())
                found[name] = array.reshape(shape, order="F" if fortran else "C")
    except _DAMAGE as error:
        raise refuse(path, f"it cannot be read ({_reason(error)})") from error
    if all(array.dtype.hasobject for array in found.values()):
        raise refuse(path, "it holds no arrays of numbers")
    return found


def _reason(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def _header(stream: io.BufferedIOBase | io.BytesIO) -> tuple[np.dtype, tuple[int, ...], bool]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"version {version} of the format is not one of arrays of numbers")
    return dtype, shape, fortran


def _check_size(dtype: np.dtype, shape: tuple[int, ...], present: int) -> None:
    if dtype.hasobject:
        raise ValueError("it holds Python objects, and reading them could run code")
    size = dtype.itemsize
    for length in shape:
        size *= length
    if size != present or min(shape, default=0) < 0:
        raise ValueError(f"its header claims {size} bytes, but it holds {present}")


def no_numbers(name: str, array: Any) -> str:
    """Why an array of an npz cannot be used, as part of a sentence."""
    if isinstance(array, np.ndarray) and array.dtype.hasobject:
        return f"'{name}' holds Python objects, which are not read, as that could run code"
    return f"'{name}' holds no numbers"


def frame_rate_of(arrays: Mapping[str, NDArray]) -> float | None:
    """The frame rate [1/s] among the arrays; None if there is none."""
    for name in _RATES:
        value = arrays.get(name)
        if value is not None and value.size == 1 and value.dtype.kind in "fiu" and 0 < float(value.ravel()[0]) < 1e5:
            return float(value.ravel()[0])
    return None


def checked_faces(path: Path, array: NDArray, n_vertices: int) -> Faces:
    """Faces (m, 3) or (m, 4) of a surface with so many vertices. Raises TrackError."""
    if array.ndim != 2 or array.shape[1] not in (3, 4) or not len(array) or array.dtype.kind not in "iuf":
        raise refuse(path, f"its faces have shape {array.shape}, where (m, 3) or (m, 4) is expected")
    if not (array.min() >= 0 and array.max() < n_vertices):  # NaN is neither
        raise refuse(path, f"its faces name vertices from {array.min()} to {array.max()}, but it has {n_vertices}")
    return Faces.of(array)


def read_surfaces(path: Path) -> list[Track]:
    """The surface of an .npy. Raises TrackError."""
    array = read_npy(path)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype.kind not in "fiu" or not array.size:
        raise refuse(path, f"its array has shape {array.shape}, where vertices (f, n, 3) are expected")
    return [Track(path.stem, array.astype(np.float32), None, role_of(path.stem))]


def has_surfaces(arrays: Mapping[str, NDArray]) -> bool:
    """Whether `surfaces_among` finds any."""
    return bool(_moving(arrays))


def _moving(arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    return {
        name: array
        for name, array in arrays.items()
        if array.ndim == 3 and array.shape[2] == 3 and array.size and array.dtype.kind in "fiu"
        and not any(word in name.lower() for word in (*_NOT_SURFACES, *_FACES[:3]))
        and array.shape[1] > 3  # rotation matrices (f, 3, 3)
    }  # fmt: skip


def surfaces_among(path: Path, arrays: Mapping[str, NDArray]) -> list[Track]:
    """Surfaces of an .npz: every array (f, n, 3) of numbers, with the faces that go with it.

    `left_vertices` goes with `left_faces`, else with `faces` if those fit. Vertices (f, 778, 3) beside `is_right` are
    those of HaMeR or WiLoR. Raises TrackError.
    """
    moving = _moving(arrays)
    if not moving:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:_SHOWN])
        raise refuse(path, f"it holds no vertices of shape (f, n, 3), but {shapes}")
    tracks = []
    for name, array in moving.items():
        array = array.astype(np.float32)
        side = _of_numbers(path, arrays, "is_right", "right")
        if side is not None and side.size == len(array) and len(moving) == 1:
            tracks += _hands(path, arrays, array, side.ravel() > 0.5)
            continue
        label = name if len(moving) > 1 or role_of(name) else path.stem
        faces = _faces_for(path, arrays, name, array.shape[1])
        tracks.append(Track(label, array, faces, role_of(name) or role_of(path.stem), frame_rate_of(arrays)))
    return tracks


def _faces_for(path: Path, arrays: Mapping[str, NDArray], name: str, n_vertices: int) -> Faces | None:
    role = role_of(name)
    own = [key for key in arrays if role and role_of(key) == role and any(word in key.lower() for word in _FACES[:3])]
    own = [key for key in own if arrays[key].ndim == 2 and arrays[key].dtype.kind in "iu"]
    if own:
        return checked_faces(path, arrays[own[0]], n_vertices)
    shared = next((arrays[key] for key in _FACES if key in arrays), None)
    if shared is None or (role and shared.size and shared.max() >= n_vertices):  # those of another surface
        return None
    return checked_faces(path, shared, n_vertices)


def _of_numbers(path: Path, arrays: Mapping[str, NDArray], *names: str) -> NDArray | None:
    """The first array of these names; None if there is none. Raises TrackError if it holds no numbers."""
    name = next((name for name in names if name in arrays), None)
    if name is not None and arrays[name].dtype.kind not in "fiub":
        raise refuse(path, no_numbers(name, arrays[name]))
    return None if name is None else arrays[name]


def _hands(path: Path, arrays: Mapping[str, NDArray], vertices: NDArray, is_right: NDArray) -> list[Track]:
    """Detections of HaMeR or WiLoR, one hand a row: left hands are right ones, mirrored in x, moved by the camera.

    `frame` or `frame_id` (rows) says which frame a row belongs to; without it, each row is a frame.
    """
    moved = _of_numbers(path, arrays, "pred_cam_t_full", "cam_t", "pred_cam_t")
    given = _of_numbers(path, arrays, "frame", "frame_id")
    given = np.arange(len(vertices)) if given is None else given.ravel()
    if len(given) != len(vertices) or (moved is not None and moved.shape != (len(vertices), 3)):
        raise refuse(path, "its hands, cameras and frames differ in number")
    if not np.ptp(given.astype(np.float64)) < 100 * len(vertices):  # NaN is not
        raise refuse(path, f"its frames reach from {given.min()} to {given.max()} for {len(vertices)} hands")
    frames = given.astype(np.int64)
    frames -= frames.min()
    found = []
    for role, rows in ((LEFT, np.nonzero(~is_right)[0]), (RIGHT, np.nonzero(is_right)[0])):
        if not len(rows):
            continue
        if len(np.unique(frames[rows])) != len(rows):
            raise refuse(path, f"it has several {role} hands in a frame", "Keep one hand of each side a frame.")
        one = np.full((frames.max() + 1, *vertices.shape[1:]), np.nan, np.float32)
        hand = vertices[rows]
        if role == LEFT and "mirrored" not in arrays:
            hand = hand * np.array([-1, 1, 1], np.float32)
        one[frames[rows]] = hand if moved is None else hand + moved[rows, None].astype(np.float32)
        # Cameras look along +z with y down.
        faces = _faces_for(path, arrays, "", vertices.shape[1])
        found.append(Track(role, one, faces, role, frame_rate_of(arrays), 1.0, "-y"))
    return found
