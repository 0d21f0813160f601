# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs TetGen on the surfaces in one npz file and writes the tetrahedra to another; a separate program.

TetGen is native code that can abort or hang on bad input, so `tetrahedra.py` starts this file in a child process.
Arguments: INPUT.npz OUTPUT.npz (after `--` when Blender runs it).
"""

import sys

import numpy as np


def main(source: str, target: str) -> None:
    """INPUT: vertices (n, 3), triangles (m, 3), switches. OUTPUT: vertices, tets."""
    import tetgen

    with np.load(source, allow_pickle=False) as stored:
        vertices, triangles, switches = stored["vertices"], stored["triangles"], str(stored["switches"])
    mesh = tetgen.TetGen(np.ascontiguousarray(vertices), np.ascontiguousarray(triangles, dtype=np.int32))
    mesh.tetrahedralize(switches=switches)
    np.savez(target, vertices=np.asarray(mesh.node), tets=np.asarray(mesh.elem)[:, :4].astype(np.int32))


if __name__ == "__main__":
    main(*(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])[:2])
