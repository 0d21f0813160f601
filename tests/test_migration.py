# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings carry the version that they are meant for, and older ones are migrated when a file is opened."""

from types import SimpleNamespace

import pytest
from nephim import migration


def test_steps_are_taken_in_order_and_once():
    settings = SimpleNamespace(version=1, edge_mm=4.0)
    steps = {
        0: lambda s: pytest.fail("it is past that"),
        1: lambda s: setattr(s, "edge", 1e-3 * s.edge_mm),
        2: lambda s: setattr(s, "edge", 2 * s.edge),
    }
    assert migration.migrate(settings, 4, steps) == ""  # version 3 changed nothing
    assert (settings.version, settings.edge) == (4, 0.008)
    migration.migrate(settings, 4, steps)
    assert settings.edge == 0.008


def test_settings_of_a_newer_version_are_left_alone_and_said():
    settings = SimpleNamespace(version=7)
    assert "newer version" in migration.migrate(settings, 4, {})
    assert settings.version == 7


@pytest.mark.bpy
def test_a_file_carries_the_version_and_is_migrated_when_it_is_opened(tmp_path, monkeypatch):
    import bpy
    from nephim import handlers

    path = str(tmp_path / "face.blend")
    bpy.context.scene.nephim.tissue = "firm"
    later = bpy.data.scenes.new("Later")
    assert (bpy.context.scene.nephim.version, later.nephim.version) == (migration.VERSION, 0)
    bpy.ops.wm.save_as_mainfile(filepath=path)
    assert later.nephim.version == migration.VERSION

    monkeypatch.setattr(handlers, "migrate", lambda settings: "")  # as the first version saved it
    bpy.context.scene.nephim.version = 0
    bpy.ops.wm.save_as_mainfile(filepath=path)
    monkeypatch.undo()
    bpy.ops.wm.open_mainfile(filepath=path)
    assert (bpy.context.scene.nephim.version, bpy.context.scene.nephim.tissue) == (migration.VERSION, "firm")


@pytest.mark.bpy
def test_a_file_of_a_newer_version_says_so_in_the_sidebar(tmp_path):
    import bpy
    from nephim.operators import problems

    path = str(tmp_path / "face.blend")
    bpy.context.scene.nephim.version = migration.VERSION + 1
    bpy.ops.wm.save_as_mainfile(filepath=path)
    problems.forget()
    bpy.ops.wm.open_mainfile(filepath=path)
    assert problems.last is not None and "Update the add-on" in str(problems.last)
    problems.forget()
