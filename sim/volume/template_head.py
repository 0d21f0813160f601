# SPDX-License-Identifier: GPL-3.0-or-later
"""The template head: a skin with a real skull inside, which any other head can be registered to.

`tools/skull_template.py` makes the file; `presets/skull/README.md` says what it contains, from where, and the licences.
"""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files import read_arrays

PATH = Path(__file__).resolve().parents[2] / "presets" / "skull" / "template_head.npz"


@dataclass(frozen=True)
class TemplateHead:
    """A head in its own frame (lateral to the left, up, front) [m].

    skin_vertices: (n, 3), skin_triangles: (m, 3): the outer skin without ears, open at the neck. jaw_…, cranium_…:
    closed bones. landmarks: (l, 3) named by landmark_names. depth_places: (d, 3) points of the skin under which the
    tissue's usual depth is known, depths: (d,) [m], depth_on_jaw: (d,) whether the bone there is the jaw.
    upper_teeth, lower_teeth: (u, 3), (w, 3) the edges of the rows of teeth, from right to left.
    """

    skin_vertices: NDArray[np.float64]
    skin_triangles: NDArray[np.int32]
    jaw_vertices: NDArray[np.float64]
    jaw_triangles: NDArray[np.int32]
    cranium_vertices: NDArray[np.float64]
    cranium_triangles: NDArray[np.int32]
    landmark_names: tuple[str, ...]
    landmarks: NDArray[np.float64]
    depth_places: NDArray[np.float64]
    depths: NDArray[np.float64]
    depth_on_jaw: NDArray[np.bool_]
    upper_teeth: NDArray[np.float64]
    lower_teeth: NDArray[np.float64]


@cache
def load_template_head(path: Path = PATH) -> TemplateHead:
    """The template that comes with the package, or another file of the same arrays."""
    stored = read_arrays(path)
    values: dict[str, Any] = {f.name: stored[f.name] for f in fields(TemplateHead)}
    values |= {name: value.astype(np.float64) for name, value in values.items() if value.dtype.kind == "f"}
    values["landmark_names"] = tuple(str(name) for name in stored["landmark_names"])
    return TemplateHead(**values)
