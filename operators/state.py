# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stored on disk for a scene, read cheaply enough for every redraw of the sidebar."""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..bridge.cache.manifest import Manifest
from ..bridge.cache.open_file import folder
from ..bridge.cache.point_cache import CacheStatus, cache_status, manifest_path
from ..bridge.plan import SHIPPED, read_method, weights_path
from ..choices import NETWORK, frame_range
from ..errors import NephimError
from ..files import read_arrays


@dataclass(frozen=True)
class VolumeState:
    """exists: otherwise the rest is empty. facts: lines to show; notes: what was repaired; fingerprint: of its
    inputs."""

    exists: bool
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fingerprint: str = ""


def volume_state() -> VolumeState:
    """The volume beside the open file; only using it checks whether it still fits the mesh."""
    stamp = _stamp(folder().volume) if bpy.data.filepath else None
    return VolumeState(False) if stamp is None else _read_volume(str(folder().volume), stamp)


def cache_state(scene: Any) -> CacheStatus:
    """The point cache against the scene's settings and frames. Simulate and Bake also compare mesh and motion."""
    if not bpy.data.filepath:
        return CacheStatus("missing", 0, "Nothing has been simulated yet.")
    path = folder().cache
    stamp = _stamp(manifest_path(path))
    if stamp is None:
        return CacheStatus("missing", 0, "Nothing has been simulated yet.")
    volume = volume_state()
    if not volume.exists:
        return CacheStatus("stale", 0, "There is no volume any more.")
    try:
        settings = _settings(scene, volume.fingerprint)
    except NephimError as error:
        return CacheStatus("stale", 0, str(error))
    frames = frame_range(scene)
    return _read_status(str(path), stamp, settings, frames.start, frames.stop)


def network_name() -> str:
    """Which network is used: the character's own or the demo's. Raises SimulationError if there is none."""
    return "Comes with the add-on" if weights_path() == SHIPPED else "Trained for this character"


@functools.cache
def has_torch() -> bool:
    """Whether networks can be trained here."""
    return importlib.util.find_spec("torch") is not None


def report_state() -> dict | None:
    """The report beside the open file, if there is one."""
    stamp = _stamp(folder().report) if bpy.data.filepath else None
    return None if stamp is None else _read_report(str(folder().report), stamp)


_last_settings: tuple[tuple, str] = ((), "")


def _settings(scene: Any, volume: str) -> str:
    """The fingerprint of the scene's settings; recomputed only when one has changed."""
    global _last_settings
    method = read_method(scene)
    key: tuple = (method, volume, _stamp(weights_path()) if method.mode == NETWORK else None)
    if key != _last_settings[0]:
        _last_settings = (key, method.fingerprint(volume))
    return _last_settings[1]


def _stamp(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


@functools.lru_cache(maxsize=4)
def _read_volume(path: str, stamp: int) -> VolumeState:
    from ..sim.template import TISSUE

    try:
        stored = read_arrays(Path(path))
        tissue = int((stored["tet_region"] == TISSUE).sum())
        facts = [
            f"{len(stored['tet_region'])} tetrahedra",
            f"{tissue} of them soft tissue",
            f"{len(stored['skin_vertices'])} skin vertices, {len(stored['head_vertices'])} the mesh's own",
            "Tetrahedra end at the skin" if bool(stored["conforming"]) else "Skin embedded in an envelope",
        ]
        depth = stored["tissue_depth"][stored["outer"]]
        facts.append(f"Tissue {1000 * np.percentile(depth, 5):.0f}-{1000 * np.percentile(depth, 95):.0f} mm deep")
        notes = tuple(str(note) for note in stored["notes"])
        return VolumeState(True, tuple(facts), notes, str(stored["fingerprint"]))
    except (OSError, KeyError, ValueError):
        return VolumeState(False)


@functools.lru_cache(maxsize=4)
def _read_status(path: str, stamp: int, settings: str, start: int, stop: int) -> CacheStatus:
    try:
        topology = Manifest.load(manifest_path(Path(path))).topology
    except NephimError as error:
        return CacheStatus("missing", 0, str(error))
    return cache_status(Path(path), topology=topology, settings=settings, frames=range(start, stop))


@functools.lru_cache(maxsize=2)
def _read_report(path: str, stamp: int) -> dict | None:
    import json

    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
