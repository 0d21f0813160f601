# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of the command line, exit codes and one-sentence errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nephim import cli
from nephim.__main__ import main
from nephim.choices import parse_frames

ROOT = Path(__file__).resolve().parent.parent


def parse(text: str, file_needed: bool = True):
    return cli.build_parser(file_needed).parse_args(text.split())


def test_setup_takes_objects_groups_bones_and_an_output():
    parsed = parse(
        "setup a.blend --head Body:head --left Body:hand.L --right Glove --jaw J --cranium C "
        "--head-bone Rig:head --jaw-bone Rig:jaw --neutral-frame -3 -o out/b.blend"
    )
    assert parsed.verb == "setup"
    assert parsed.file == Path("a.blend")
    assert (parsed.head, parsed.left, parsed.right) == ("Body:head", "Body:hand.L", "Glove")
    assert (parsed.jaw, parsed.cranium, parsed.head_bone, parsed.jaw_bone) == ("J", "C", "Rig:head", "Rig:jaw")
    assert parsed.neutral_frame == -3
    assert parsed.output == Path("out/b.blend")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1-150", (1, 150)), ("7-7", (7, 7)), ("-10--2", (-10, -2)), ("-12-0", (-12, 0)), ("-5-5", (-5, 5))],
)
def test_frame_ranges(text, expected):
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["10", "a-b", "1-2-3", "", "5-1", "1.5-2"])
def test_wrong_frame_ranges(text, capsys):
    assert main(["simulate", "a.blend", "--frames", text]) == cli.EXIT_USAGE
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "VERB"),
        ("fly a.blend", "fly"),
        ("setup a.blend", "--head"),
        ("volume", "FILE.blend"),
        ("bake a.blend", "--to"),
        ("bake a.blend --to video", "shape-keys"),
        ("bake a.blend --to shape-keys --tolerance nan", "tolerance above 0"),
        ("bake a.blend --to shape-keys --tolerance -1", "tolerance above 0"),
        ("bake a.blend --to shape-keys --tolerance thin", "not a number"),
        ("simulate a.blend --mode cloth", "surface"),
        ("report a.blend", "--json"),
    ],
)
def test_wrong_arguments_end_with_code_2_and_one_line(text, says, capsys):
    assert main(text.split()) == cli.EXIT_USAGE
    message = capsys.readouterr().err
    assert says in message
    assert message.startswith("nephim: ")


def test_the_mode_is_one_of_two():
    assert parse("simulate a.blend").mode is None
    assert parse("simulate a.blend --mode surface").mode == "surface"


def test_help_ends_with_code_0(capsys):
    assert main(["--help"]) == cli.EXIT_OK
    assert "simulate" in capsys.readouterr().out


def test_the_open_file_need_not_be_named_inside_blender():
    assert parse("volume", file_needed=False).file is None
    assert parse("volume a.blend", file_needed=False).file == Path("a.blend")


def test_bpy_missing_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bpy", None)
    assert main(["volume", "a.blend"]) == cli.EXIT_FAILED
    assert "no bpy module" in capsys.readouterr().err


@pytest.mark.bpy
def test_a_missing_file_names_the_path(registered, tmp_path, capsys):
    assert cli.command(["volume", str(tmp_path / "none.blend")]) == cli.EXIT_FAILED
    message = capsys.readouterr().err
    assert str(tmp_path / "none.blend") in message
    assert "Traceback" not in message


@pytest.mark.bpy
def test_a_file_that_is_no_blend(registered, tmp_path, capsys):
    path = tmp_path / "letter.blend"
    path.write_text("Dear Blender,")
    assert cli.command(["volume", str(path)]) == cli.EXIT_FAILED
    assert "letter.blend" in capsys.readouterr().err


@pytest.mark.bpy
def test_no_file_open(registered, capsys):
    assert cli.command(["volume"]) == cli.EXIT_FAILED
    assert "No file is open" in capsys.readouterr().err


@pytest.mark.blender
def test_the_real_program_has_the_same_command_line(blender_program, tmp_path):
    """`blender --command nephim` needs the add-on enabled: installed as an extension, as a user does."""
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(tmp_path / "user")}

    def blender(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [blender_program, "--python-use-system-env", *arguments],
            capture_output=True, text=True, env=environment, timeout=300,
        )  # fmt: skip

    archive = tmp_path / "nephim.zip"
    built = blender(
        "-b", "--command", "extension", "build", "--source-dir", str(ROOT), "--output-filepath", str(archive)
    )
    assert built.returncode == 0, built.stdout + built.stderr
    installed = blender("-b", "--command", "extension", "install-file", "-r", "user_default", "-e", str(archive))
    assert installed.returncode == 0, installed.stdout + installed.stderr
    run = blender("-b", "--command", "nephim", "--help")
    assert "simulate" in run.stdout, run.stdout + run.stderr
    run = blender("-b", "--command", "nephim", "volume", str(tmp_path / "none.blend"))
    assert run.returncode == cli.EXIT_FAILED
    assert "none.blend" in run.stderr
