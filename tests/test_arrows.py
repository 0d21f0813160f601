# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports point down only: the floors of the house, and no circle between files or rooms."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# From the ground up; a floor imports from itself and from those before it.
FLOORS = (
    *("version", "errors", "choices", "threads", "compat", "files", "progress", "child"),
    *("sim", "tracks", "fit", "study", "demo", "motions", "nn", "bridge", "pictures", "operators", "panels"),
    *(
        "migration",
        "handlers",
        "properties",
        "cli_import",
        "cli_compare",
        "cli_fit",
        "cli_network",
        "cli",
        "registration",
        "__main__",
        "__init__",
    ),
)
FOLDERS = tuple(name for name in FLOORS if (ROOT / name).is_dir())
TORCH = {"model", "training", "torch_runtime"}  # what trains, or runs on a graphics card


def read_modules() -> dict[str, Path]:
    """Dotted name inside the package → file; a folder goes by its own name."""
    files = [*ROOT.glob("*.py"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name if name == "__init__" else name.removesuffix(".__init__"): path for name, path in names.items()}


MODULES = read_modules()


def imports_of(name: str) -> set[str]:
    """Modules of the package that a module imports anywhere, also inside functions."""
    path = MODULES[name]
    package = list(path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        for alias in node.names:
            inner = ".".join([*base, alias.name])
            found.add(inner if inner in MODULES else ".".join(base))
    return found - {name}


ARROWS = {name: imports_of(name) for name in MODULES}


def floor(name: str) -> int:
    return FLOORS.index(name.split(".")[0])


def room(name: str) -> str:
    """Subfolders are rooms; so are the other files of `sim` and `bridge`, and every other floor as a whole."""
    parts = name.split(".")
    if parts[0] in ("sim", "bridge"):
        return ".".join(parts[:2])
    return parts[0]


def circle(arrows: Mapping[str, Iterable[str]]) -> list[str]:
    """One circle of a graph, its first name repeated at the end; empty where there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(arrows.get(name, ())):
            found = visit(target, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := visit(name, []))), [])


def test_every_file_is_on_a_floor():
    assert {name.split(".")[0] for name in MODULES} == set(FLOORS)
    assert sum(map(len, ARROWS.values())) > 300  # the imports are read at all


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name):
    uphill = [target for target in ARROWS[name] if floor(target) > floor(name)]
    assert not uphill, f"{name} imports {uphill}: what it needs of them has to move to the floor of {name}, or below"


def test_no_circle_of_files():
    found = circle(ARROWS)
    assert not found, f"one of these has to move: {' -> '.join(found)}"


def test_no_circle_of_rooms():
    rooms: dict[str, set[str]] = {}
    for name, targets in ARROWS.items():
        rooms.setdefault(room(name), set()).update(room(target) for target in targets if room(target) != room(name))
    found = circle(rooms)
    assert not found, f"something has to move to another room: {' -> '.join(found)}"


def test_a_circle_is_seen():
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_torch_is_only_where_networks_are_trained(name):
    absolute = {
        alias.name.split(".")[0] if isinstance(node, ast.Import) else (node.module or "").split(".")[0]
        for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)
        for alias in node.names
    }
    assert "torch" not in absolute or (name.startswith("nn.") and name.split(".")[-1] in TORCH)
