# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds a finished demo against its promises: `python tests/check_demo.py build/demo`. Exits with 1 where one fails.

Not a pytest file: the demo takes minutes and downloads its character, so it runs after the tests (.ci/run).
"""

import json
import math
import struct
import sys
from pathlib import Path

# Name in report.json, smallest and largest value allowed. Times are not held here: they depend on the machine's load.
LIMITS = [
    ("frames", 150, math.inf),
    ("penetration_mm.before.max", 1, 15.5),  # the tracked hands really penetrate
    ("penetration_mm.after.p95", 0, 0.3),
    ("penetration_mm.after.avoidable.max", 0, 2.0),  # where bone permits
    ("rest_error_mm", 0, 0.001),
    ("bake_error_mm", 0, 0.1),
    ("inverted_tets", 0, 0),
    ("volume_ratio.p1", 0.5, 1.05),
    ("volume_ratio.p99", 0.95, 2.0),
]
# The network beside the physics is there and says something; how good it gets is `make bench-net`'s to tell.
NETWORK = ("rmse_mm.all", "rmse_mm.deformed", "rmse_mm.contact", "ms_per_frame.p50")
# Skin follows a hand into the head, by up to 15 mm, and is dragged along a little; what moves further is torn.
LARGEST_DISPLACEMENT_MM = 30.0
SMALLEST_PICTURE = (800, 400)  # pixels


def look_up(report: dict, name: str) -> float:
    """The number at a dotted name; nan if it is not there, which no limit lets pass."""
    value: object = report
    for key in name.split("."):
        value = value.get(key, math.nan) if isinstance(value, dict) else math.nan
    return float(value) if isinstance(value, int | float) else math.nan


def broken_promises(folder: Path) -> list[str]:
    """One sentence for each promise that the demo in `folder` does not keep."""
    broken = []
    for name in ("demo.blend", "contact-sheet.png", "network-strip.png", "demo.mp4", "report.json"):
        path = folder / name
        if not path.is_file() or path.stat().st_size < 1000:
            broken.append(f"{path} is missing or empty.")
    if not (folder / "report.json").is_file():
        return broken
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for name, low, high in LIMITS:
        value = look_up(report, name)
        if not low <= value <= high:
            broken.append(f"{name} is {value:g}; it must lie within {low:g} and {high:g}.")
    for name in NETWORK:
        if not math.isfinite(look_up(report, f"network.{name}")):
            skipped = report.get("network", {}).get("skipped", "it is not there")
            broken.append(f"network.{name} is not a number: {skipped}.")
    manifest = folder / "demo.nephim" / "simulation.json"
    if manifest.is_file():
        statistics = json.loads(manifest.read_text(encoding="utf-8"))["statistics"]
        moved = [numbers["displacement_mm"] for numbers in statistics]
        if not all(value <= LARGEST_DISPLACEMENT_MM for value in moved):  # also where one is nan
            worst = max(range(len(moved)), key=lambda k: moved[k])
            broken.append(f"In frame number {worst + 1} the skin moves by {moved[worst]:.0f} mm.")
    for sheet in (folder / "contact-sheet.png", folder / "network-strip.png"):
        if not sheet.is_file():
            continue
        width, height = struct.unpack(">II", sheet.read_bytes()[16:24])  # PNG: the header chunk begins with the size
        if width < SMALLEST_PICTURE[0] or height < SMALLEST_PICTURE[1]:
            broken.append(f"{sheet} has only {width}x{height} pixels.")
    return broken


if __name__ == "__main__":
    failures = broken_promises(Path(sys.argv[1]))
    for failure in failures:
        print(f"demo: {failure}")
    print("demo: all figures are as promised" if not failures else f"demo: {len(failures)} figures are not as promised")
    sys.exit(bool(failures))
