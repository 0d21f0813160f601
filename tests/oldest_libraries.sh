#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs the smoke tests with the numpy of the oldest Blender and the wheels that the extension has for it, in an
# environment of their own (once, about 0.4 GB): tests/oldest_libraries.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
env=$PWD/build/oldest
if [ ! -e "$env/.ready" ] || [ tools/extension.py -nt "$env/.ready" ]; then
    echo "Oldest libraries: setting up build/oldest"
    read -ra pins < <(.venv/bin/python -c 'from nephim.tools.extension import OLDEST_NUMPY, PYTHONS
print(OLDEST_NUMPY, *PYTHONS[0].pins)')
    rm -rf "$env"
    .venv/bin/python -m venv "$env"
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check "${pins[@]}" pytest hypothesis
    touch "$env/.ready"
fi
mkdir -p build/package
ln -sfn ../.. build/package/nephim
"$env/bin/python" -c 'import numpy, scipy, numba; print("Oldest libraries: numpy", numpy.__version__, "scipy",
    scipy.__version__, "numba", numba.__version__)'
# Another numba would overwrite the compiled loops of .venv, which has the same Python.
export NUMBA_CACHE_DIR=$env/compiled
PYTHONPATH=$PWD/build/package exec "$env/bin/python" -m pytest -m smoke "$@"
