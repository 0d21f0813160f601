# SPDX-License-Identifier: GPL-3.0-or-later
"""The zip that users install: what its manifest says, and the whole job with it in an empty profile of real Blender."""

import json
import os
import re
import shutil
import subprocess
import tomllib

import pytest
from conftest import ROOT
from nephim.sim.volume.tetrahedra import python_command
from nephim.tools import extension

BUILDER = ROOT / ".venv" / "bin" / "python"  # has the bpy module, whose tool packs extensions


def root_manifest():
    return tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))


def test_manifest_of_a_zip_says_what_it_is_for():
    python = next(p for p in extension.PYTHONS if p.version == "3.11")
    wheel = ROOT / "scipy-1.15.3-cp311-cp311-win_amd64.whl"
    made = tomllib.loads(extension.toml(extension.manifest_of(root_manifest(), [wheel], python, "windows-x64")))
    assert made["platforms"] == ["windows-x64"]
    assert (made["blender_version_min"], made["blender_version_max"]) == ("4.2.0", "5.1.0")
    assert made["wheels"] == ["./wheels/scipy-1.15.3-cp311-cp311-win_amd64.whl"]
    assert made["license"][0] == "SPDX:GPL-3.0-or-later"
    assert set(made["permissions"]) == {"files"}  # the character is packed: nothing is fetched
    assert made["tagline"] == root_manifest()["tagline"] and made["id"] == "nephim"


def test_every_blender_has_one_zip_and_every_wheel_a_version():
    targets = [(p.version, t) for t in extension.PLATFORMS for p in extension.PYTHONS if extension.exists(p, t)]
    for platform in ("linux-x64", "windows-x64", "macos-arm64"):
        assert {v for v, t in targets if t == platform} >= {"3.11", "3.13"}
    assert ("3.11", "macos-x64") in targets and ("3.13", "macos-x64") not in targets
    for python in extension.PYTHONS:
        names = {pin.split("==")[0] for pin in python.pins}
        assert names == {"scipy", "numba", "llvmlite", "tetgen", "threadpoolctl"}
        assert all(re.fullmatch(r"\w+==[\d.]+", pin) for pin in python.pins)


def test_every_library_of_the_project_is_in_the_zip_or_in_blender():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.match(r"\w+", line)[0] for line in project["dependencies"]}
    for python in extension.PYTHONS:
        assert needed - {pin.split("==")[0] for pin in python.pins} == {"numpy"}


