# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of the workflow, one per file: each holds a job function and a thin operator `nephim.STEP`."""


def _classes() -> tuple[type, ...]:
    from . import (
        background_training as training,
    )
    from . import (
        bake,
        characters,
        clean,
        compare,
        correct_pose,
        cutaway,
        demo,
        export_take,
        find,
        fit,
        import_take,
        jobs,
        load_network,
        pictures,
        preview,
        problems,
        report,
        simulate,
        study,
        subdivide,
        train,
        volume,
    )
    from . import (
        setup as rig,
    )

    return (
        jobs.NEPHIM_OT_cancel,
        problems.NEPHIM_OT_select_problem,
        problems.NEPHIM_OT_dismiss_problem,
        demo.NEPHIM_OT_add_demo,
        demo.NEPHIM_OT_build_demo,
        characters.NEPHIM_OT_add_character,
        characters.NEPHIM_OT_remove_character,
        find.NEPHIM_OT_find,
        find.NEPHIM_OT_show_parts,
        import_take.NEPHIM_OT_import_take,
        fit.NEPHIM_OT_fit,
        rig.NEPHIM_OT_neutral_here,
        rig.NEPHIM_OT_setup,
        rig.NEPHIM_OT_fit_size,
        volume.NEPHIM_OT_volume,
        subdivide.NEPHIM_OT_subdivide_region,
        cutaway.NEPHIM_OT_cutaway,
        simulate.NEPHIM_OT_simulate,
        clean.NEPHIM_OT_clear,
        train.NEPHIM_OT_train,
        training.NEPHIM_OT_start_training,
        training.NEPHIM_OT_stop_training,
        train.NEPHIM_OT_evaluate,
        load_network.NEPHIM_OT_load_network,
        preview.NEPHIM_OT_preview,
        bake.NEPHIM_OT_bake,
        clean.NEPHIM_OT_unbake,
        report.NEPHIM_OT_report,
        report.NEPHIM_OT_plot,
        pictures.NEPHIM_OT_pictures,
        correct_pose.NEPHIM_OT_correct_pose,
        correct_pose.NEPHIM_OT_remove_pose_correction,
        compare.NEPHIM_OT_compare,
        study.NEPHIM_OT_study,
        study.NEPHIM_OT_evaluate_study,
        export_take.NEPHIM_OT_export_take,
        demo.NEPHIM_OT_demo,
    )


def register() -> None:
    import bpy

    from . import export_take, import_take

    for cls in _classes():
        bpy.utils.register_class(cls)
    bpy.types.TOPBAR_MT_file_export.append(export_take.menu)
    bpy.types.TOPBAR_MT_file_import.append(import_take.menu)


def unregister() -> None:
    import bpy

    from . import export_take, import_take

    bpy.types.TOPBAR_MT_file_export.remove(export_take.menu)
    bpy.types.TOPBAR_MT_file_import.remove(import_take.menu)
    for cls in reversed(_classes()):
        bpy.utils.unregister_class(cls)
