# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house: who may import what, how long files are, what Blender is told about the add-on."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sim", "tracks", "fit", "study", "demo", "motions", "nn", "bridge", "pictures", "operators", "panels")
LONGEST_FILE = 400


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return found + ([] if folders else list(ROOT.glob("*.py")))


def everything() -> list[Path]:
    return sources() + sources(*PACKAGES, "tests", "tools", "benchmarks")


def imported(path: Path) -> set[str]:
    """Top-level names of all absolute imports, also those inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", sources("sim", "nn", "tracks", "fit", "study"), ids=lambda p: str(p.relative_to(ROOT)))
def test_physics_and_network_know_no_blender(path):
    assert not imported(path) & {"bpy", "mathutils", "bmesh", "gpu", "bl_ui"}


@pytest.mark.parametrize("path", everything(), ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_short_licensed_and_reads_no_pickle(path):
    text = path.read_text(encoding="utf-8")
    if not text:
        return
    assert text.startswith("# SPDX-License-Identifier: GPL-3.0-or-later\n")
    assert len(text.splitlines()) <= LONGEST_FILE
    assert not imported(path) & {"pickle", "dill", "joblib", "marshal", "shelve"}
    assert "allow_pickle=" + "True" not in text


@pytest.mark.parametrize("path", sources() + sources(*PACKAGES), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_package_calls_itself_by_no_name(path):
    """Blender loads an extension as bl_ext.REPOSITORY.nephim: inside the package imports are relative."""
    assert "nephim" not in imported(path)


def test_importing_the_package_needs_no_blender():
    code = "import sys; sys.modules['bpy'] = None; import nephim, nephim.errors, nephim.progress, nephim.sim.template"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    python = [sys.executable] if "python" in Path(sys.executable).name else ["python3"]
    subprocess.run([*python, "-c", code], check=True, env=environment, cwd=ROOT.parent)


@pytest.mark.bpy
def test_unregistering_leaves_nothing_behind(registered):
    import bpy

    def traces() -> set[str]:
        handlers = {
            f"{name}:{handler.__module__}"
            for name in dir(bpy.app.handlers)
            if isinstance(getattr(bpy.app.handlers, name), list)
            for handler in getattr(bpy.app.handlers, name)
        }
        properties = {
            f"{owner.__name__}.{p}"
            for owner in (bpy.types.Scene, bpy.types.Object, bpy.types.WindowManager)
            for p in dir(owner)
        }
        return {name for name in dir(bpy.types) if "nephim" in name.lower()} | properties | handlers

    with_addon = traces()
    registered.unregister()
    try:
        without = traces()
        assert not [name for name in without if "nephim" in name.lower()]
        assert not hasattr(bpy.types.Scene, "nephim")
    finally:
        registered.register()
    assert traces() == with_addon


def manifest() -> dict:
    return tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))


def test_manifest_and_project_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    import nephim

    assert manifest()["version"] == project["version"] == nephim.__version__
    assert manifest()["id"] == project["name"]
    assert manifest()["license"] == ["SPDX:" + project["license"]]


def extension_tool(program: str | None) -> list[str]:
    """Blender's own extension commands: the program's where there is one, else the same tool beside the bpy module."""
    if program:
        return [program, "-b", "--factory-startup", "--command", "extension"]
    import bpy

    tool = Path(bpy.utils.resource_path("LOCAL")) / "scripts/addons_core/bl_pkg/cli/blender_ext.py"
    return [sys.executable, str(tool)]


@pytest.mark.bpy
def test_blender_accepts_the_extension_and_packs_only_the_package(tmp_path, blender_program):
    import zipfile

    environment = os.environ | {"BLENDER_USER_RESOURCES": str(tmp_path / "user")}
    archive = tmp_path / "nephim.zip"
    run = subprocess.run(
        [*extension_tool(blender_program), "build", "--source-dir", str(ROOT), "--output-filepath", str(archive)],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    run = subprocess.run(
        [*extension_tool(blender_program), "validate", str(archive)], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stdout + run.stderr
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "cli.py", "presets"} | set(PACKAGES) <= tops
    assert not tops & {
        "tests",
        "tools",
        "build",
        "docs",
        "benchmarks",
        "Makefile",
        "pyproject.toml",
        ".venv",
        ".git",
        ".ci",
    }
    assert not [name for name in names if "__pycache__" in name or "egg-info" in name]


def test_every_smoke_test_is_there():
    from conftest import SMOKE

    for name, wanted in SMOKE.items():
        tree = ast.parse((ROOT / "tests" / name).read_text(encoding="utf-8"))
        assert wanted <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


def test_the_tests_are_collected_without_blender_and_pytorch():
    """As with the libraries of the oldest Blender, where an import of bpy in a pure test stops every other test."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(('bpy', 'mathutils', 'torch', 'igl'))); import pytest"
    command = [
        sys.executable,
        "-c",
        f"{blocked}; sys.exit(pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider']))",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
