# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves the human rig that Rigify generates as a .blend, the last argument; exits with 3 where there is no Rigify.

Runs as a process of its own: the bpy module hangs at its exit once Rigify has been enabled in it.
"""

import os
import sys

import bpy

NO_RIGIFY = 3

if __name__ == "__main__":
    import addon_utils  # the bpy module makes it known

    code = NO_RIGIFY
    bpy.ops.wm.read_factory_settings(use_empty=True)
    # Rigify keeps its settings among the preferences, hence `default_set`; they are not saved.
    if addon_utils.enable("rigify", default_set=True) is not None:
        bpy.ops.object.armature_human_metarig_add()
        bpy.ops.pose.rigify_generate()
        bpy.data.objects.remove(bpy.data.objects["metarig"])
        bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1])
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # no clean-up, in which the hang is
