# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar, in the order of the workflow."""


def _classes() -> tuple[type, ...]:
    from . import compute, finish, prepare, presets, sidebar

    return (
        *presets.CLASSES,
        sidebar.NEPHIM_PT_sidebar,
        *prepare.CLASSES,
        *compute.CLASSES,
        *finish.CLASSES,
    )


def register() -> None:
    import bpy

    from . import overlay

    for cls in _classes():
        bpy.utils.register_class(cls)
    overlay.register()


def unregister() -> None:
    import bpy

    from . import overlay

    overlay.unregister()
    for cls in reversed(_classes()):
        bpy.utils.unregister_class(cls)
