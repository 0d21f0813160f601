# SPDX-License-Identifier: GPL-3.0-or-later
"""How exactly `nephim fit` recovers the demo's own motion from spoilt landmarks: noise, outliers, gaps, few cameras.

Errors are distances in Blender between the armature as animated and as fitted. The last line is JSON.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import nephim
import numpy as np
from nephim.bridge.fit_rig import read_chain_job
from nephim.demo import motion
from nephim.demo import scene as demo
from nephim.operators import fit, setup
from nephim.progress import drive

from .fit_takes import SIDES, TIPS, Truth, read_truth, write_take

_GAP = range(60, 90)  # frames in which no hand is seen, in the take that has gaps
_FRAMES = 300  # that the time is counted for


@dataclass(frozen=True)
class Case:
    """views: cameras, 0 for points in space; noise: [mm]; outliers: share of points; gaps: hands are missing."""

    name: str
    views: int
    noise: float
    outliers: float = 0.1
    gaps: bool = False


CASES = (
    Case("space, exact", 0, 0, 0.0),
    Case("space, 2 mm", 0, 2),
    Case("space, 5 mm", 0, 5),
    Case("space, 2 mm, gaps", 0, 2, gaps=True),
    Case("one camera, exact", 1, 0, 0.0),
    Case("one camera, 2 mm", 1, 2),
    Case("one camera, 5 mm", 1, 5),
    Case("two cameras, 2 mm", 2, 2),
    Case("two cameras, 5 mm", 2, 5),
    Case("sixteen cameras, 2 mm", 16, 2),
    Case("sixteen cameras, 5 mm", 16, 5),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--only", help="cases whose names contain this")
    options = parser.parse_args()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    nephim.register()
    options.out.mkdir(parents=True, exist_ok=True)
    blend = (options.out / "demo.blend").absolute()
    demo.build_demo_scene(next(options.assets.glob("character.npz")))
    scene = bpy.context.scene
    setup.setup(scene, head=demo.HEAD, left=demo.LEFT, right=demo.RIGHT)
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    rig = drive(read_chain_job(scene)).rig
    assert rig.face_points is not None
    rest = mesh_at_rest()
    rows = np.array([int(np.linalg.norm(rest - p, axis=1).argmin()) for p in rig.face_points.rest])
    truth = read_truth(scene, rows)
    results = []
    print(f"{'':24} {'tips':>11} {'joints':>11} {'face':>11}  {'contact':>7} {'time':>6}")
    for case in CASES:
        if options.only is None or options.only in case.name:
            results.append(measured(blend, case, truth, rows, rig.face_indices))
            print(line(results[-1]), flush=True)
    summary = {"cases": results}
    (options.out / "fit.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    print(json.dumps(summary))


def mesh_at_rest() -> Any:
    """The head as modelled, (n, 3) [m]."""
    data = bpy.data.objects[demo.HEAD].data
    flat = np.empty(3 * len(data.vertices), np.float32)
    data.vertices.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def measured(blend: Path, case: Case, truth: Truth, rows: Any, indices: Any) -> dict[str, Any]:
    """One case, from files to the fitted scene."""
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    scene = bpy.context.scene
    given = truth
    if case.gaps:
        gap = np.isin(np.arange(len(truth.points["face"])), _GAP)
        spoilt = {p: np.where((gap & (p in SIDES))[:, None, None], np.nan, x) for p, x in truth.points.items()}
        given = Truth(spoilt, truth.touching)
    with tempfile.TemporaryDirectory() as folder:
        paths, calibration = write_take(
            Path(folder), given, indices, motion.FRAME_RATE,
            views=case.views, noise=1e-3 * case.noise, outliers=case.outliers, seed=1,
        )  # fmt: skip
        report = Path(folder) / "fit.json"
        started, computed = time.perf_counter(), time.process_time()
        drive(fit.fit_job(scene, paths, cameras=calibration, report=report))
        seconds, computed = time.perf_counter() - started, time.process_time() - computed
        figures = json.loads(report.read_text(encoding="utf-8"))
    found = read_truth(scene, rows, contact=False)
    away = {part: 1000 * np.linalg.norm(found.points[part] - x, axis=2) for part, x in truth.points.items()}
    kept = np.ones(len(away["face"]), bool)
    if case.gaps:
        kept[_GAP] = False
    hands = np.concatenate([away[side][kept] for side in SIDES])
    contact = {side: _flags(figures["parts"][side].get("contact", []), len(kept)) for side in SIDES}
    return {
        "case": case.name,
        "tips_mm": spread(hands[:, TIPS]),
        "joints_mm": spread(hands),
        "face_mm": spread(away["face"]),
        "contact_f1": f1(contact, truth.touching, kept),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(computed, 1),  # of all threads; tells more than the time on a busy machine
        "seconds_for_300_frames": round(seconds * _FRAMES / len(kept), 1),
        "gaps": {side: figures["parts"][side]["gaps"] for side in SIDES},
    }


def spread(values: Any) -> dict[str, float]:
    return {"median": round(float(np.median(values)), 2), "p95": round(float(np.percentile(values, 95)), 2)}


def _flags(ranges: list[list[int]], count: int) -> Any:
    flags = np.zeros(count, bool)
    for first, last in ranges:
        flags[first : last + 1] = True
    return flags


def f1(found: dict[str, Any], true: dict[str, Any], kept: Any) -> float:
    """Of frames of contact, both hands together."""
    a, b = (np.concatenate([flags[side][kept] for side in SIDES]) for flags in (found, true))
    return round(float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1)), 3)


def line(result: dict[str, Any]) -> str:
    def shown(name: str) -> str:
        return f"{result[name]['median']:5.2f}/{result[name]['p95']:5.2f}"

    parts = [shown(name) for name in ("tips_mm", "joints_mm", "face_mm")]
    return f"{result['case']:24} {' '.join(parts)}  {result['contact_f1']:7.3f} {result['seconds']:5.1f}s"


if __name__ == "__main__":
    main()
