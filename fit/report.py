# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a take was fitted, in numbers and in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fit import FACE, Fitted, PartFit

_SHOWN = 8  # bones in a line
_RESIZED = 0.005  # a scale that differs from 1 by less is not worth a word


def report(fitted: Fitted, names: Sequence[str], rate: float, first: int) -> dict[str, Any]:
    """Everything, as JSON: residuals in millimetres for each frame, null where a part was not seen."""
    parts = {name: _part(part, fitted.contacts.get(name)) for name, part in fitted.parts.items()}
    scale = None if fitted.moved is None else fitted.moved[1]
    return {"take": list(names), "frame_rate": rate, "first_frame": first, "scaled_by": scale, "parts": parts}


def _part(part: PartFit, contact: NDArray[np.bool_] | None) -> dict[str, Any]:
    millimetres = 1000 * part.residual
    seen = np.isfinite(millimetres)
    medians = [float(np.median(row[kept])) if kept.any() else None for row, kept in zip(millimetres, seen, strict=True)]
    found: dict[str, Any] = {
        "frames": len(part.valid),
        "fitted": int(part.valid.sum()),
        "gaps": _ranges(~part.valid),
        "residual_mm": {
            "median": float(np.median(millimetres[seen])) if seen.any() else None,
            "p95": float(np.percentile(millimetres[seen], 95)) if seen.any() else None,
            "per_frame": medians,
        },
        "outliers": part.outliers,
        "bone_lengths": part.lengths,
    }
    if contact is not None:
        found["contact"] = _ranges(contact)
    return found


def _ranges(chosen: NDArray) -> list[list[int]]:
    """First and last of each run of True."""
    steps = np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]]))
    return [[int(a), int(b) - 1] for a, b in zip(np.flatnonzero(steps > 0), np.flatnonzero(steps < 0), strict=True)]


def lines(fitted: Fitted, first: float, step: float) -> list[str]:
    """What people read, a line each; frame k of the take is at the scene's frame first + k · step."""
    said = []
    if fitted.moved is not None:
        scale = fitted.moved[1]
        resized = f" and scaled by {scale:.4g}" if abs(scale - 1) > _RESIZED else ""
        said.append(f"The take lies elsewhere than the character: moved to it{resized}")
    for name, part in fitted.parts.items():
        whole = _part(part, fitted.contacts.get(name))
        residual = whole["residual_mm"]
        text = f"{'face' if name == FACE else f'{name} hand'}: {whole['fitted']} of {whole['frames']} frames"
        if residual["median"] is not None:
            text += f", {residual['median']:.1f} mm from the points (95 %: {residual['p95']:.1f} mm)"
        text += f", {100 * part.outliers:.0f} % outliers"
        if whole["gaps"]:
            text += f"; no keys in {_frames(whole['gaps'], first, step)}"
        if whole.get("contact"):
            text += f"; touches in {_frames(whole['contact'], first, step)}"
        said.append(text)
        if part.lengths:
            low, high = min(part.lengths.values()), max(part.lengths.values())
            said.append(f"{name} hand: the person's bones are {low:.2f} to {high:.2f} times as long as the rig's")
    return said


def _frames(ranges: list[list[int]], first: float, step: float) -> str:
    shown = [f"{first + a * step:.4g}-{first + b * step:.4g}" for a, b in ranges[:_SHOWN]]
    more = f" and {len(ranges) - _SHOWN} more" if len(ranges) > _SHOWN else ""
    return f"frames {', '.join(shown)}{more}"
