# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test marked `bpy` starts from a fresh empty file with the add-on registered; without bpy it is skipped."""

import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Side by side (pytest -n), each worker computes on one thread, as there is a worker for every core, and has Blender
# settings of its own. Libraries read this when they load, hence here.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:
    for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    resources = Path(os.environ.get("BLENDER_USER_RESOURCES", ROOT / "build" / "resources")) / WORKER
    os.environ["BLENDER_USER_RESOURCES"] = str(resources)

# One or two of each area, marked `smoke`: that the libraries for another Python compute as well is seen from these.
SMOKE = {
    "test_physics.py": {"test_pressing_leaves_no_penetration_and_no_inversion", "test_a_fast_swipe_does_not_tunnel"},
    "test_surface_pbd.py": {"test_a_push_removes_most_penetration_and_stays_local"},
    "test_volume_template.py": {"test_every_tetrahedron_has_volume_and_together_they_fill_the_head"},
    "test_multifrontal.py": {"test_a_grid_is_solved_to_single_precision"},
    "test_solver.py": {
        "test_affine_motion_is_reproduced_in_the_volume",
        "test_contacts_push_hold_and_slide_as_coulomb_says",
    },
    "test_nn_runtime.py": {"test_contact_moves_skin_only_nearby_and_within_bounds"},
    "test_nn_weights.py": {"test_what_was_saved_is_loaded"},
    "test_measure.py": {"test_sphere_in_sphere_depths", "test_decaf_measures"},
    "test_triangle_bvh.py": {"test_sign_and_winding_number_tell_inside_from_outside"},
    "test_skull_model.py": {"test_a_linear_truth_is_found_for_an_unseen_person_wherever_it_stands"},
    "test_threads.py": {"test_every_part_is_worked_once"},
}


def real_blender() -> str | None:
    """The Blender program: the one that these tests run in, else the one that the environment names."""
    if importlib.util.find_spec("bpy") is not None:
        import bpy

        if bpy.app.binary_path:
            return bpy.app.binary_path
    return os.environ.get("NEPHIM_BLENDER") or None


@pytest.hookimpl(tryfirst=True)  # before `-m smoke` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if getattr(item, "originalname", item.name) in SMOKE.get(item.path.name, ()):
            item.add_marker(pytest.mark.smoke)
    if importlib.util.find_spec("bpy") is None:
        for item in items:
            if item.get_closest_marker("bpy"):
                item.add_marker(pytest.mark.skip(reason="there is no bpy module"))
    if real_blender() is None:
        for item in items:
            if item.get_closest_marker("blender"):
                item.add_marker(pytest.mark.skip(reason="NEPHIM_BLENDER names no Blender program"))


@pytest.fixture(scope="session")
def registered():
    """The add-on registered once, as Blender does at its start."""
    import nephim

    nephim.register()
    yield nephim
    nephim.unregister()


@pytest.fixture(autouse=True)
def fresh_file(request: pytest.FixtureRequest):
    """An empty file that was never saved, for tests marked `bpy`."""
    if request.node.get_closest_marker("bpy") is None:
        yield
        return
    import bpy

    request.getfixturevalue("registered")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    yield


@pytest.fixture(scope="session")
def blender_program() -> str | None:
    """The real Blender program; None where there is none (not in tests marked `blender`)."""
    return real_blender()


@pytest.fixture(scope="session")
def demo_assets() -> Path:
    """The demo character's archive, fetched once into build/assets; tests are skipped where it cannot be had."""
    from nephim.demo.assets import fetch_character_data
    from nephim.errors import NephimError
    from nephim.progress import drive

    try:
        return drive(fetch_character_data(ROOT / "build" / "assets"))
    except NephimError as error:
        pytest.skip(str(error))
