# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated take as one file of plain arrays, for others to learn from. docs/comparison.md describes every array."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..files import atomic_write
from ..progress import Job, Progress
from ..sim.template import Template
from ..sim.tracking import HeadTracking
from ..tracks.exported import CONTACT_BIT, FORMAT
from ..version import VERSION
from .cache.results import ResultReader
from .plan import read_method
from .touching import touching_hands

_STEP = "export"


def export_job(scene: Any, path: Path) -> Job[Path]:
    """Writes the scene's finished simulation as npz, whole or not at all. Raises RigError, SurfaceError, CacheError."""
    with ResultReader(scene) as result:
        rig = result.rig
        template = Template.load(result.folder.volume)
        touching, tracking = touching_hands(rig, template.outer), HeadTracking(template)
        count = len(result.frames)
        arrays: dict[str, NDArray] = {}

        def store(name: str, k: int, value: Any, dtype: type = np.float32) -> None:
            if name not in arrays:
                arrays[name] = np.zeros((count, *np.shape(value)), dtype)
            arrays[name][k] = value

        for k, frame in enumerate(result.frames):
            read = result.read(frame)
            pose = tracking.pose(read.tracked)
            store("head_tracked", k, read.tracked.head)
            store("head_deformed", k, read.skin)
            store("cranium", k, pose.cranium)
            store("jaw", k, pose.cranium @ pose.jaw)
            store("time", k, read.tracked.time, np.float64)
            contact = np.zeros(len(read.skin), np.uint8)
            for side, hand_and_head in touching.items():
                hand = read.hand(side)
                of_skin, of_hand = hand_and_head.find(read.skin, hand)
                contact |= of_skin.astype(np.uint8) * np.uint8(CONTACT_BIT[side])
                store(f"{side}_tracked", k, getattr(read.tracked, side))
                if side in result.cache.manifest.hands:
                    store(f"{side}_deformed", k, hand)
                store(f"{side}_contact", k, of_hand, np.bool_)
                store(f"{side}_missing", k, side in result.reader.missing, np.bool_)
            store("head_contact", k, contact, np.uint8)
            yield Progress(_STEP, 0.9 * (k + 1) / count, f"frame {frame}")
        neutral = result.reader.neutral()
        for role in ("head", "left", "right"):
            surface = getattr(neutral, role)
            if surface is not None:
                arrays[f"{role}_neutral"] = surface.vertices.astype(np.float32)
                arrays[f"{role}_faces"] = surface.triangles.astype(np.int32)
        statistics = result.statistics
    arrays["frames"] = np.array(result.frames, np.int32)
    arrays["fps"] = np.array(result.frame_rate)
    arrays["neutral_frame"] = np.array(rig.neutral_frame, np.int32)
    arrays["format"] = np.array(FORMAT)
    arrays["settings"] = np.array(json.dumps(_settings(scene, result, template, statistics)))
    yield Progress(_STEP, 0.9, "writing")
    with atomic_write(path, f"The take could not be written to {path}", _ADVICE) as stream:
        np.savez_compressed(stream, **arrays)
    yield Progress(_STEP, 1.0)
    return path


_ADVICE = "Free disk space or choose another folder."


def _settings(scene: Any, result: ResultReader, template: Template, statistics: Any) -> dict[str, Any]:
    """How the take was simulated, as plain values."""
    rig, method = result.rig, read_method(scene)
    return {
        "nephim": VERSION,
        "file": Path(bpy.data.filepath).name,
        "unit": "m",
        "up": "+z",
        "mode": method.mode,
        "tissue": method.tissue,
        "interaction": method.interaction,
        **({"yielding_hands": result.cache.manifest.hands} if result.cache.manifest.hands else {}),
        "values": asdict(method.settings()),
        "head": rig.head.label,
        "left": rig.left.label if rig.left else None,
        "right": rig.right.label if rig.right else None,
        "volume": template.fingerprint,
        "skin_vertices": template.n_skin,
        "tets": len(template.tets),
        "versions": result.cache.manifest.versions,
        "statistics": statistics,
    }
