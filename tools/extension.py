# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the extension that Blender installs: one zip for each platform and Python, into dist/. See `make extension`.

Each zip holds the package, the demo character and the wheels that Blender does not bring, of the versions below. numpy
is Blender's own; torch is too large, and only training needs it. Blender's own tool packs and validates every zip.
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nephim.demo.assets import fetch_character_data
from nephim.progress import drive

ROOT = Path(__file__).resolve().parent.parent
_CHARACTER = "presets/demo/character.npz"


@dataclass(frozen=True)
class Python:
    """A Python that some Blenders have: from version `first` up to, not including, `beyond`; wheels that suit it."""

    version: str
    first: str
    beyond: str | None
    pins: tuple[str, ...]


_SAME = ("tetgen==0.8.4", "threadpoolctl==3.6.0")
OLDEST_NUMPY = "numpy==1.24.3"  # of Blender 4.2
# The last to work with it, and on Macs with Intel.
_NUMPY_1 = ("scipy==1.15.3", "numba==0.61.2", "llvmlite==0.44.0", *_SAME)
_NUMPY_2 = ("scipy==1.17.1", "numba==0.68.1", "llvmlite==0.50.0", *_SAME)
PYTHONS = (
    Python("3.11", "4.2.0", "5.1.0", _NUMPY_1),
    Python("3.13", "5.1.0", None, _NUMPY_2),
    Python("3.14", "5.1.0", None, _NUMPY_2),  # Blender as Linux distributions build it
)
# Blender's name of a platform -> the tags of wheels that run wherever such a Blender does: it needs glibc 2.28. Wheels
# for macOS 14 are left out, as scipy's do not load on 12.
PLATFORMS = {
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "windows-x64": ("win_amd64",),
    "macos-arm64": ("macosx_12_0_arm64", "macosx_11_0_arm64"),
    "macos-x64": ("macosx_11_0_x86_64", "macosx_10_15_x86_64", "macosx_10_14_x86_64", "macosx_10_13_x86_64"),
}


def exists(python: Python, target: str) -> bool:
    """Whether there is such a Blender: Macs with Intel have none since 5.0, and 3.14 is for Linux distributions."""
    if target == "macos-x64":
        return python.version == "3.11"
    return python.version != "3.14" or target.startswith("linux")


def this_platform() -> str:
    """Blender's name of the machine that this runs on."""
    system = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}.get(platform.system(), platform.system())
    return f"{system}-{'arm64' if platform.machine().lower() in ('arm64', 'aarch64') else 'x64'}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the zips, default dist/")
    parser.add_argument("--assets", type=Path, default=ROOT / "build" / "assets", help="keeps the demo character")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "extension", help="keeps wheels")
    parser.add_argument("--platform", choices=(*PLATFORMS, "this", "all"), default="all")
    parser.add_argument("--python", choices=[p.version for p in PYTHONS], help="default: all")
    parser.add_argument(
        "--blender", type=_version, metavar="VERSION", help="an older Blender that was built with --python"
    )
    chosen = parser.parse_args(arguments)
    if chosen.blender and not chosen.python:
        parser.error("--blender needs --python, the one that this Blender was built with")

    character = drive(fetch_character_data(chosen.assets))
    work, out = chosen.work.absolute(), chosen.out.absolute()
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    plain = work / "package.zip"  # what the manifest in the root lets through
    blender_tool("build", "--source-dir", str(ROOT), "--output-filepath", str(plain))
    built, missing = [], []
    for target in PLATFORMS:
        if chosen.platform not in ("all", target) and (chosen.platform != "this" or target != this_platform()):
            continue
        for python in PYTHONS:
            if not exists(python, target) or chosen.python not in (None, python.version):
                continue
            if chosen.blender:
                python = replace(python, first=chosen.blender, beyond=None)
            name = f"{target}-python{python.version}"
            wheels, refused = fetch_wheels(work / "wheels" / name, python, target)
            if refused:
                missing.append(f"{name}: {refused}")
                continue
            built.append(pack(plain, character, wheels, python, target, work / "stage" / name, out))
            print(f"{built[-1].relative_to(Path.cwd()) if built[-1].is_relative_to(Path.cwd()) else built[-1]}"
                  f"  {built[-1].stat().st_size / 1e6:.0f} MB")  # fmt: skip
    for line in missing:
        print(f"Not built, a wheel cannot be had – {line}", file=sys.stderr)
    # A platform without wheels today is no fault of this one; without any zip there is nothing to install.
    return 0 if built else 1


