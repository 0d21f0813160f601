# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumetric template of one character (paper, Section 3.2): skin, tissue, jaw and cranium as plain arrays."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..choices import REGIONS
from ..errors import CacheError
from ..files import atomic_write, read_arrays

FORMAT = 1
TISSUE, JAW, CRANIUM = 0, 1, 2
CHEEK, LIPS, SCALP, CARTILAGE = range(len(REGIONS))  # columns of `skin_region`


@dataclass(frozen=True)
class Teeth:
    """Rows of teeth with the bone around them, by which one knows inside from outside. At the neutral frame, faces
    outwards. vertices: (k, 3) world [m]; triangles: (m, 3); crowns: (m,) which of them are teeth; on_jaw: (k,) whether
    the jaw carries a vertex, or the cranium."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    crowns: NDArray[np.bool_]
    on_jaw: NDArray[np.bool_]


@dataclass
class Template:
    """H, S, 𝕁, ℂ at the neutral frame. Positions in world space of the neutral frame, metres.

    The simulation surface H has n_skin vertices, of which the first n_head are the character's own; the volume has n
    vertices and t tetrahedra. A *conforming* volume has H as its first n_skin vertices; otherwise H is embedded in it.
    """

    head_vertices: NDArray[np.float64]  # (n_head, 3) the character's own head vertices
    refinement: csr_matrix  # (n_skin, n_head) H = refinement @ head
    skin_vertices: NDArray[np.float64]  # (n_skin, 3) H as used by the volume (repaired by at most 0.2 mm)
    skin_triangles: NDArray[np.int32]  # (m, 3) without caps
    vertices: NDArray[np.float64]  # (n, 3) of S, 𝕁 and ℂ together
    tets: NDArray[np.int32]  # (t, 4) positive volume
    tet_region: NDArray[np.uint8]  # (t,) TISSUE, JAW or CRANIUM
    vertex_region: NDArray[np.uint8]  # (n,) JAW or CRANIUM if Dirichlet (on or inside bone), else TISSUE
    embedding: csr_matrix  # (n_skin, n) skin = embedding @ vertices
    rim: NDArray[np.bool_]  # (n_skin,) skin held at the tracked surface: at and near the cut of the neck
    outer: NDArray[np.bool_]  # (n_skin,) skin that a hand can reach; mouth bag, nostrils and sockets are not
    tissue_depth: NDArray[np.float64]  # (n_skin,) distance to bone [m]; large if there is none
    bone_direction: NDArray[np.float64]  # (n_skin, 3) unit, towards the nearest bone
    tet_stiffness: NDArray[np.float64]  # (t,) m_t, 1 = cheek
    jaw_vertices: NDArray[np.float64]  # surfaces J and C, for pictures and checks
    jaw_triangles: NDArray[np.int32]
    cranium_vertices: NDArray[np.float64]
    cranium_triangles: NDArray[np.int32]
    conforming: bool = True
    notes: list[str] = field(default_factory=list)  # what was capped, repaired, placed or embedded, to show
    fingerprint: str = ""  # of the surfaces and settings it was built from
    linear: csr_matrix | None = None  # (n_skin, n_head) the point of the character's own surface under each vertex of H
    axes: NDArray[np.float64] | None = None  # (2, 3) unit vectors to the top and the front of the head
    skin_region: NDArray[np.float32] | None = None  # (n_skin, 4) shares of the REGIONS
    teeth: Teeth | None = None  # of a registered skull, where they stand in the mouth

    @property
    def n_head(self) -> int:
        return len(self.head_vertices)

    @property
    def n_skin(self) -> int:
        return len(self.skin_vertices)

    def save(self, path: Path) -> None:
        """Writes the template as an npz of plain arrays, atomically. Raises CacheError if writing fails."""
        arrays: dict[str, NDArray] = {"format": np.array(FORMAT)}
        for f in fields(self):
            value = getattr(self, f.name)
            if value is None:
                continue
            if isinstance(value, csr_matrix):
                arrays |= {
                    f"{f.name}.data": value.data,
                    f"{f.name}.indices": value.indices,
                    f"{f.name}.indptr": value.indptr,
                    f"{f.name}.shape": np.array(value.shape),
                }
            elif isinstance(value, Teeth):
                arrays |= {f"{f.name}.{part.name}": getattr(value, part.name) for part in fields(Teeth)}
            else:
                texts = f.name in ("notes", "fingerprint")
                arrays[f.name] = np.asarray(value, dtype=np.str_ if texts else None)
        advice = "Free disk space or make the folder writable, then build the volume again."
        with atomic_write(Path(path), f"The volume could not be written to {path}", advice) as stream:
            np.savez(stream, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Template":
        """Reads what `save` wrote; nothing in the file is executed. Raises CacheError if it is not such a file."""
        advice = "Build the volume again."
        try:
            stored = read_arrays(path)
            if int(stored["format"]) != FORMAT:
                raise CacheError(f"{path} was written by another version of NePHIM.", advice=advice)
            values: dict = {}
            for f in fields(cls):
                if f"{f.name}.data" in stored:
                    values[f.name] = csr_matrix(
                        (stored[f"{f.name}.data"], stored[f"{f.name}.indices"], stored[f"{f.name}.indptr"]),
                        shape=tuple(stored[f"{f.name}.shape"]),
                    )
                elif f"{f.name}.on_jaw" in stored:
                    values[f.name] = Teeth(*(stored[f"{f.name}.{part.name}"] for part in fields(Teeth)))
                elif f.name in stored or f.default is not None:  # an older volume lacks what may be None
                    values[f.name] = stored[f.name]
        except FileNotFoundError:
            raise CacheError(f"There is no volume at {path}.", advice="Build the volume first.") from None
        except (OSError, KeyError, ValueError) as error:
            raise CacheError(f"{path} is not a volume that NePHIM can read ({error}).", advice=advice) from error
        values["conforming"] = bool(values["conforming"])
        values["notes"] = [str(n) for n in values["notes"]]
        values["fingerprint"] = str(values["fingerprint"])
        return cls(**values)