WHEELS = [  # as they lie in the registry, each with the platforms and Pythons it is for
    ("scipy-1.15.3-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "linux-x64", {"3.11"}),
    ("numba-0.68.1-cp314-cp314-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", "linux-x64", {"3.14"}),
    ("tetgen-0.8.4-cp312-abi3-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", "linux-x64", {"3.13", "3.14"}),
    ("scipy-1.17.1-cp313-cp313-win_amd64.whl", "windows-x64", {"3.13"}),
    ("tetgen-0.8.4-cp312-abi3-win_amd64.whl", "windows-x64", {"3.13", "3.14"}),
    ("llvmlite-0.50.0-cp313-cp313-macosx_12_0_arm64.whl", "macos-arm64", {"3.13"}),
    ("tetgen-0.8.4-cp311-cp311-macosx_11_0_arm64.whl", "macos-arm64", {"3.11"}),
    ("scipy-1.15.3-cp311-cp311-macosx_10_13_x86_64.whl", "macos-x64", {"3.11"}),
    ("scipy-1.15.3-cp311-cp311-macosx_14_0_arm64.whl", "", set()),  # does not load on macOS 12
    ("scipy-1.15.3-cp311-cp311-musllinux_1_2_x86_64.whl", "", set()),
    ("scipy-1.15.3-cp311-cp311-manylinux_2_34_x86_64.whl", "", set()),  # newer than the glibc that Blender needs
    ("scipy-1.17.1-cp313-cp313t-win_amd64.whl", "", set()),  # Python without its lock
    ("scipy-1.15.3-cp311-cp311-win32.whl", "", set()),
]


@pytest.mark.parametrize(("name", "platform", "versions"), WHEELS, ids=lambda value: value if "whl" in value else "")
def test_a_wheel_goes_only_into_zips_whose_python_takes_it(name, platform, versions):
    """`fits` against the list of tags that installers go by."""
    packaging = pytest.importorskip("packaging.utils")
    from packaging import tags

    wheel_tags = packaging.parse_wheel_filename(name)[3]
    for target, platforms in extension.PLATFORMS.items():
        for python in extension.PYTHONS:
            version = tuple(map(int, python.version.split(".")))
            taken = {*tags.cpython_tags(version, platforms=platforms, abis=[f"cp{version[0]}{version[1]}"])}
            expected = target == platform and python.version in versions
            assert extension.fits(ROOT / name, python, target) == expected == (not taken.isdisjoint(wheel_tags))
            assert extension.fits(ROOT / "threadpoolctl-3.6.0-py3-none-any.whl", python, target)


@pytest.mark.parametrize("options", [["--blender", "4.3.0"], ["--python", "3.13", "--blender", "4.3"]])
def test_a_zip_for_another_blender_needs_its_version_and_its_python(options, capsys):
    with pytest.raises(SystemExit) as refused:
        extension.main(options)
    assert refused.value.code == 2 and "--blender" in capsys.readouterr().err


class Profile:
    """An empty profile of Blender, with nothing of this checkout in sight."""

    def __init__(self, program, folder):
        self.program = program
        hidden = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")
        self.environment = {name: value for name, value in os.environ.items() if name not in hidden}
        self.environment["BLENDER_USER_RESOURCES"] = str(folder)

    def run(self, *arguments, code=0, network=True):
        """Starts Blender without a window; returns what it said. network=False: where it may be taken away, it is."""
        without = [] if network else ["unshare", "--net"]
        if without and (shutil.which("unshare") is None or subprocess.run([*without, "true"]).returncode):
            without = []
        run = subprocess.run(
            [*without, self.program, "-b", *map(str, arguments)], capture_output=True, text=True, env=self.environment
        )
        said = run.stdout + run.stderr
        assert run.returncode == code, said
        assert "Traceback" not in said, said
        return said


@pytest.fixture(scope="module")
def profile(blender_program, tmp_path_factory):
    """The zip for the real Blender, built, installed and enabled."""
    if not BUILDER.is_file():
        pytest.skip("there is no .venv to build the extension with")
    made = Profile(blender_program, tmp_path_factory.mktemp("profile"))
    said = made.run(
        "--factory-startup", "--python-expr",
        "import bpy, sys; print('python', *sys.version_info[:2]); print('program', *bpy.app.version)",
    )  # fmt: skip
    version = ".".join(re.search(r"python (\d+) (\d+)", said).groups())
    python = next((p for p in extension.PYTHONS if p.version == version), None)
    if python is None:
        pytest.skip(f"there is no zip for Python {version}")
    program = re.search(r"program (\d+) (\d+) (\d+)", said).groups()
    # A distribution's Blender may have another Python than that version of it has elsewhere.
    own = tuple(map(int, program)) < tuple(map(int, python.first.split(".")))
    out = tmp_path_factory.mktemp("dist")
    run = subprocess.run(
        [BUILDER, "-m", "tools.extension", "--platform", "this", "--python", version, "--out", out,
         *(["--blender", ".".join(program)] if own else [])],
        cwd=ROOT, env=made.environment, capture_output=True, text=True,
    )  # fmt: skip
    if "cannot be had" in run.stderr:
        pytest.skip(run.stderr.strip())
    assert run.returncode == 0, run.stdout + run.stderr
    (archive,) = out.glob("*.zip")
    made.run("--command", "extension", "install-file", "-r", "user_default", "-e", archive)
    return made


@pytest.mark.blender
@pytest.mark.bpy
def test_the_installed_zip_does_the_whole_job_without_a_window(profile, tmp_path):
    import scenes

    scene = scenes.build(segments=32, rings=24, right=False)
    scene.nephim.target_edge_mm = 12.0
    blend, report = tmp_path / "small.blend", tmp_path / "report.json"
    scenes.bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    said = profile.run(blend, "--command", "nephim", "setup", "--head", "Head", "--left", scene.nephim.left.name)
    assert "neutral" in said
    assert "tetrahedra" in profile.run(blend, "--command", "nephim", "volume")
    profile.run(blend, "--command", "nephim", "simulate", "--frames", "1-10")
    assert "keys" in profile.run(blend, "--command", "nephim", "bake", "--to", "shape-keys")
    profile.run(blend, "--command", "nephim", "report", "--json", report)
    measured = json.loads(report.read_text(encoding="utf-8"))
    assert measured["bake_error_mm"] <= 0.1
    assert measured["penetration_mm"]["after"]["max"] < measured["penetration_mm"]["before"]["max"]


@pytest.mark.blender
def test_refusals_of_the_command_have_exit_codes(profile, tmp_path):
    assert "No file is open" in profile.run("--command", "nephim", "volume", code=1)
    assert "--to" in profile.run("--command", "nephim", "bake", code=2)
    assert "no file" in profile.run("--command", "nephim", "volume", tmp_path / "missing.blend", code=1)


@pytest.mark.blender
def test_the_demo_is_done_from_the_installed_zip_without_network(profile, tmp_path):
    """By the operators that the sidebar has, a coarse volume and the frames of the first contact."""
    blend = tmp_path / "demo.blend"
    code = f"""
import bpy
assert bpy.ops.nephim.add_demo(filepath={str(blend)!r}) == {{'FINISHED'}}
settings = bpy.context.scene.nephim
settings.target_edge_mm, settings.use_scene_range = 8.0, False
settings.frame_start, settings.frame_end = 1, 36
for step in ("volume", "simulate", "bake", "report", "plot"):
    assert getattr(bpy.ops.nephim, step)() == {{'FINISHED'}}, step
bpy.ops.wm.save_mainfile()
"""
    profile.run("--offline-mode", "--python-exit-code", "1", "--python-expr", code, network=False)
    measured = json.loads((tmp_path / "demo.nephim" / "report.json").read_text(encoding="utf-8"))
    assert measured["frames"] == 36 and measured["frames_with_contact"] > 0
    assert measured["penetration_mm"]["before"]["max"] > 1
    assert measured["penetration_mm"]["after"]["p95"] < 0.3 * measured["penetration_mm"]["before"]["p95"]
    assert measured["bake_error_mm"] <= 0.1
    assert (tmp_path / "demo.nephim" / "report.png").stat().st_size > 1000
    count = "sum(key.name.startswith('NePHIM') for keys in bpy.data.shape_keys for key in keys.key_blocks)"
    said = profile.run(blend, "--python-expr", f"import bpy; print('baked', {count})")
    assert int(re.search(r"baked (\d+)", said)[1]) > 0


@pytest.mark.blender
def test_disabling_and_enabling_the_zip_leaves_nothing_behind(profile):
    code = """
import addon_utils, bpy
name = "bl_ext.user_default.nephim"
def traces():
    handlers = [h for n in dir(bpy.app.handlers) if isinstance(getattr(bpy.app.handlers, n), list)
                for h in getattr(bpy.app.handlers, n) if name in h.__module__]
    return [n for n in dir(bpy.types) if "nephim" in n.lower()] + handlers + [hasattr(bpy.types.Scene, "nephim")]
before = traces()
for _ in range(3):
    addon_utils.disable(name)
    assert traces() == [False], traces()
    addon_utils.enable(name)
    assert len(traces()) == len(before) > 20, traces()
"""
    profile.run("--python-exit-code", "1", "--python-expr", code)


@pytest.mark.blender
def test_a_child_process_finds_our_modules_where_blender_is_the_only_python(blender_program, tmp_path, monkeypatch):
    """Some builds name the Blender program itself as `sys.executable`."""
    monkeypatch.setattr("sys.executable", blender_program)
    (tmp_path / "only_on_the_path.py").write_text("print('found it')", encoding="utf-8")
    script = tmp_path / "child.py"
    script.write_text("import only_on_the_path", encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run([*python_command(), script], env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and "found it" in run.stdout, run.stdout + run.stderr
