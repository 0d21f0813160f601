# SPDX-License-Identifier: GPL-3.0-or-later
"""In the real program with a window, by mouse and keyboard on a virtual screen.

Pictures lie in build/window afterwards. From an empty file to baked shape keys they read as a tutorial.
"""

import json
import shutil
import time

import numpy as np
import pytest
from conftest import ROOT
from real.window import Window, missing_tools

pytestmark = [
    pytest.mark.blender,
    pytest.mark.skipif(bool(missing_tools()), reason=f"there is no {', '.join(missing_tools())}"),
]

PICTURES = ROOT / "build" / "window"
BENCH = ROOT / "build" / "bench-preview"
REACTION = 0.5  # [s] within which Esc and Cancel must be seen
SETTINGS = "bpy.context.scene.nephim"
JOBS = "__import__('nephim.operators.jobs').operators.jobs"
PREVIEW = "__import__('nephim.operators.preview').operators.preview"
PLOTS = (
    "[a.spaces.active.image for w in bpy.context.window_manager.windows for a in w.screen.areas"
    " if a.type == 'IMAGE_EDITOR' and a.spaces.active.image]"
)
STATE = "__import__('nephim.operators.state').operators.state"


@pytest.fixture(scope="module")
def window(blender_program, tmp_path_factory, demo_assets):
    folder = tmp_path_factory.mktemp("window")
    data = folder / "datafiles" / "nephim"
    data.mkdir(parents=True)
    shutil.copy(demo_assets, data / "character.npz")
    shutil.rmtree(PICTURES, ignore_errors=True)
    with Window(blender_program, folder, PICTURES) as opened:
        opened.open_tab()
        yield opened


@pytest.fixture()
def small(window, tmp_path, registered):
    """A ball of a head and one finger, in which everything takes seconds; made here, opened in the window."""
    scenes = pytest.importorskip("scenes")
    scene = scenes.build(segments=32, rings=24, right=False)
    scene.nephim.target_edge_mm = 12.0
    path = str(scenes.bpy.path.abspath(str(tmp_path / "small.blend")))
    scenes.bpy.ops.wm.save_as_mainfile(filepath=path)
    window.run(f"bpy.ops.wm.open_mainfile(filepath={path!r}, load_ui=False)")
    window.open_tab()
    return window


def settle(window):
    """Waits until no job runs."""
    time.sleep(0.3)
    window.wait(f"{JOBS}.running is None")


def stop(window):
    window.run("bpy.ops.screen.animation_cancel(restore_frame=False)")


def test_from_an_empty_file_to_baked_shape_keys(window):
    window.picture("empty-file")
    window.press("bpy.ops.nephim.add_demo")  # first click
    window.wait("file_button()")
    window.confirm_file()  # second click
    window.wait(f"{SETTINGS}.head")
    settle(window)
    window.run("tidy()")
    window.picture("demo-character")
    window.press("bpy.ops.nephim.preview(mode='physics'")  # third click
    window.wait(f"{JOBS}.running and {JOBS}.running.progress.done > 0.05")
    window.picture("volume-is-built")
    settle(window)
    window.wait("bpy.context.scene.frame_current >= 32")
    assert window.value("bpy.context.screen.is_animation_playing")
    assert not window.value(f"{PREVIEW}.message(bpy.context.scene)")
    stop(window)
    window.picture("live-preview")
    assert window.value(f"{SETTINGS}.preview_object is not None")
    window.press("bpy.ops.nephim.preview(mode='off'")
    settle(window)

    window.run(f"{SETTINGS}.use_scene_range = False; {SETTINGS}.frame_end = 44; bpy.context.scene.frame_set(1)")
    window.press("bpy.ops.nephim.simulate")
    window.wait(f"{JOBS}.running and {JOBS}.running.left")
    window.picture("simulating")
    settle(window)
    window.picture("simulated")
    window.press("bpy.ops.nephim.bake(to='shape-keys'")
    settle(window)
    assert window.value(f"{SETTINGS}.bake_keys") > 0
    window.run("bpy.context.scene.frame_set(34)")
    window.picture("baked")
    window.press("bpy.ops.nephim.cutaway")
    window.wait("'NePHIM Cutaway' in bpy.data.objects")
    window.run("bpy.ops.object.select_all(action='DESELECT')")
    window.picture("cut-away")
    window.press("bpy.ops.nephim.cutaway")
    window.wait("'NePHIM Cutaway' not in bpy.data.objects")
    window.press("bpy.ops.nephim.report")
    settle(window)
    window.scroll(40)
    window.picture("report")
    window.press("bpy.ops.nephim.plot")
    window.wait(f"{PLOTS}")
    window.picture("plot")
    assert window.value(f"{PLOTS}[0].size[1] > 1000")
    window.run("bpy.ops.nephim.plot()")  # shown already: no further window
    assert window.value("len(bpy.context.window_manager.windows)") == 2
    window.run(
        "with bpy.context.temp_override(window=bpy.context.window_manager.windows[1]): bpy.ops.wm.window_close()"
    )


