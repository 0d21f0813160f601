# SPDX-License-Identifier: GPL-3.0-or-later
"""A character's network for other programs: Φ as ONNX, everything else as plain arrays with their meaning.

docs/export-network.md says how a frame is computed from these files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..files import atomic_write
from ..progress import Job, Progress
from ..version import VERSION
from .contact_field import BLEND, FOLLOWED, PLANE, REACH, ROUNDS
from .controls import STATIC, WIDTHS
from .distance_grid import CELL, MARGIN
from .features import CHANGE_UNIT, COUNT, DEPTH_UNIT, FRAME_UNIT, MOTION_UNIT, STATE_UNIT
from .lag import LONGEST, TOUCHING
from .onnx_model import INPUT, OUTPUT, onnx_model
from .recurrence import CLEAR, CLEAR_SECONDS, FELT, FURTHEST, LEAST_DECAY, NOTHING
from .runtime import RATES, Network
from .weights import Weights

FORMAT = 1
NETWORK, ARRAYS, NOTE = "network.onnx", "arrays.npz", "arrays.json"
_ADVICE = "Free disk space or choose another folder."
_COORDINATES = (
    "Blender's world space at the neutral frame: right-handed, Z up, metres. The cranium's frame has the same axes and "
    "origin, and moves with the cranium."
)


class _Array(NamedTuple):
    values: NDArray[Any]
    unit: str
    meaning: str


def export_job(network: Network, folder: Path, mesh: Mapping[str, NDArray], **notes: Any) -> Job[Path]:
    """Writes `network.onnx`, `arrays.npz` and, last, `arrays.json` to `folder`, each whole or not at all.

    mesh: by "head", "left" and "right", which vertices of the object's mesh the surface's are.
    notes: what else is noted. Returns the folder. Raises SimulationError if the package onnx is missing, and CacheError
    if a file cannot be written.
    """
    yield Progress("export", 0.0, "network")
    model = onnx_model(network.weights)
    arrays = _arrays(network, mesh)
    note = {**_note(network, arrays), **notes}
    for done, name in enumerate((NETWORK, ARRAYS, NOTE), 1):
        yield Progress("export", done / 4, name)
        with atomic_write(folder / name, f"{folder / name} could not be written", _ADVICE) as stream:
            if name == NETWORK:
                stream.write(model)
            elif name == ARRAYS:
                np.savez(stream, **{key: array.values for key, array in arrays.items()})
            else:
                stream.write(json.dumps(note, indent=1, ensure_ascii=False).encode())
    yield Progress("export", 1.0)
    return folder


def _arrays(network: Network, mesh: Mapping[str, NDArray]) -> dict[str, _Array]:
    """Everything a frame is computed from besides Φ, by name: float32, int32 and int16."""
    controls, field, weights = network.controls, network.field, network.weights
    found = {
        **_surfaces(network, mesh),
        "control_vertices": _Array(controls.vertices, "", "the skin vertex that each control is"),
        "control_points": _Array(controls.points, "m", "neutral positions of the controls"),
        "control_frames": _Array(controls.frames, "", "rows: each control's two tangents and its outward normal"),
        "control_static": _Array(controls.static, "", "features that never change: " + ", ".join(STATIC)),
        **_rows("decode", controls.decode, "displacement of the skin from that of the controls"),
        "near_start": _Array(field.start, "", f"rows of near_index: controls within {1e3 * REACH:g} mm along the skin"),
        "near_index": _Array(field.index, "", "controls near each control"),
    }
    for k, (near, width) in enumerate(zip(controls.neighbours, WIDTHS, strict=True)):
        text = f"neighbourhood {k} of each control, {1e3 * width:g} mm wide"
        found |= {
            f"neighbours{k}_start": _Array(near.start, "", f"rows of neighbours{k}_index: {text}"),
            f"neighbours{k}_index": _Array(near.index, "", "controls in it"),
            f"neighbours{k}_moments": _Array(near.moments, "", "their weight, weight × x and weight × y"),
        }
    found |= {
        "hand_triangles": _Array(field.triangles, "", "of the hands together, caps included; wound outwards"),
        "hand_cover": _Array(field.cover, "", "how much of a control each hand vertex covers"),
        "grid_low": _Array(field.grid.low, "m", "position of the first sample of the grid"),
        "grid_distance": _Array(field.grid.distance, "m", "distance to the neutral skin, negative inside"),
        "grid_control": _Array(field.grid.control, "", "control nearest to the sample's foot on the skin, −1: none"),
        "feature_low": _Array(weights.low, "", "least value of each feature in training"),
        "feature_high": _Array(weights.high, "", "largest value of each feature in training"),
    }
    return {name: array._replace(values=_plain(array.values)) for name, array in found.items()}


def _surfaces(network: Network, mesh: Mapping[str, NDArray]) -> dict[str, _Array]:
    """Head and hands as they enter a frame, and the skin as it leaves it."""
    template, hands = network.template, network.hands
    of_mesh = [mesh[side][kept] for side, kept in zip(hands.sides, hands.kept, strict=True)]
    sides = np.array([("left", "right").index(side) for side in hands.sides])
    return {
        "head_neutral": _Array(template.head_vertices, "m", "the head's own vertices at the neutral frame"),
        "head_mesh_vertices": _Array(mesh["head"], "", "which vertex of the head object's mesh each one is"),
        "head_fitted": _Array(
            network.tracking.fitted, "", "head vertices that move with the cranium, for heads without a bone"
        ),
        "hand_neutral": _Array(hands.vertices, "m", "hand vertices at the neutral frame, left hand first"),
        "hand_mesh_vertices": _Array(np.concatenate(of_mesh), "", "which vertex of its hand object's mesh each one is"),
        "hand_side": _Array(sides[hands.owner], "", "the hand that a vertex belongs to: 0 left, 1 right"),
        "skin_triangles": _Array(template.skin_triangles, "", "of the skin, wound outwards"),
        **_rows("refine", template.refinement, "the skin's vertices from the head's own, which come first"),
    }


def _rows(name: str, matrix: csr_matrix, meaning: str) -> dict[str, _Array]:
    matrix = matrix.tocsr()
    return {
        f"{name}_start": _Array(matrix.indptr, "", f"rows of {name}_index and {name}_weight: {meaning}"),
        f"{name}_index": _Array(matrix.indices, "", "columns of the entries"),
        f"{name}_weight": _Array(matrix.data, "", "values of the entries"),
    }


def _plain(values: NDArray) -> NDArray:
    """float32, int16 as it is, or int32."""
    if values.dtype.kind == "f":
        return np.ascontiguousarray(values, np.float32)
    return np.ascontiguousarray(values, np.int16 if values.dtype == np.int16 else np.int32)


def _note(network: Network, arrays: Mapping[str, _Array]) -> dict[str, Any]:
    """What `arrays.json` says."""
    weights, (low, high) = network.weights, network.weights.frame_rates
    return {
        "format": FORMAT,
        "program": f"NePHIM {VERSION}",
        "coordinates": _COORDINATES,
        "frame_rate": network.frame_rate,
        "frame_rates": [low / RATES, high * RATES],
        "counts": {
            "head": network.template.n_head,
            "skin": network.template.n_skin,
            "hands": len(network.hands.vertices),
            "controls": len(network.controls),
            "features": COUNT,
        },
        "constants": {
            name: {"value": float(value), "unit": unit, "meaning": meaning}
            for name, (value, unit, meaning) in _constants(weights).items()
        },
        "network": {
            "file": NETWORK,
            "input": {"name": INPUT, "shape": ["controls", COUNT]},
            "output": {"name": OUTPUT, "shape": ["controls", 3], "unit": "m"},
            "parameters": weights.parameters,
            "origin": weights.origin,
        },
        "arrays": {
            name: {
                "shape": list(array.values.shape),
                "dtype": str(array.values.dtype),
                "unit": array.unit,
                "meaning": array.meaning,
            }
            for name, array in arrays.items()
        },
    }


def _constants(weights: Weights) -> dict[str, tuple[float, str, str]]:
    """Value, unit and meaning by the names that docs/export-network.md uses."""
    return {
        "alpha": (weights.alpha, "", "share of the last displacement that a frame begins with"),
        "beta": (weights.beta, "", "share of its last change that is added"),
        "cell": (CELL, "m", "distance of the grid's samples"),
        "margin": (MARGIN, "m", "distance from the skin up to which hands are felt, and from which depths count"),
        "reach": (REACH, "m", "distance from a hand vertex's foot to the controls that sense it"),
        "blend": (BLEND, "m", "distance over which the skin's displacement is averaged for a hand vertex"),
        "rounds": (ROUNDS, "", "how often a hand vertex is looked up on the skin of the last frame"),
        "plane": (PLANE, "m", "distance from a hand vertex up to which its tangent plane stands for the hand"),
        "followed": (FOLLOWED, "m", "displacement from which on skin is looked for beyond the margin"),
        "touching": (round(float(TOUCHING), 9), "m", "near from which on a hand touches"),
        "longest_lag": (round(float(LONGEST), 9), "m", "lag at which skin slips"),
        "felt": (FELT, "m", "depth or near from which on a hand wakes the controls around"),
        "furthest": (FURTHEST, "m", "largest displacement"),
        "nothing": (NOTHING, "m", "displacement below which it is set to zero"),
        "least_decay": (
            LEAST_DECAY,
            "",
            "largest share of a displacement that is left after frame_unit without a hand",
        ),
        "clear": (CLEAR, "m", "distance of the nearest hand from which on it holds nothing"),
        "clear_seconds": (CLEAR_SECONDS, "s", "how long it must have been so far away"),
        "depth_unit": (DEPTH_UNIT, "m", "of the features that are depths"),
        "motion_unit": (MOTION_UNIT, "m", "of the features that are motions"),
        "state_unit": (STATE_UNIT, "m", "of the features that are displacements"),
        "change_unit": (CHANGE_UNIT, "m", "of the features that are changes"),
        "frame_unit": (FRAME_UNIT, "s", "of the feature that is a duration"),
    }
