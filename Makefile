# SPDX-License-Identifier: GPL-3.0-or-later
# make demo   the whole job on the demo character, into build/demo/
# make test   linters, then the tests with the bpy module, side by side
# make test-all  make test, smoke tests with the libraries of Blender 4.2, and in the real Blender what needs Blender
# make bench-interactions  scripted interactions by every method: table and picture strips, into build/bench/
# make bench-characters  what people really own: each character checked, simulated, pictured, into build/bench-characters/; MODE=reduced
# make bench-skull  jaw and cranium found for heads that were not in the fit: into build/bench/
# make bench-skull PAIRS="FOLDER …"  the same under real skin with its bones; see benchmarks/skull_real.py
# make bench-sim  time, accuracy and quality of a frame, against the baseline and Blender's own: into build/bench-sim/
# make bench-fit  what landmarks of the demo's own motion become with noise, outliers, gaps and few cameras: into build/bench-fit/
# make train-demo  records the demo character and trains the network that comes with the add-on (an hour or more)
# make bench-net   error over time of every method on unseen motions, and that network in detail, into build/network/
# make bench-preview  what the live preview costs in every frame: into build/bench-preview/
# make screenshots  of the real program in a window, from an empty file to baked keys, into docs/images/
# make bench-identities  that network on people it was not trained on, before and after minutes of adaptation
# make extension  zips that Blender installs, for every platform and Python, into dist/
# make lint   only the linters
# make setup  only .venv with what the demo needs; make setup-train adds PyTorch; make setup-test adds the test tools, too
#
# PYTHON         the Python 3.11 that makes .venv
# JOBS           how many tests run side by side, default one a core
# EXTENSION      options of tools/extension.py, as: make extension EXTENSION='--platform this --python 3.13'
# NEPHIM_BLENDER a real Blender to test in; without it tests/real_blender.sh says what it does

SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check
JOBS ?= auto
# 4.5 LTS: the newest long-term Blender whose module runs on Python 3.11.
BPY := bpy>=4.5.15,<4.6
# PyTorch without its libraries for graphics cards: `+cpu` keeps pip from taking the large build from another index.
TORCH := 2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Tests and demo never see the user's own preferences and add-ons.
export BLENDER_USER_RESOURCES := $(CURDIR)/build/resources

.PHONY: demo test test-all lint setup setup-train setup-test clean bench-interactions bench-sim train-demo bench-net \
	bench-identities bench-fit bench-preview bench-skull bench-characters screenshots extension

STARTED := $(shell date +%s)

demo: setup
	@$(RUN) -m nephim demo --out build/demo --assets build/assets
	@$(RUN) -m tools.first_picture build/demo $(STARTED) $(VENV)

# Without the real Blender, even where one is named: it has a part of its own in test-all.
test: lint
	@env -u NEPHIM_BLENDER $(RUN) -m pytest -n $(JOBS) --maxprocesses 8 --dist loadfile

test-all: test
	@tests/oldest_libraries.sh
	@tests/real_blender.sh -m "bpy or blender or smoke"

bench-interactions: setup
	@$(RUN) -m benchmarks.bench_interactions --out build/bench --assets build/assets

bench-characters: setup
	@$(RUN) -m benchmarks.bench_characters --out build/bench-characters --assets build/assets $(if $(MODE),--mode $(MODE))

bench-skull: setup
	@$(RUN) -m benchmarks.bench_skull --out build/bench --assets build/assets $(foreach folder,$(PAIRS),--pairs $(folder))

bench-sim: setup
	@$(RUN) -m benchmarks.bench_sim --out build/bench-sim --assets build/assets

train-demo: setup-train
	@$(RUN) -m benchmarks.train_demo --assets build/assets

bench-net: setup-train
	@$(RUN) -m benchmarks.bench_net --assets build/assets
	@$(RUN) -m benchmarks.net_strips --assets build/assets

bench-identities: setup-train
	@$(RUN) -m benchmarks.bench_identities --assets build/assets

bench-fit: setup-test
	@$(RUN) -m benchmarks.bench_fit --out build/bench-fit --assets build/assets

bench-preview: setup-test
	@$(RUN) -m benchmarks.bench_preview --out build/bench-preview --assets build/assets
	@tests/real_blender.sh -q tests/test_window.py -k redraw

screenshots: setup-test
	@tests/real_blender.sh tests/test_window.py -k empty_file
	@$(RUN) tests/real/to_docs.py

extension: setup build/package/nephim
	@$(RUN) -m tools.extension $(EXTENSION)

lint: setup-test build/package/nephim
	@$(RUN) -m ruff check .
	@cd build/package && ../../$(RUN) -m mypy --config-file ../../pyproject.toml --package nephim

setup: $(VENV)/.ready
setup-train: $(VENV)/.ready-train
setup-test: $(VENV)/.ready-test

# Stamps are written last, so an interrupted set-up starts again.
$(VENV)/.ready: pyproject.toml
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV), once: 1.3 GB with Blender's module"
	@$(INSTALL) --editable . '$(BPY)'
	@touch $@

$(VENV)/.ready-train: $(VENV)/.ready
	@echo "Adding PyTorch to $(VENV), once, for training only: 0.9 GB"
	@if [ "$$(uname -s)" = Linux ]; then \
		$(INSTALL) --retries 0 --timeout 15 --extra-index-url $(TORCH_INDEX) 'torch==$(TORCH)+cpu' 2>/dev/null || { \
			echo "$(TORCH_INDEX) does not answer: installing torch $(TORCH) from pip's own index instead, several GB"; \
			$(INSTALL) 'torch==$(TORCH)'; \
		}; \
	fi
	@$(INSTALL) --editable '.[train]' '$(BPY)'
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready-train
	@echo "Adding the tools of the tests to $(VENV), once: 0.2 GB"
	@$(INSTALL) --editable '.[dev]' '$(BPY)'
	@touch $@

# The repository root is the package, whatever the folder of the checkout is called.
build/package/nephim:
	@mkdir -p build/package
	@ln -sfn ../.. $@

clean:
	rm -rf build dist
