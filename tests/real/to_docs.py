# SPDX-License-Identifier: GPL-3.0-or-later
"""`make screenshots`: the pictures that the window tests left in build/window, smaller, into docs/images."""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
WIDTH, QUALITY = 1280, 85  # as wide as a page shows them; JPEG, because the viewport is shaded
# What the tutorial shows, by the names the tests give to pictures; no file browser, which shows a machine's folders.
SHOWN = (
    "empty-file",
    "demo-character",
    "volume-is-built",
    "live-preview",
    "simulating",
    "baked",
    "cut-away",
    "report",
    "plot",
)
STATUS_BAR = 26  # [px] at the bottom; the plot's says where the test has put its file

for name in SHOWN:
    found = sorted((ROOT / "build" / "window").glob(f"*-{name}.png"))
    if not found:
        raise SystemExit(f"There is no picture '{name}' in build/window: run the window tests first.")
    with Image.open(found[0]) as picture:
        high = picture.height - (STATUS_BAR if name == "plot" else 0)
        shown = picture.convert("RGB").crop((0, 0, picture.width, high))
    small = shown.resize((WIDTH, WIDTH * high // shown.width), Image.Resampling.LANCZOS)
    small.save(ROOT / "docs" / "images" / f"tutorial-{name}.jpg", quality=QUALITY, optimize=True)
    print(f"docs/images/tutorial-{name}.jpg")
