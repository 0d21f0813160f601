# SPDX-License-Identifier: GPL-3.0-or-later
"""The recipes for render farms in docs/farm, with stand-ins for Blender and for Flamenco."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from nephim.cli import build_parser

FARM = ROOT / "docs" / "farm"
# What the Manager gives a job type: tasks with commands and dependencies. Prints the tasks of one job as JSON.
MANAGER = """
const fs = require("fs"), tasks = [];
class Task {
    constructor(name) { Object.assign(this, {name, commands: [], after: []}); }
    addCommand(command) { this.commands.push(command); }
    addDependency(task) { this.after.push(task.name); }
}
global.author = {Task: (name, type) => new Task(name), Command: (name, parameters) => ({name, ...parameters})};
(0, eval)(fs.readFileSync(process.argv[1], "utf8"));
compileJob({settings: JSON.parse(process.argv[2]), addTask: task => tasks.push(task)});
console.log(JSON.stringify(tasks));
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_loop_does_every_step_and_goes_on_after_a_refused_shot(tmp_path):
    blender, calls = tmp_path / "blender", tmp_path / "calls"
    blender.write_text(
        f'#!/bin/sh\necho "$@" >>{calls}\ncase "$2 $5" in *bad.blend\\ simulate) exit 1 ;; esac\n', encoding="utf-8"
    )
    blender.chmod(0o755)
    done = tmp_path / "done.nephim"  # its volume is there already
    done.mkdir()
    (done / "volume.npz").touch()
    shots = [str(tmp_path / f"{name}.blend") for name in ("good", "bad", "done")]
    run = subprocess.run(
        [FARM / "bake-shots.sh", *shots], env=os.environ | {"BLENDER": str(blender)}, capture_output=True, text=True
    )
    assert run.returncode == 1  # one shot failed
    assert "bad.log" in run.stderr
    verbs = {shot: [line.split()[4] for line in calls.read_text().splitlines() if shot in line] for shot in shots}
    assert list(verbs.values()) == [
        ["volume", "simulate", "bake", "report"], ["volume", "simulate"], ["simulate", "bake", "report"]
    ]  # fmt: skip
    for line in calls.read_text().splitlines():
        arguments = line.split()
        assert arguments[2:4] == ["--command", "nephim"]
        build_parser(file_needed=False).parse_args(arguments[4:])  # raises if the grammar is another


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")
@pytest.mark.parametrize(("tissue", "interaction"), [("", ""), ("soft", "pull")])
def test_the_flamenco_job_is_a_chain_of_valid_commands(tissue, interaction):
    settings = {
        "blendfile": "/shots/a b.blend", "frames": "101-240", "tissue": tissue, "interaction": interaction,
        "bake_to": "shape-keys", "tolerance": 0.2,
    }  # fmt: skip
    run = subprocess.run(
        ["node", "-e", MANAGER, str(FARM / "nephim_bake.js"), json.dumps(settings)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    tasks = json.loads(run.stdout)
    assert [task["name"] for task in tasks] == ["volume", "simulate", "bake", "report"]
    assert [task["after"] for task in tasks] == [[], ["volume"], ["simulate"], ["bake"]]
    for task in tasks:
        (command,) = task["commands"]
        assert (command["name"], command["exe"]) == ("exec", "{blender}")
        assert command["args"][:4] == ["-b", "/shots/a b.blend", "--command", "nephim"]
        parsed = build_parser(file_needed=False).parse_args(command["args"][4:])
        if parsed.verb == "simulate":
            assert parsed.frames == (101, 240)
            assert (parsed.preset or "", parsed.interaction or "") == (tissue, interaction)
        if parsed.verb == "bake":
            assert parsed.tolerance == 0.2
