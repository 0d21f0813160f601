# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs pytest inside Blender: `blender -b --python-use-system-env --python tests/run_in_blender.py -- ARGUMENTS`."""

import os
import sys

import pytest

arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
code = int(pytest.main(arguments))
sys.stdout.flush()
sys.stderr.flush()
# Blender's own exit would hide pytest's code behind 0, and some versions crash while unloading JIT-compiled code.
os._exit(code)