def _version(text: str) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+", text):
        raise argparse.ArgumentTypeError(f"{text} is no version as 4.3.0")
    return text


def fits(wheel: Path, python: Python, target: str) -> bool:
    """Whether the tags in its name are among those that `fetch_wheels` asks for; an older download may have others."""
    interpreter, abi, platforms = wheel.stem.split("-")[-3:]
    if (abi, platforms) == ("none", "any"):
        return True
    own = f"cp{python.version.replace('.', '')}"
    suits = (interpreter, abi) == (own, own) or (abi == "abi3" and int(interpreter[3:]) <= int(own[3:]))
    return suits and not set(PLATFORMS[target]).isdisjoint(platforms.split("."))


def fetch_wheels(folder: Path, python: Python, target: str) -> tuple[list[Path], str]:
    """The wheels of a zip, downloaded once; or none, and what pip said."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python.version]
    for abi in (f"cp{python.version.replace('.', '')}", "abi3", "none"):
        command += ["--abi", abi]
    for tag in PLATFORMS[target]:
        command += ["--platform", tag]
    found = []
    for pin in python.pins:
        package, version = pin.split("==")
        pattern = f"{package}-{version}-*.whl"
        if not any(fits(wheel, python, target) for wheel in folder.glob(pattern)):
            run = subprocess.run([*command, "--dest", str(folder), pin], capture_output=True, text=True)
            if run.returncode != 0:
                return [], f"{pin} ({(run.stderr.strip().splitlines() or ['pip failed'])[-1]})"
        found += sorted(wheel for wheel in folder.glob(pattern) if fits(wheel, python, target))
    return found, ""


def pack(plain: Path, character: Path, wheels: list[Path], python: Python, target: str, stage: Path, out: Path) -> Path:
    """Unpacks the package into `stage`, adds what belongs to this zip, and lets Blender pack and validate it."""
    shutil.rmtree(stage, ignore_errors=True)
    with zipfile.ZipFile(plain) as archive:
        archive.extractall(stage)
    for folder in (stage / _CHARACTER).parent, stage / "wheels":
        folder.mkdir(exist_ok=True)
    shutil.copyfile(character, stage / _CHARACTER)
    for wheel in wheels:
        shutil.copyfile(wheel, stage / "wheels" / wheel.name)
    manifest = stage / "blender_manifest.toml"
    values = tomllib.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(toml(manifest_of(values, wheels, python, target)), encoding="utf-8")
    archive_path = out / f"{values['id']}-{values['version']}-{target}-python{python.version}.zip"
    blender_tool("build", "--source-dir", str(stage), "--output-filepath", str(archive_path))
    blender_tool("validate", str(archive_path))
    shutil.rmtree(stage)
    return archive_path


def manifest_of(values: dict[str, Any], wheels: list[Path], python: Python, target: str) -> dict[str, Any]:
    """The manifest of a zip, from the one in the root."""
    made = {name: value for name, value in values.items() if name not in ("build", "permissions")}
    made |= {"blender_version_min": python.first, "platforms": [target]}
    if python.beyond:
        made["blender_version_max"] = python.beyond
    # TetGen among the wheels, and MakeHuman's base character.
    made["license"] = [*values["license"], "SPDX:AGPL-3.0-or-later", "SPDX:CC0-1.0"]
    made["wheels"] = [f"./wheels/{wheel.name}" for wheel in wheels]
    # The demo character lies in the zip: nothing is fetched.
    made["permissions"] = {name: why for name, why in values["permissions"].items() if name != "network"}
    return made


def toml(values: dict[str, Any]) -> str:
    """Strings, lists of strings, and tables of strings, which TOML writes as JSON does."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if not isinstance(value, dict)]
    for table, content in values.items():
        if isinstance(content, dict):
            lines += ["", f"[{table}]", *(f"{name} = {json.dumps(value)}" for name, value in content.items())]
    return "\n".join(lines) + "\n"


def blender_tool(*arguments: str) -> None:
    """Runs Blender's extension commands, which lie beside the bpy module. Exits with what they said if they fail."""
    import bpy

    script = Path(bpy.utils.resource_path("LOCAL")) / "scripts/addons_core/bl_pkg/cli/blender_ext.py"
    run = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"Blender refuses to {arguments[0]} the extension:\n{run.stdout}{run.stderr}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
