# SPDX-License-Identifier: GPL-3.0-or-later
"""Which reader a path belongs to."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import TrackError
from . import arrays, meshes, point_caches
from .track import ROLES, Faces, Track, refuse

SCENES = (".abc", ".usd", ".usda", ".usdc", ".usdz")  # read by Blender's own importers
KINDS = (".npz", ".npy", ".pc2", ".mdd", *SCENES)


def read_take(path: Path) -> list[Track]:
    """The surfaces in a file or folder. Raises TrackError if it is missing, damaged or of no known kind."""
    if path.is_dir():
        return meshes.read_folder(path)
    if not path.is_file():
        raise TrackError(f"There is no file or folder {path}.", advice="Check the path.")
    kind = path.suffix.lower()
    if kind in (".npz", ".npy"):
        return arrays.read_surfaces(path)
    if kind == ".pc2":
        return [point_caches.read_pc2(path)]
    if kind == ".mdd":
        return [point_caches.read_mdd(path)]
    if kind in meshes.MESHES:
        raise refuse(path, "it is one frame", "Name the folder that holds all of them.")
    raise refuse(path, "it is of no kind that can be imported", f"Known are folders, and {', '.join(KINDS)}.")


def with_models(tracks: Sequence[Track], models: Sequence[Path]) -> list[Track]:
    """The tracks, each without faces given those of the model with as many vertices."""
    faces: dict[int, list[tuple[Path, Faces]]] = {}
    for path in models:
        vertices, of_model = meshes.read_mesh(path)
        faces.setdefault(len(vertices), []).append((path, of_model))
    return [
        replace(track, faces=faces[track.vertices.shape[1]][0][1])
        if track.faces is None and track.vertices.shape[1] in faces
        else track
        for track in tracks
    ]


def with_roles(tracks: Sequence[Track], roles: Sequence[str]) -> list[Track]:
    """The tracks with these roles, in order; none keeps what names say. Raises TrackError if their numbers differ."""
    if not roles:
        return list(tracks)
    if len(roles) != len(tracks):
        names = ", ".join(f"'{track.name}'" for track in tracks)
        raise TrackError(
            f"{len(roles)} roles are given for {len(tracks)} surfaces: {names}.",
            advice="Repeat --role for each surface, in this order.",
        )
    assert set(roles) <= set(ROLES)
    return [replace(track, role=role) for track, role in zip(tracks, roles, strict=True)]
