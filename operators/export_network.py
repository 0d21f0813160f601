# SPDX-License-Identifier: GPL-3.0-or-later
"""Export of the network: what a game engine needs to run it."""

from pathlib import Path
from typing import Any

from ..bridge.plan import read_plan, weights_path
from ..bridge.surfaces import SurfaceReader
from ..progress import Job, Progress, aside, call
from .volume import load_volume


def export_network_job(scene: Any, folder: Path) -> Job[Path]:
    """Writes the character's network to `folder`, see `nn/export.py`.

    Raises SimulationError without a network, with one of another character, and without the package onnx; RigError,
    SurfaceError and CacheError as the simulation does.
    """
    from ..nn.export import export_job
    from ..nn.onnx_model import require_onnx
    from ..nn.runtime import Network
    from ..nn.weights import Weights

    plan = read_plan(scene)
    weights, rig = Weights.load(weights_path()), plan.rig
    require_onnx()
    with SurfaceReader(scene, rig) as reader:
        surfaces = reader.neutral()
    template = load_volume(surfaces, plan)

    def network() -> Network:
        rate = plan.method.frame_rate
        return Network(template, weights, left=surfaces.left, right=surfaces.right, frame_rate=rate)

    parts = {side: part for side in ("head", "left", "right") if (part := getattr(rig, side)) is not None}
    made = yield from aside(call(Progress("export", 0.0, "preparing"), network))
    objects: dict[str, Any] = {side: part.label for side, part in parts.items()}
    if rig.head_bone is not None:
        objects["head_bone"] = ":".join(rig.head_bone)
    mesh = {side: part.indices for side, part in parts.items()}
    return (yield from aside(export_job(made, folder, mesh, objects=objects, metres_per_unit=rig.scale)))


def summary(folder: Path) -> str:
    """A summary in one line."""
    from ..nn.export import ARRAYS, NETWORK, NOTE

    size = sum((folder / name).stat().st_size for name in (NETWORK, ARRAYS, NOTE))
    return f"Exported {NETWORK}, {ARRAYS} and {NOTE} to {folder}: {size / 1e6:.1f} MB."
