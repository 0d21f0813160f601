# SPDX-License-Identifier: GPL-3.0-or-later
"""An automatic preview: what it runs, when it changes, and that it says so."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import identity

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.rig import read_rig  # noqa: E402
from nephim.operators import preview  # noqa: E402
from nephim.operators.preview_choice import Choice  # noqa: E402
from nephim.operators.save import save_blend  # noqa: E402
from nephim.sim.frame import SimulatedFrame  # noqa: E402

pytestmark = pytest.mark.bpy

DENT = 0.01  # [m]


def no_job(*_):
    yield from ()


class Timed:
    """A stand-in for a simulation, which touches in frames 3 to 40 of every 50."""

    frame_rate = 24.0

    def reset(self):
        pass

    def step(self, frame):
        touches = 3 <= frame.frame % 50 <= 40
        skin = frame.head.copy()
        skin[:10, 2] += DENT * touches
        return SimulatedFrame(skin, frame.head, np.arange(5 * touches, dtype=np.int32), {"ms": 1.0})


@pytest.fixture()
def scene(tmp_path):
    made = scenes.build(segments=32, rings=24)
    save_blend(tmp_path / "face.blend")
    made.frame_end = 400
    yield made
    preview.forget_all()


@pytest.fixture()
def automatic(scene, monkeypatch):
    """The times of the modes [ms], of which `touch` is what is known before any contact, and the modes that were
    made."""
    n_head = len(read_rig(scene).head.indices)
    template = SimpleNamespace(
        refinement=identity(n_head, format="csr"), n_head=n_head, linear=None, outer=np.ones(n_head, bool), teeth=None
    )
    monkeypatch.setattr(preview, "load_volume", lambda *_: template)
    monkeypatch.setattr(preview, "volume_job", no_job)
    times, made = {"physics": 100.0, "reduced": 10.0, "network": 2.0, "touch": 5.0}, []

    def start(method, *_):
        made.append(method.mode)
        yield from ()
        return Timed()

    inner = preview.Preview.update

    def update(self, *arguments):
        inner(self, *arguments)
        self.times["all"][-1] = times[self.mode]  # instead of this machine's

    monkeypatch.setattr(preview, "start_job", start)
    monkeypatch.setattr(preview.Preview, "update", update)
    monkeypatch.setattr("nephim.sim.warm_up.touch", lambda *_: times["touch"])
    return times, made


def play(scene, first, last):
    """The mode that ran in each frame."""
    ran = {}
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        ran[frame] = preview.preview_of(scene).mode
        assert not preview.message(scene)
    return ran


def test_by_default_it_chooses_and_changes_only_at_rest(scene, automatic):
    times, made = automatic
    scene.frame_set(1)
    assert bpy.ops.nephim.preview() == {"FINISHED"}
    assert scene.nephim.preview == "auto" and made == ["physics"]
    assert "until contacts show" in preview.chosen_because(scene)
    ran = play(scene, 2, 45)
    assert made == ["physics", "reduced"]  # prepared once, while the physics still ran
    assert all(ran[frame] == "physics" for frame in range(2, 41)) and ran[42] == "reduced"
    assert preview.chosen_because(scene).startswith("Reduced: physics takes 100 ms in contact, too long for 24")
    assert [line for line in preview.figures(scene) if "reduced" in line]
    assert set(play(scene, 46, 95).values()) == {"reduced"}
    # Another frame rate, at which the physics would keep up, but only just: it stays. At half of that it returns.
    scene.render.fps = 6
    assert set(play(scene, 96, 145).values()) == {"reduced"}
    scene.render.fps = 3
    times["physics"] = 90.0
    assert play(scene, 146, 152)[152] == "physics"
    assert preview.chosen_because(scene) == "Physics, until contacts show whether it keeps up with 3 frames per second."
    play(scene, 153, 195)
    assert preview.chosen_because(scene) == "Physics keeps up with 3 frames per second."


def test_a_jump_is_a_moment_to_change_and_a_manual_choice_wins(scene, automatic):
    scene.frame_set(1)
    bpy.ops.nephim.preview(mode="auto")
    assert play(scene, 2, 20)[20] == "physics"
    scene.frame_set(8)  # in the middle of the contact, but anew
    assert preview.preview_of(scene).mode == "reduced"
    bpy.ops.nephim.preview(mode="physics")
    assert set(play(scene, 9, 60).values()) == {"physics"} and not preview.chosen_because(scene)
    bpy.ops.nephim.preview(mode="off")
    assert not preview.chosen_because(scene) and preview.preview_of(scene) is None


def test_what_a_light_touch_is_too_much_for_is_not_begun_with(scene, automatic):
    times, made = automatic
    times["touch"] = 50.0
    bpy.ops.nephim.preview(mode="auto")
    assert made == ["physics", "reduced"] and preview.preview_of(scene).mode == "reduced"
    times["reduced"] = 80.0  # and no network of this character's: it goes on as well as it can
    play(scene, 2, 45)
    assert preview.preview_of(scene).mode == "reduced"
    said = preview.chosen_because(scene)
    assert said.startswith("Reduced takes 80 ms in contact, too long for 24") and "Train a network" in said


def test_a_network_is_the_last_resort_and_what_cannot_run_is_left_out():
    choice = Choice(["physics", "reduced", "network"], 24.0)
    for mode in ("reduced", "network"):
        for _ in range(12):
            choice.note(60.0)
        assert choice.wanted() == mode
        choice.run(mode)
    choice.exclude("reduced")
    assert choice.wanted() == "network"
    for _ in range(12):
        choice.note(1.0)
    assert choice.wanted() == "network"  # nothing says that the physics has become faster
    for _ in range(24):
        choice.note(0.1)
    assert choice.wanted() == "physics"
