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


@pytest.mark.parametrize(
    ("version", "head", "chosen", "skull"),
    [(1, "Head", (), "thickness"), (0, "Head", (), "thickness"), (1, None, (), "registered"),
     (1, "Head", ("skull",), "registered"), (2, "Head", (), "registered")],
)  # fmt: skip
def test_files_from_before_keep_the_skull_that_their_results_were_made_with(version, head, chosen, skull):
    settings = SimpleNamespace(version=version, head=head, skull="registered", is_property_set=chosen.__contains__)
    migration.migrate(settings)
    assert (settings.version, settings.skull) == (migration.VERSION, skull)


@pytest.mark.parametrize(
    ("version", "head", "chosen", "yielding"),
    [(2, "Head", (), False), (1, "Head", (), False), (2, None, (), True), (2, "Head", ("yielding_hands",), True),
     (3, "Head", (), True)],
)  # fmt: skip
def test_files_from_before_keep_rigid_hands(version, head, chosen, yielding):
    settings = SimpleNamespace(version=version, head=head, yielding_hands=True, is_property_set=chosen.__contains__)
    migration.migrate(settings)
    assert (settings.version, settings.yielding_hands) == (migration.VERSION, yielding)


@pytest.mark.bpy
def test_a_scene_made_since_has_the_default_skull(tmp_path):
    import bpy

    settings = bpy.data.scenes.new("Later").nephim
    settings.head = bpy.data.objects.new("Head", bpy.data.meshes.new("Head"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "face.blend"))
    assert (settings.version, settings.skull) == (migration.VERSION, "registered")


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
