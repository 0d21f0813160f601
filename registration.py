# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers all parts of the add-on with Blender, and unregisters them."""

import atexit
from typing import Any

import bpy

from . import cli, compat, handlers, operators, panels, properties, threads

_command: Any = None


def register() -> None:
    """Registers settings, operators, panels and, if Blender has a command line, `--command nephim`."""
    global _command
    properties.register()
    operators.register()
    panels.register()
    handlers.register()
    if compat.is_module():
        # The bpy module hangs at the interpreter's exit while our classes are registered.
        atexit.register(unregister)
    else:  # only the program has a command line of its own
        _command = bpy.utils.register_cli_command("nephim", cli.command)


def unregister() -> None:
    """Unregisters everything, in reverse order."""
    global _command
    atexit.unregister(unregister)
    if _command is not None:
        bpy.utils.unregister_cli_command(_command)
        _command = None
    handlers.unregister()
    panels.unregister()
    operators.unregister()
    properties.unregister()
    threads.stop()
