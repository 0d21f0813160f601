# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m nephim VERB …`: the command line with the bpy module."""

import sys

if __name__ == "__main__":
    from .cli import main

    sys.exit(main(sys.argv[1:]))
