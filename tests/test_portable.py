# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said about Windows and macOS without having them: the package asks nothing of POSIX without a guard."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sim", "tracks", "fit", "study", "demo", "motions", "nn", "bridge", "pictures", "operators", "panels")
SOURCES = [*ROOT.glob("*.py"), *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))]
# Modules and attributes that are not there, or do something else, on Windows.
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}
OF_OS = {
    *("fork", "forkpty", "killpg", "setsid", "getpgid", "setpgid", "getuid", "geteuid", "getgid", "getppid", "nice"),
    *("mkfifo", "uname", "getloadavg", "sched_getaffinity", "sched_setaffinity", "chown", "statvfs", "wait", "waitpid"),
}
OF_SIGNAL = {"SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGSTOP", "SIGCONT", "alarm"}
PLACES = ("/tmp", "/dev", "/var", "/usr", "/home", "/etc", "/proc", "C:\\")
# Linux alone tells there what processor it has; elsewhere the file is not there, and Python is asked.
ALLOWED = {("bridge/report.py", "/proc/cpuinfo")}


def guarded(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether a condition around it asks for the system or for the attribute."""
    while node in parents:
        node = parents[node]
        if isinstance(node, ast.If | ast.IfExp):
            asked = ast.unparse(node.test)
            if any(word in asked for word in ("sys.platform", "os.name", "hasattr")):
                return True
    return False


def only_of_posix(node: ast.AST) -> str:
    """What this node names that other systems lack; empty for nothing."""
    match node:
        case ast.Import(names=names):
            return ", ".join({alias.name for alias in names} & MODULES)
        case ast.ImportFrom(module=module, names=names):
            lacking = {"os": OF_OS, "signal": OF_SIGNAL}.get(module or "", set())
            return module if module in MODULES else ", ".join({alias.name for alias in names} & lacking)
        case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in OF_OS:
            return f"os.{name}"
        case ast.Attribute(value=ast.Name(id="signal"), attr=name) if name in OF_SIGNAL:
            return f"signal.{name}"
        case ast.keyword(arg="preexec_fn" | "pass_fds" as name):
            return name
        case ast.Constant(value=str(text)) if text in ("fork", "forkserver") or text.startswith(PLACES):
            return text
    return ""


def posix_only(text: str) -> list[str]:
    """All that in a source, outside of a guard."""
    tree = ast.parse(text)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    return [what for node in ast.walk(tree) if (what := only_of_posix(node)) and not guarded(node, parents)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_package_asks_nothing_of_posix_alone(path):
    name = path.relative_to(ROOT).as_posix()
    found = posix_only(path.read_text(encoding="utf-8"))
    assert [what for what in found if (name, what) not in ALLOWED] == []


def joins_paths_by_hand(text: str) -> bool:
    """Whether it opens a path that it has put together from strings and slashes, not with pathlib."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="sep"):
                return True
            case ast.Call(
                func=ast.Name(id="open" | "Path"), args=[ast.JoinedStr() | ast.BinOp(op=ast.Add()) as path, *_]
            ):
                if any(isinstance(part, ast.Constant) and "/" in str(part.value) for part in ast.walk(path)):
                    return True
    return False


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_paths_are_not_joined_by_hand(path):
    assert not joins_paths_by_hand(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.killpg(1, 2)",
        "import signal\nsignal.SIGKILL",
        "import fcntl",
        "from os import fork",
        "import multiprocessing\nmultiprocessing.get_context('fork')",
        "open('/tmp/a')",
        "subprocess.run([], preexec_fn=print)",
    ],
)
def test_what_is_not_portable_is_found(text):
    assert posix_only(text)
    assert not posix_only("import sys\nif sys.platform != 'win32':\n    " + text.replace("\n", "\n    "))


def test_a_path_joined_by_hand_is_found():
    assert joins_paths_by_hand("open(folder + '/a.txt')") and joins_paths_by_hand("Path(f'{folder}/a.txt')")
    assert not joins_paths_by_hand("open(folder / 'a/b.txt')\nPath(folder, 'a')")
