# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads a network from a file as this character's own."""

from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from ..bridge.cache.open_file import folder
from ..bridge.plan import read_method
from ..errors import NephimError
from . import problems
from .volume import needs_setup


def load_network(scene: Any, path: Path) -> Path:
    """Copies the network in `path` beside the .blend if it fits the character; returns the path of the copy.

    Raises CacheError if the file is not a network, SimulationError if it was trained for other meshes or frame rates.
    """
    from ..nn.runtime import check_fit
    from ..nn.weights import Weights
    from ..sim.template import Template

    weights = Weights.load(path)
    check_fit(Template.load(folder(scene).volume), weights, None, None, read_method(scene).frame_rate)
    own = folder(scene).weights
    weights.save(own)
    return own


class NEPHIM_OT_load_network(bpy.types.Operator):
    """Load a trained network from a file as this character's own; the file is copied beside the .blend, and a network trained for another character is refused"""  # noqa: E501

    bl_idname = "nephim.load_network"
    bl_label = "Load Network"
    bl_options = {"REGISTER"}

    filepath: StringProperty(name="File", description="Network file to load (.npz)", subtype="FILE_PATH")  # type: ignore[valid-type]
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        from .state import volume_state

        if not needs_setup(cls, context):
            return False
        if not volume_state().exists:
            cls.poll_message_set("Build the volume first: the network must fit it")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: Any) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            load_network(context.scene, Path(bpy.path.abspath(self.filepath)))
        except NephimError as error:
            return problems.refuse(self, error)
        self.report({"INFO"}, "Loaded the network for this character; frames of its previous network are stale")
        return {"FINISHED"}
