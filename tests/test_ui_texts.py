# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the sidebar are never cut off: long values stand below their names, wrapped to its width."""

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("bpy")
from nephim.panels.sidebar import entry, wrapped

pytestmark = pytest.mark.bpy
NARROW, WIDE = 220, 700  # pixels of a sidebar
VALUE = "p95 7.73 mm, max 9.64 mm"


class Layout:
    """Stands for Blender's: keeps the labels, and how they share a line."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.splits: list[float] = []
        self.scale_y = 1.0

    def label(self, text: str = "", icon: str = "NONE") -> None:
        self.labels.append(text)

    def split(self, factor: float) -> "Layout":
        self.splits.append(factor)
        return self

    def column(self, align: bool = False) -> "Layout":
        return self


def sidebar(width: int, scale: float = 1.0) -> Any:
    return SimpleNamespace(
        preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=scale)), region=SimpleNamespace(width=width)
    )


def test_a_value_stands_beside_its_name_where_there_is_room():
    layout = Layout()
    entry(sidebar(WIDE), layout, "penetration after", VALUE)
    assert layout.labels == ["penetration after", VALUE]


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_long_value_stands_below_and_is_whole(scale):
    layout, context = Layout(), sidebar(int(NARROW * scale), scale)
    entry(context, layout, "penetration after", VALUE)
    assert layout.labels[0] == "penetration after"
    below = [text for text in layout.labels[1:] if text]
    assert " ".join(below) == VALUE
    assert all(len(line) <= max(20, (NARROW - 45) / 7) for line in below)


def test_lines_are_as_long_as_the_sidebar_is_wide():
    text = "word " * 60
    narrow, wide = (max(map(len, wrapped(sidebar(width), text))) for width in (NARROW, WIDE))
    assert narrow <= (NARROW - 45) / 7 < wide <= (WIDE - 45) / 7
