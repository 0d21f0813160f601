# SPDX-License-Identifier: GPL-3.0-or-later
# make demo   the whole job on the demo character, into build/demo/
# make test   linters, then the tests with the bpy module, then the same tests in the real Blender
# make bench-interactions  scripted interactions by every method: table and picture strips, into build/bench/
# make bench-skull  jaw and cranium found for heads that were not in the fit: into build/bench/
# make bench-sim  time, accuracy and quality of a frame, against the baseline and Blender's own: into build/bench-sim/
# make train-demo  records the demo character and trains the network that comes with the add-on (an hour or more)
# make bench-net   that network against the physics on unseen motions, into build/network/
# make bench-preview  what the live preview costs in every frame: into build/bench-preview/
# make screenshots  of the real program in a window, from an empty file to baked keys, into docs/images/
# make bench-identities  that network on people it was not trained on, before and after minutes of adaptation
# make extension  zips that Blender installs, for every platform and Python, into dist/
# make setup  only the environment in .venv; make lint only the linters
#
# PYTHON         the Python 3.11 that makes .venv
# EXTENSION      options of tools/extension.py, as: make extension EXTENSION='--platform this --python 3.13'
# NEPHIM_BLENDER a real Blender to test in; without it tests/real_blender.sh says what it does

SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
# 4.5 LTS: the newest long-term Blender whose module runs on Python 3.11.
BPY := bpy>=4.5.15,<4.6
TORCH ?= https://download.pytorch.org/whl/cpu
# Tests and demo never see the user's own preferences and add-ons.
export BLENDER_USER_RESOURCES := $(CURDIR)/build/resources

.PHONY: demo test lint setup clean bench-interactions bench-sim train-demo bench-net bench-identities bench-preview bench-skull screenshots extension

demo: setup
	@$(RUN) -m nephim demo --out build/demo --assets build/assets

# The first part is without the real Blender, which gets the libraries it lacks in the second.
test: lint
	@env -u NEPHIM_BLENDER $(RUN) -m pytest
	@tests/real_blender.sh

bench-interactions: setup
	@$(RUN) -m benchmarks.bench_interactions --out build/bench --assets build/assets

bench-skull: setup
	@$(RUN) -m benchmarks.bench_skull --out build/bench --assets build/assets

bench-sim: setup
	@$(RUN) -m benchmarks.bench_sim --out build/bench-sim --assets build/assets

train-demo: setup
	@$(RUN) -m benchmarks.train_demo --assets build/assets

bench-net: setup
	@$(RUN) -m benchmarks.bench_net --assets build/assets
	@$(RUN) -m benchmarks.net_strips --assets build/assets

bench-identities: setup
	@$(RUN) -m benchmarks.bench_identities --assets build/assets

bench-preview: setup
	@$(RUN) -m benchmarks.bench_preview --out build/bench-preview --assets build/assets
	@tests/real_blender.sh -q tests/test_window.py -k redraw

screenshots: setup
	@tests/real_blender.sh tests/test_window.py -k empty_file
	@$(RUN) tests/real/to_docs.py

extension: setup build/package/nephim
	@$(RUN) -m tools.extension $(EXTENSION)

lint: setup build/package/nephim
	@$(RUN) -m ruff check .
	@cd build/package && ../../$(RUN) -m mypy --config-file ../../pyproject.toml --package nephim

setup: $(VENV)/.ready

# The stamp is written last, so an interrupted set-up starts again.
$(VENV)/.ready: pyproject.toml
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (once, about 800 MB)"
	@# Training needs no graphics card here: the small build first, else the next line would bring the large one.
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --index-url $(TORCH) 'torch>=2.4,<3' || true
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]' '$(BPY)'
	@touch $@

# The repository root is the package, whatever the folder of the checkout is called.
build/package/nephim:
	@mkdir -p build/package
	@ln -sfn ../.. $@

clean:
	rm -rf build dist
