# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-preview`: what the live preview costs in every frame, on the demo character.

Writes preview.json into the output folder and prints it: `handler_ms` by mode is the whole handler, `step_ms` the
simulation in it; `read_ms` takes Blender's evaluated meshes to arrays and the result to object space, `write_ms` hands
the result to Blender; each as median (p50) and 95th percentile over all frames, and as median of those in contact.
`redraw_ms`, what the whole window takes to draw, is measured afterwards in the real program (tests/test_window.py), and
null where there is none. An unavailable mode is null.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nephim import register, unregister
from nephim.bridge.cache.manifest import write_json
from nephim.demo.assets import fetch_character_data
from nephim.errors import NephimError
from nephim.progress import drive

FRAMES = range(1, 61)  # a finger comes, presses and strokes the cheek, and leaves
MODES = ("network", "reduced", "physics", "surface")
STAGES = {"all": "handler_ms", "step": "step_ms", "read": "read_ms", "write": "write_ms"}


def build(out: Path, assets: Path) -> Any:
    """The demo scene, saved in `out`, with its volume; what an earlier run left is used again."""
    import bpy
    from nephim.bridge.cache.open_file import folder
    from nephim.bridge.plan import read_plan
    from nephim.operators import demo, volume
    from nephim.operators.save import save_blend

    archive = drive(fetch_character_data(assets))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)
    save_blend(out / "preview.blend")
    drive(demo.add_demo_job(archive=archive))
    scene = bpy.context.scene
    try:
        volume.load_volume(_neutral(scene), read_plan(scene))
    except NephimError:
        folder().volume.unlink(missing_ok=True)
        drive(volume.volume_job(scene))
    save_blend()  # for the test in the window
    return scene


def _neutral(scene: Any) -> Any:
    from nephim.bridge.rig import read_rig
    from nephim.bridge.surfaces import SurfaceReader

    return SurfaceReader(scene, read_rig(scene)).neutral()


def play(scene: Any, mode: str) -> dict[str, list[float]] | None:
    """Milliseconds of every frame by stage, and 'contact' (0 or 1); None where the mode is not there."""
    from nephim.operators import preview

    scene.frame_set(FRAMES.start)
    try:
        drive(preview.preview_job(scene, mode))
    except NephimError as error:
        print(f"{mode}: {error}")
        return None
    running = preview.preview_of(scene)
    times: dict[str, list[float]] = {name: [] for name in (*STAGES, "contact")}
    for frame in FRAMES:
        scene.frame_set(frame)
        for name in STAGES:
            times[name].append(running.times[name][-1])
        times["contact"].append(float(len(running.result.contacts) > 0))
    drive(preview.preview_job(scene, "off"))
    return times


def figures(played: dict[str, dict[str, list[float]] | None]) -> dict[str, Any]:
    """The JSON object: by stage and mode, p50 and p95 of all frames and the p50 of those in contact [ms]."""

    def numbers(times: dict[str, list[float]], stage: str) -> dict[str, float]:
        every, touching = np.array(times[stage]), np.array(times["contact"]) > 0
        found = {"p50": float(np.median(every)), "p95": float(np.percentile(every, 95))}
        return found | ({"contact_p50": float(np.median(every[touching]))} if touching.any() else {})

    return {
        key: {mode: None if times is None else numbers(times, stage) for mode, times in played.items()}
        for stage, key in STAGES.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What the live preview costs in every frame.")
    parser.add_argument("--out", type=Path, default=Path("build/bench-preview"))
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parsed = parser.parse_args(arguments)
    register()
    try:
        scene = build(parsed.out.absolute(), parsed.assets.absolute())
        head = scene.nephim.head
        result = figures({mode: play(scene, mode) for mode in parsed.modes}) | {
            "head_vertices": len(head.data.vertices),
            "frames": len(FRAMES),
            "cores": os.cpu_count(),
            "redraw_ms": None,
        }
    finally:
        unregister()
    write_json(parsed.out / "preview.json", result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
