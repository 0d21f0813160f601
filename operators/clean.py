# SPDX-License-Identifier: GPL-3.0-or-later
"""Clear deletes the simulated frames; unbake removes what was baked."""

import bpy

from ..bridge.cache.manifest import HANDS
from ..bridge.cache.moved import hand_path
from ..bridge.cache.open_file import folder
from ..bridge.cache.point_cache import delete_cache
from ..errors import CacheError
from .jobs import has_head
from .volume import needs_setup


class NEPHIM_OT_clear(bpy.types.Operator):
    """Delete the simulated frames beside the .blend; baked shape keys stay"""

    bl_idname = "nephim.clear"
    bl_label = "Clear"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not needs_setup(cls, context):
            return False
        if not folder().cache.exists():
            cls.poll_message_set("Nothing has been simulated yet")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            _delete()
        except CacheError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, "Deleted the simulated frames")
        return {"FINISHED"}


def _delete() -> None:
    place = folder()
    hands = (hand_path(place.cache, side) for side in HANDS)
    for cache in (place.cache, *hands, *place.attached.glob("*.pc2"), *place.compared("").parent.glob("*.pc2")):
        delete_cache(cache)


class NEPHIM_OT_unbake(bpy.types.Operator):
    """Remove the baked shape keys or the modifier that plays the point cache; your own shape keys stay"""

    bl_idname = "nephim.unbake"
    bl_label = "Remove Bake"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not has_head(cls, context):
            return False
        from ..bridge.bake.attached import baked_with
        from ..bridge.modifiers import BAKED, is_baked_name

        head = context.scene.nephim.head
        keys = head.data.shape_keys.key_blocks if head.data.shape_keys else ()
        own = BAKED in head.modifiers or any(is_baked_name(key.name) for key in keys)
        if not own and not baked_with(context.scene, head):
            cls.poll_message_set("Nothing is baked")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..bridge.bake.attached import baked_with, remove_attached
        from ..bridge.bake.mesh_cache import remove_mesh_cache
        from ..bridge.bake.shape_keys import remove_shape_keys

        head = context.scene.nephim.head
        for obj in baked_with(context.scene, head):
            remove_attached(obj)
        remove_mesh_cache(head)
        count = remove_shape_keys(head)
        context.scene.nephim.bake_keys = 0
        self.report({"INFO"}, f"Removed {count} baked shape keys" if count else "Removed the modifier")
        return {"FINISHED"}
