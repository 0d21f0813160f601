# SPDX-License-Identifier: GPL-3.0-or-later
"""One step of the work a file; each holds its job function and a thin operator `nephim.STEP`."""


def _classes() -> tuple[type, ...]:
    from . import bake, demo, report, rig, simulate, volume

    return (
        rig.NEPHIM_OT_setup,
        volume.NEPHIM_OT_volume,
        simulate.NEPHIM_OT_simulate,
        bake.NEPHIM_OT_bake,
        report.NEPHIM_OT_report,
        demo.NEPHIM_OT_demo,
    )


def register() -> None:
    import bpy

    for cls in _classes():
        bpy.utils.register_class(cls)


def unregister() -> None:
    import bpy

    for cls in reversed(_classes()):
        bpy.utils.unregister_class(cls)
