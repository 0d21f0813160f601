# SPDX-License-Identifier: GPL-3.0-or-later
"""OBJ and PLY meshes, and folders of them: one file a frame."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .track import Faces, Track, refuse, role_of

MESHES = (".obj", ".ply")
LARGEST_MESH = 1 << 30  # [bytes] of one file
_PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
_HEADER = 1 << 16  # [bytes] within which a PLY header ends


def read_mesh(path: Path) -> tuple[NDArray[np.float32], Faces]:
    """Vertices (n, 3) and faces of an OBJ or PLY file. Raises TrackError."""
    try:
        if path.stat().st_size > LARGEST_MESH:
            raise refuse(path, f"it is larger than {LARGEST_MESH >> 30} GB")
        data = path.read_bytes()
        vertices, faces = _ply(data) if path.suffix.lower() == ".ply" else _obj(data)
    except (OSError, ValueError, LookupError, OverflowError) as error:
        raise refuse(path, f"it is not a whole mesh ({' '.join(str(error).split())})") from error
    if not len(vertices) or not len(faces.sizes):
        raise refuse(path, "it has no vertices or no faces")
    if faces.sizes.min() < 3 or faces.corners.min() < 0 or faces.corners.max() >= len(vertices):
        raise refuse(path, "its faces name vertices that it does not have, or have fewer than three")
    return vertices, faces


def _obj(data: bytes) -> tuple[NDArray[np.float32], Faces]:
    vertices, polygons = [], []
    for line in data.decode("utf-8", "replace").splitlines():
        if line.startswith("v "):
            vertices.append(line.split()[1:4])
        elif line.startswith("f "):
            corners = [int(corner.split("/")[0]) for corner in line.split()[1:]]
            polygons.append([c - 1 if c > 0 else len(vertices) + c for c in corners])
    return np.array(vertices, np.float32).reshape(-1, 3), Faces.of_polygons(polygons)


def _ply(data: bytes) -> tuple[NDArray[np.float32], Faces]:
    end = data.find(b"end_header", 0, _HEADER)
    if not data.startswith(b"ply") or end < 0:
        raise ValueError("it has no PLY header")
    body = data[data.index(b"\n", end) + 1 :]
    encoding, elements = _ply_header(data[:end].decode("ascii", "replace"))
    reader = _ascii_elements if encoding == "ascii" else _binary_elements
    vertices, faces = np.zeros((0, 3), np.float32), Faces.of_polygons([])
    for name, columns, polygons in reader(body, elements, ">" if encoding.endswith("big_endian") else "<"):
        if name == "vertex":
            vertices = np.stack([columns[axis] for axis in "xyz"], 1).astype(np.float32)
        elif name == "face":
            faces = polygons
    return vertices, faces


Element = tuple[str, int, list[tuple[str, str, str]]]  # name, count, properties (name, type, type of a list's length)


def _ply_header(text: str) -> tuple[str, list[Element]]:
    encoding, elements = "", list[Element]()
    for line in text.splitlines():
        match line.split():
            case ["format", kind, _]:
                encoding = kind
            case ["element", name, count]:
                elements.append((name, int(count), []))
            case ["property", "list", length, kind, name]:
                elements[-1][2].append((name, _PLY_TYPES[kind], _PLY_TYPES[length]))
            case ["property", kind, name]:
                elements[-1][2].append((name, _PLY_TYPES[kind], ""))
    if encoding not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise ValueError("it has no known encoding")
    return encoding, elements


Columns = Iterator[tuple[str, dict[str, NDArray], Faces]]


def _ascii_elements(body: bytes, elements: list[Element], _order: str) -> Columns:
    lines = body.split(b"\n")
    for name, count, properties in elements:
        rows, lines = [line.split() for line in lines[:count]], lines[count:]
        if len(rows) != count:
            raise ValueError("it ends early")
        if name == "face":
            polygons = [[int(c) for c in row[1 : 1 + int(row[0])]] for row in rows]
            if any(len(polygon) != int(row[0]) for polygon, row in zip(polygons, rows, strict=True)):
                raise ValueError("a face ends early")
            yield name, {}, Faces.of_polygons(polygons)
        else:
            columns = {} if any(length for *_, length in properties) else {
                p[0]: np.array([row[i] for row in rows], np.float64) for i, p in enumerate(properties)
            }  # fmt: skip
            yield name, columns, Faces.of_polygons([])


def _binary_elements(body: bytes, elements: list[Element], order: str) -> Columns:
    offset = 0
    for name, count, properties in elements:
        if not any(length for *_, length in properties):
            dtype = np.dtype([(p, order + kind) for p, kind, _ in properties])
            if count * dtype.itemsize > len(body) - offset:
                raise ValueError("it ends early")
            table = np.frombuffer(body, dtype, count, offset)
            offset += count * dtype.itemsize
            yield name, {p: table[p] for p, *_ in properties}, Faces.of_polygons([])
            continue
        polygons = []
        for _ in range(count):
            for p, kind, length in properties:
                size = 1
                if length:
                    size = int(np.frombuffer(body, order + length, 1, offset)[0])
                    offset += np.dtype(length).itemsize
                values = np.frombuffer(body, order + kind, size, offset)
                offset += values.nbytes
                if p in ("vertex_indices", "vertex_index"):
                    polygons.append(values.tolist())
        yield name, {}, Faces.of_polygons(polygons)


def read_folder(folder: Path) -> list[Track]:
    """Files such as `head_0001.obj`, one surface for each name before the number; missing numbers are gaps (NaN).

    Raises TrackError, naming the file, if the number of vertices or the faces change.
    """
    sequences: dict[tuple[str, str], dict[int, Path]] = {}
    for path in sorted(folder.iterdir()):
        found = re.fullmatch(r"(.*?)(\d+)", path.stem)
        if path.suffix.lower() in MESHES and found:
            of_name = sequences.setdefault((found[1].strip("_-. "), path.suffix.lower()), {})
            if int(found[2]) in of_name:
                raise refuse(path, f"frame {int(found[2])} is there twice")
            of_name[int(found[2])] = path
    if not sequences:
        raise refuse(folder, "it holds no numbered OBJ or PLY files", "Name them as head_0001.obj, head_0002.obj.")
    return [_sequence(folder, name, files) for (name, _), files in sequences.items()]


def _sequence(folder: Path, name: str, files: dict[int, Path]) -> Track:
    first, last = min(files), max(files)
    if last - first >= 100 * len(files):  # dates or identities, not frames
        raise refuse(folder, f"its {len(files)} files have numbers from {first} to {last}", "Number them by frame.")
    vertices, faces = read_mesh(files[first])
    moving = np.full((last - first + 1, *vertices.shape), np.nan, np.float32)
    for number, path in files.items():
        one, of_one = (vertices, faces) if number == first else read_mesh(path)
        if len(one) != len(vertices):
            raise refuse(
                path,
                f"it has {len(one)} vertices, but {files[first].name} has {len(vertices)}",
                "A take needs one topology: track with a template, or wrap the scans first.",
            )
        if not of_one.same(faces):
            raise refuse(
                path,
                f"its faces differ from those of {files[first].name}, so vertices were renumbered",
                "Export with 'keep vertex order'.",
            )
        moving[number - first] = one
    return Track(name or folder.name, moving, faces, role_of(name) or role_of(folder.name))