def test_what_a_redraw_costs(window, small, tmp_path):
    """On the demo character, where `make bench-preview` has left it; noted in its figures."""
    blend, figures = BENCH / "preview.blend", BENCH / "preview.json"
    frames = range(1, 11)
    if figures.is_file():  # how fine the volume is changes nothing of what is drawn
        copy = shutil.copy(blend, tmp_path / "preview.blend")
        window.run(f"bpy.ops.wm.open_mainfile(filepath={str(copy)!r}, load_ui=False); {SETTINGS}.target_edge_mm = 10.0")
        frames = range(20, 50)
    window.run("bpy.ops.nephim.preview(mode='surface', play=False)")
    seconds = window.value(f"redraw_seconds({frames})")
    assert not window.value(f"{PREVIEW}.message(bpy.context.scene)")
    assert len(seconds) == len(frames) and min(seconds) > 0
    if figures.is_file():
        measured = {"p50": 1000 * float(np.median(seconds)), "p95": 1000 * float(np.percentile(seconds, 95))}
        figures.write_text(json.dumps(json.loads(figures.read_text(encoding="utf-8")) | {"redraw_ms": measured}))


def ended_by(window, how):
    """Seconds from the key or click to the end of the job, less what this machine takes to ask Blender anything."""
    asked = time.monotonic()
    window.value("1")
    question = time.monotonic() - asked
    started = time.monotonic()
    if how == "Escape":
        window.key("Escape", pause=0.0)
    else:
        window.click_here()
    window.wait(f"{JOBS}.running is None")
    return time.monotonic() - started - 2 * question


def test_escape_and_cancel_react_at_once(small):
    """While the volume is built, and while frames are simulated; the scene is as it was."""
    before = "[bpy.context.scene.frame_current, [m.show_viewport for o in bpy.data.objects for m in o.modifiers]]"
    state = small.value(before)
    # Far finer than can be built until the key arrives.
    edge = small.value(f"{SETTINGS}.target_edge_mm")
    small.run(f"{SETTINGS}.target_edge_mm = 1.5")
    small.press("bpy.ops.nephim.volume")
    small.wait(f"{JOBS}.running")
    time.sleep(0.7)
    assert ended_by(small, "Escape") < REACTION
    assert small.value(f"{STATE}.volume_state().exists") is False
    small.run(f"{SETTINGS}.target_edge_mm = {edge}")
    small.press("bpy.ops.nephim.volume")
    settle(small)

    # Far more frames than are simulated until the mouse has found the button.
    small.run(f"{SETTINGS}.use_scene_range = False")
    small.run(f"{SETTINGS}.frame_end = 5000")
    for how in ("Escape", "Cancel"):
        small.press("bpy.ops.nephim.simulate")
        small.wait(f"{JOBS}.running and {JOBS}.running.progress.step == 'simulation'")
        time.sleep(1.0)
        if how == "Cancel":
            small.scroll(-40)  # to the top, where progress and Cancel are
            small.find("bpy.ops.nephim.cancel")  # leaves the mouse there
        assert ended_by(small, how) < REACTION, how
        assert small.value(before) == state
    small.run(f"{SETTINGS}.use_scene_range = True")
    small.press("bpy.ops.nephim.simulate")
    settle(small)
    assert small.value(f"{STATE}.cache_state(bpy.context.scene).state") == "valid"


def test_escape_stops_a_comparison_even_while_its_film_is_encoded(small, tmp_path):
    compare = """
window = bpy.context.window_manager.windows[0]
with bpy.context.temp_override(window=window, area=view(), region=sidebar()):
    bpy.ops.nephim.compare("INVOKE_DEFAULT")
"""  # as its button does, in a panel that is closed at first
    small.press("bpy.ops.nephim.volume")
    settle(small)
    x, y, *_ = small.value("place()")
    small.move(x - 400, y + 300)
    small.run(compare)
    small.wait(f"{JOBS}.running and {JOBS}.running.progress.detail == 'encoding'")
    assert ended_by(small, "Escape") < REACTION
    comparison = tmp_path / "small.nephim" / "comparison"
    assert {path.suffix for path in comparison.iterdir()} == {".json", ".png"}
    small.run(compare)
    settle(small)
    assert (comparison / "small.mp4").stat().st_size > 10000 and not list(comparison.glob(".*"))
    # The sheet opens in a window of its own, which would lie over the panel in the tests that follow.
    small.run("with bpy.context.temp_override(window=bpy.context.window_manager.windows[1]): bpy.ops.wm.window_close()")


