# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar, in the order of the work."""


def register() -> None:
    import bpy

    from . import sidebar

    bpy.utils.register_class(sidebar.NEPHIM_PT_sidebar)


def unregister() -> None:
    import bpy

    from . import sidebar

    bpy.utils.unregister_class(sidebar.NEPHIM_PT_sidebar)
