# SPDX-License-Identifier: GPL-3.0-or-later
"""Training in a process of its own: seen, stopped, found again after the file was closed."""

import sys
import time

import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.errors import SimulationError  # noqa: E402
from nephim.operators import background_training as training  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402

pytestmark = pytest.mark.bpy

SPEAKS = """
import time
for k in range(1000):
    print(f'training: {k % 100:3d} %, 3 min left (rollout 0.5 mm)', flush=True)
    time.sleep(0.05)
"""


def wait_for(condition):
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < 20
        time.sleep(0.05)


@pytest.fixture()
def speaking(tmp_path):
    """A saved file with a stand-in for the training that goes on and on."""
    scenes.build()
    save_blend(tmp_path / "face.blend")
    assert training.training() is None
    training.start([sys.executable, "-c", SPEAKS])
    wait_for(lambda: training.training().done > 0)
    yield tmp_path
    if bpy.data.filepath:
        training.stop()


def test_it_is_seen_and_stopped(speaking):
    present = training.training()
    assert present.runs
    assert present.text.startswith("training ") and "rollout 0.5 mm" in present.text
    with pytest.raises(SimulationError, match="already"):
        training.start(["true"])
    assert bpy.ops.nephim.stop_training() == {"FINISHED"}
    assert not training.training().runs
    assert not bpy.ops.nephim.stop_training.poll()


def test_it_is_found_again_after_the_file_was_closed(speaking):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert training.training() is None
    bpy.ops.wm.open_mainfile(filepath=str(speaking / "face.blend"))
    before = training.training()
    assert before.runs
    wait_for(lambda: training.training().done > before.done)


def test_what_it_said_last_is_kept(tmp_path):
    scenes.build()
    save_blend(tmp_path / "face.blend")
    code = "print('training:  99 %'); print('nephim: There is no trained network. Train it.')"
    training.start([sys.executable, "-c", code])
    wait_for(lambda: "Train it" in training.training().text)
    assert not training.training().runs


def test_the_command_is_that_of_the_command_line(tmp_path):
    from nephim import cli

    command = training.training_command(tmp_path / "a.blend", 2.5, 7, True)
    arguments = command[command.index("nephim") + 1 :]
    named = str(tmp_path / "a.blend") in arguments
    parsed = cli.build_parser(file_needed=named).parse_args(arguments)
    assert (parsed.verb, parsed.minutes, parsed.sequences, parsed.scratch) == ("train", 2.5, 7, True)


def test_greyed_out_with_a_reason(tmp_path):
    scenes.build()
    assert not bpy.ops.nephim.start_training.poll()
