# SPDX-License-Identifier: GPL-3.0-or-later
"""Enabling the add-on, as every start of Blender does, loads no heavy library."""

import subprocess
import sys

import pytest

HEAVY = ("numba", "scipy", "torch", "tetgen")
SCRIPT = f"""
import sys, bpy
before = set(sys.modules)
import nephim
nephim.register()
print("loaded:", *[name for name in {HEAVY} if name in set(sys.modules) - before])
"""


@pytest.mark.bpy
def test_enabling_loads_no_heavy_library():
    bpy = pytest.importorskip("bpy")
    if bpy.app.binary_path:
        pytest.skip("a process of its own is needed, not the program's")
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1].split() == ["loaded:"]
