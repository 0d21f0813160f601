# SPDX-License-Identifier: GPL-3.0-or-later
"""Which reader a path belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import TrackError
from . import arrays, decaf, exported, landmarks, meshes, parameters, point_caches
from .body_models import BodyModel, mended, read_model
from .track import ROLES, Faces, Track, refuse

SCENES = (".abc", ".usd", ".usda", ".usdc", ".usdz")  # read by Blender's own importers
FACE_CAPTURES = ".csv"  # read by `face_capture`: they move a head that is there
KINDS = (".npz", ".npy", ".json", ".pkl", ".pc2", ".mdd", FACE_CAPTURES, *SCENES)


@dataclass(frozen=True)
class Models:
    """What takes may refer to. bodies: models of parameters; faces: by number of vertices; said: what was mended."""

    bodies: tuple[BodyModel, ...] = ()
    faces: Mapping[int, Faces] = field(default_factory=dict)
    said: tuple[str, ...] = ()


def read_models(paths: Sequence[Path]) -> Models:
    """Meshes (OBJ, PLY) and body models (pkl, npz). Raises TrackError."""
    bodies, faces = [], {}
    for path in paths:
        if path.suffix.lower() in meshes.MESHES:
            vertices, of_mesh = meshes.read_mesh(path)
            faces[len(vertices)] = of_mesh
        else:
            bodies.append(read_model(path))
    good, said = mended(bodies)
    return Models(tuple(good), {**{len(body.template): body.faces for body in good}, **faces}, tuple(said))


def read_take(path: Path, models: Models | None = None) -> list[Track]:
    """The surfaces in a file or folder, those without faces given the model's with as many vertices.

    Raises TrackError if it is missing, damaged or of no known kind.
    """
    models = models or Models()
    return [
        replace(track, faces=models.faces.get(track.vertices.shape[1])) if track.faces is None else track
        for track in _read(path, models)
    ]


def _read(path: Path, models: Models) -> list[Track]:
    if path.is_dir():
        return meshes.read_folder(path)
    if not path.is_file():
        raise TrackError(f"There is no file or folder {path}.", advice="Check the path.")
    kind = path.suffix.lower()
    if kind == ".npz":
        found = arrays.read_npz(path)
        if exported.is_exported(found):
            return exported.exported_tracks(path, found)
        if parameters.has_parameters(found) and not {"vertices", "pred_vertices"} & set(found):
            return parameters.pose_tracks(path, found, models.bodies)
        hands = landmarks.landmark_names(found)
        rest = {name: array for name, array in found.items() if name not in hands}
        tracks = landmarks.landmark_tracks(path, landmarks.read_landmarks(path)) if hands else []
        return tracks + (arrays.surfaces_among(path, rest) if not hands or arrays.has_surfaces(rest) else [])
    if kind == ".npy":
        tracks = arrays.read_surfaces(path)
        if landmarks.landmark_names({path.stem: tracks[0].vertices}):
            return landmarks.landmark_tracks(path, landmarks.read_landmarks(path))
        return tracks
    if kind == ".json":
        return landmarks.landmark_tracks(path, landmarks.read_landmarks(path))
    if kind == ".pkl":
        return decaf.read_decaf(path, models.bodies)
    if kind == ".pc2":
        return [point_caches.read_pc2(path)]
    if kind == ".mdd":
        return [point_caches.read_mdd(path)]
    if kind in meshes.MESHES:
        raise refuse(path, "it is one frame", "Name the folder that holds all of them.")
    raise refuse(path, "it is of no kind that can be imported", f"Known are folders, and {', '.join(KINDS)}.")


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
