# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m nephim VERB …`: the command line with the bpy module."""

import sys
from collections.abc import Sequence

from . import cli


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    try:
        import bpy  # noqa: F401
    except ModuleNotFoundError:
        advice = "Install nephim[bpy], or use: blender FILE.blend --command nephim …"
        print(f"nephim: This Python has no bpy module. {advice}", file=sys.stderr)
        return cli.EXIT_FAILED
    # The grammar is checked first, so that usage errors do not wait for seconds of loading.
    code, parsed = cli.parse(arguments, file_needed=True)
    if parsed is None:
        return code
    from . import registration

    registration.register()
    try:
        return cli.run(parsed)
    finally:  # the bpy module hangs at the interpreter's exit while Python classes are registered
        registration.unregister()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