def test_undo_and_redo_with_the_preview(small):
    small.run("bpy.ops.ed.undo_push(message='before')")
    small.press("bpy.ops.nephim.preview(mode='surface'")
    settle(small)
    small.wait("bpy.context.scene.frame_current > 3")
    stop(small)
    assert small.value(f"{SETTINGS}.head.hide_get()")
    x, y, *_ = small.value("place()")
    small.move(x - 400, y + 300)
    small.key("ctrl+z")
    small.wait(f"{SETTINGS}.preview == 'off'")
    assert not small.value(f"{SETTINGS}.head.hide_get()")
    small.key("ctrl+shift+z")
    small.wait(f"{SETTINGS}.preview == 'surface' and {PREVIEW}._previews")
    small.run("bpy.context.scene.frame_set(6)")
    assert not small.value(f"{PREVIEW}.message(bpy.context.scene)")
    small.press("bpy.ops.nephim.preview(mode='off'")
    settle(small)
    assert small.value("[o.name for o in bpy.data.objects if o.name.startswith('NePHIM')]") == []


def pixels(path):
    with pytest.importorskip("PIL.Image").open(path) as picture:
        return np.asarray(picture.convert("RGB"), int)


def render_still(window, path):
    """Renders frame 6, the strongest contact, and returns its pixels (h, w, 3)."""
    window.run(
        f"scene = bpy.context.scene; scene.frame_set(6); scene.render.filepath = {str(path)!r};"
        "bpy.ops.render.render(write_still=True)"
    )
    return pixels(path)


def test_playback_scrubbing_and_a_render_of_ten_frames(small, tmp_path):
    small.press("bpy.ops.nephim.preview(mode='surface'")
    settle(small)
    small.wait("bpy.context.scene.frame_current == 9")
    small.wait("bpy.context.scene.frame_current == 2")  # the loop
    stop(small)
    for frame in (8, 3, 10, 1, 5):
        small.run(f"bpy.context.scene.frame_set({frame})")
    assert not small.value(f"{PREVIEW}.message(bpy.context.scene)")

    small.run(
        f"bpy.ops.nephim.preview(mode='off'); {SETTINGS}.mode = 'surface';"
        "bpy.ops.nephim.simulate(); bpy.ops.nephim.bake(); bpy.ops.nephim.preview(mode='surface', play=False)"
    )
    assert small.value(f"{SETTINGS}.bake_keys") > 0
    small.run(
        # A window of the render's own would lie over the panel in the tests that follow.
        "bpy.context.preferences.view.render_display_type = 'NONE';"
        "scene = bpy.context.scene; scene.render.engine = 'BLENDER_WORKBENCH'; scene.render.resolution_x = 320;"
        "scene.render.resolution_y = 240; bpy.data.objects['Left'].hide_render = True;"
        "camera = bpy.data.objects.new('C', bpy.data.cameras.new('C'));"
        "camera.location = (0.8, 0, 1.6); camera.rotation_euler = (1.57, 0, 1.57);"  # where the finger presses
        "scene.collection.objects.link(camera); scene.camera = camera;"
        f"scene.render.filepath = {str(tmp_path / 'r')!r};"
        "bpy.ops.render.render('INVOKE_DEFAULT', animation=True)"
    )
    started = time.monotonic()
    while len(list(tmp_path.glob("r*.png"))) < 10:
        assert time.monotonic() - started < 600, small.log()
        time.sleep(0.2)
    small.wait(f"not {PREVIEW}._rendering")
    assert not small.value(f"{PREVIEW}.message(bpy.context.scene)")
    assert small.value(f"{SETTINGS}.preview") == "surface"

    with_preview = pixels(tmp_path / "r0006.png")
    PICTURES.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path / "r0006.png", PICTURES / "rendered-while-previewing.png")
    small.run("bpy.ops.nephim.preview(mode='off')")
    baked = render_still(small, tmp_path / "baked.png")
    small.run("bpy.ops.nephim.unbake()")
    tracked = render_still(small, tmp_path / "tracked.png")
    assert np.abs(with_preview - baked).max() <= 2  # of 255
    assert (np.abs(with_preview - tracked).max(axis=2) > 5).sum() > 50  # the dent is in the picture


def test_loading_goes_on_where_it_was(small, tmp_path):
    small.press("bpy.ops.nephim.preview(mode='surface'")
    small.wait(f"{SETTINGS}.preview_object")
    settle(small)
    stop(small)
    small.run("bpy.ops.wm.save_mainfile()")
    small.run("bpy.ops.wm.revert_mainfile()")
    small.wait(f"{SETTINGS}.preview_object")
    small.run("bpy.context.scene.frame_set(4)")
    assert not small.value(f"{PREVIEW}.message(bpy.context.scene)")


def test_disabling_and_enabling_leaves_nothing_behind(small):
    traces = (
        "[n for n in dir(bpy.types) if 'nephim' in n.lower()] + [h.__module__ for name in dir(bpy.app.handlers)"
        " if isinstance(getattr(bpy.app.handlers, name), list) for h in getattr(bpy.app.handlers, name)"
        " if 'nephim' in h.__module__]"
    )
    enabled = small.value(traces)
    assert enabled
    for _ in range(3):
        small.run("nephim.unregister()")
        assert small.value(traces) == []
        assert not small.value("hasattr(bpy.types.Scene, 'nephim')")
        small.run("nephim.register()")
        assert small.value(traces) == enabled
