# SPDX-License-Identifier: GPL-3.0-or-later
"""`scene.nephim`: head, hands, and every other setting stored in the .blend."""

import atexit
from pathlib import Path

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)
from bpy.types import PropertyGroup

from .choices import AXES, EXISTING, REPLACE, SKULL, SKULLS, TOLERANCE_MM, YIELDING_HANDS
from .compat import is_module

_PRESETS = Path(__file__).parent / "presets"


def _is_mesh(_settings, obj) -> bool:
    return obj.type == "MESH"


def _is_armature(_settings, obj) -> bool:
    return obj.type == "ARMATURE"


def _object(name: str, description: str, poll=_is_mesh):
    return PointerProperty(type=bpy.types.Object, name=name, description=description, poll=poll)


def _group(of: str):
    return StringProperty(
        name="Vertex Group",
        description=f"Vertex group of the {of}, if the object contains more than that; empty: the whole object",
    )


def _paint(tissue: str, usually: str):
    return StringProperty(
        name=tissue.capitalize(),
        description=f"Group or float attribute where skin is like {tissue}, in stiffness and grip; empty: {usually}",
    )


def _bone(of: str):
    return StringProperty(name="Bone", description=f"Bone that carries the {of}; empty: fitted to the surface")


def _axis_changed(settings, _context) -> None:
    from .operators import looked_at

    looked_at.axis_changed(settings.id_data)


def _axis(name: str, what: str):
    return EnumProperty(
        name=name,
        description=f"The scene's axis to which the {what} points at the neutral frame, roughly",
        items=(
            ("AUTO", "Automatic", "From bones, hands and eyes, checked by the face"),
            *((axis, axis, f"The {what} points to {axis}") for axis in AXES),
        ),
        default="AUTO",
        update=_axis_changed,
    )


def _presets(folder: str):
    """A search callback for the names of the preset files in `presets/FOLDER`."""

    def search(_settings, _context, typed: str) -> list[str]:
        names = sorted(path.stem for path in (_PRESETS / folder).glob("*.toml"))
        return [name for name in names if typed.lower() in name.lower()] or names

    return search


def _colour_changed(settings, _context) -> None:
    from .operators import preview

    preview.colour_changed(settings.id_data)


def _tissue_changed(settings, _context) -> None:
    from .operators import preview

    preview.settings_changed(settings.id_data)


class PreviewChange(PropertyGroup):
    """One thing that the live preview changed, to be restored later."""

    owner: PointerProperty(type=bpy.types.Object)  # type: ignore[valid-type]
    kind: StringProperty()  # type: ignore[valid-type]
    name: StringProperty()  # type: ignore[valid-type]


class _Pieces:
    """Of an object, with a material if it has several. pieces, vertices: how many."""

    owner: PointerProperty(type=bpy.types.Object)  # type: ignore[valid-type]
    material: StringProperty()  # type: ignore[valid-type]
    pieces: IntProperty()  # type: ignore[valid-type]
    vertices: IntProperty()  # type: ignore[valid-type]


class Attachment(_Pieces, PropertyGroup):
    """Pieces that hang on the skin."""

    carried: BoolProperty(  # type: ignore[valid-type]
        name="Carried Along",
        description="Move these pieces with the skin they lie on, in preview and bake; off: they stay as animated",
        default=True,
        update=_tissue_changed,
    )


class Obstacle(_Pieces, PropertyGroup):
    """Pieces that skin is kept off."""

    kept_off: BoolProperty(  # type: ignore[valid-type]
        name="Keep Skin Off",
        description="Keep lids and lips off these pieces where a hand presses them; off: skin passes through",
        default=True,
        update=_tissue_changed,
    )


class Facing(PropertyGroup):
    """Two arrows that show how the head stands, in the space of what carries it, see `bridge/direction.py`."""

    carrier: PointerProperty(type=bpy.types.Object)  # type: ignore[valid-type]
    bone: StringProperty()  # type: ignore[valid-type]
    ends: FloatVectorProperty(size=12)  # type: ignore[valid-type]


class SceneSettings(PropertyGroup):
    """Roles, frames and tolerances of one scene."""

    version: IntProperty(  # type: ignore[valid-type] # see `migration.py`
        name="Settings Version", description="Version that these settings were stored in; older ones are migrated"
    )
    head: _object("Head", "Mesh of the head, or of the body with the head as a vertex group")  # type: ignore[valid-type]
    head_group: _group("head")  # type: ignore[valid-type]
    left: _object("Left Hand", "Mesh of the left hand, or of the body with the hand as a vertex group")  # type: ignore[valid-type]
    left_group: _group("left hand")  # type: ignore[valid-type]
    right: _object("Right Hand", "Mesh of the right hand, or of the body with the hand as a vertex group")  # type: ignore[valid-type]
    right_group: _group("right hand")  # type: ignore[valid-type]
    jaw: _object("Jaw", "Closed mesh of the jaw bone at the neutral frame; empty: found as chosen under Skull")  # type: ignore[valid-type]
    cranium: _object("Cranium", "Closed mesh of the skull at the neutral frame; empty: found as chosen under Skull")  # type: ignore[valid-type]
    skull: EnumProperty(  # type: ignore[valid-type]
        name="Skull",
        description="Where jaw and cranium come from if neither own meshes nor a skull model are chosen",
        items=SKULLS,
        default=SKULL,
    )
    skull_teeth: BoolProperty(  # type: ignore[valid-type]
        name="Its Teeth",
        description="Lips are kept off the teeth of a registered skull, unless the character has teeth of its own",
        default=True,
    )
    skull_model: StringProperty(  # type: ignore[valid-type]
        name="Skull Model",
        description="File with a linear model that predicts jaw and cranium for heads of this topology; empty: found "
        "as chosen under Skull",
        subtype="FILE_PATH",
    )
    head_armature: _object("Armature", "Armature of the bone that carries the head", _is_armature)  # type: ignore[valid-type]
    head_bone: _bone("head")  # type: ignore[valid-type]
    jaw_armature: _object("Armature", "Armature of the bone that carries the jaw", _is_armature)  # type: ignore[valid-type]
    jaw_bone: _bone("jaw")  # type: ignore[valid-type]
    cheek_group: _paint("cheek", "everywhere else (stiffness 1)")  # type: ignore[valid-type]
    lips_group: _paint("lips", "around the mouth (stiffness 1.5)")  # type: ignore[valid-type]
    scalp_group: _paint("scalp", "above brows and ears (stiffness 3)")  # type: ignore[valid-type]
    cartilage_group: _paint("cartilage", "tip of the nose and ears (stiffness 20)")  # type: ignore[valid-type]
    up_axis: _axis("Up", "top of the head")  # type: ignore[valid-type]
    front_axis: _axis("Front", "face")  # type: ignore[valid-type]
    facing: PointerProperty(type=Facing, description="Where the arrows of the head's direction are drawn")  # type: ignore[valid-type]
    show_facing: BoolProperty(  # type: ignore[valid-type]
        name="Show Direction",
        description="Show in the viewport where the face and the top of the head were found to be",
        default=True,
    )
    unit_scale: FloatProperty(  # type: ignore[valid-type]
        name="Unit Scale",
        description="Metres per unit for NePHIM alone, so that the head is as large as a person's; 0: as in the "
        "scene's units",
        default=0.0,
        min=0.0,
        soft_max=100.0,
        precision=5,
    )
    neutral_frame: IntProperty(  # type: ignore[valid-type]
        name="Neutral Frame",
        description="Frame with a relaxed face, parted lips and no hand near it; the volume is built at this frame",
        default=1,
    )
    use_scene_range: BoolProperty(  # type: ignore[valid-type]
        name="Scene Range", description="Simulate the frame range of the scene", default=True
    )
    frame_start: IntProperty(name="Start", description="First frame to simulate", default=1)  # type: ignore[valid-type]
    frame_end: IntProperty(name="End", description="Last frame to simulate", default=250)  # type: ignore[valid-type]
    target_edge_mm: FloatProperty(  # type: ignore[valid-type]
        name="Edge (mm)",
        description="Edge length of the simulated skin of the face, in millimetres; the mesh itself is not changed",
        default=4.0,
        min=1.0,
        soft_max=10.0,
        max=50.0,
    )
    mode: EnumProperty(  # type: ignore[valid-type]
        name="Mode",
        description="How contact is resolved",
        items=(
            ("physics", "Physics", "Skin, tissue and bones as a volume; contact depends on the path the hands took", 0),
            (
                "surface",
                "Surface Only",
                "The skin alone, pushed to the closest point of the hands in each frame independently: no tissue, no "
                "bones, no memory; a baseline for comparison, as in Decaf",
                1,
            ),
            ("network", "Network", "A network trained on the physics, which it reproduces in real time", 2),
            (
                "reduced",
                "Reduced Physics",
                "The physics with less work per frame: any character, without training, somewhat less exact",
                3,
            ),
        ),
        default="physics",
    )
    tissue: StringProperty(  # type: ignore[valid-type]
        name="Tissue",
        description="Name of the tissue preset: how soft skin and flesh are",
        default="default",
        search=_presets("tissues"),
        update=_tissue_changed,
    )
    interaction: StringProperty(  # type: ignore[valid-type]
        name="Interaction",
        description="Name of the interaction preset: touch, firm_press or pull",
        default="touch",
        search=_presets("interactions"),
        update=_tissue_changed,
    )
    yielding_hands: BoolProperty(  # type: ignore[valid-type]
        name="Hands Yield",
        description="Hands flatten where they press the face or each other, as skin does, and are cached, previewed "
        "and baked with it; off: they stay as animated, as props and gloves do. Physics and reduced physics only",
        default=YIELDING_HANDS,
        update=_tissue_changed,
    )
    tolerance_mm: FloatProperty(  # type: ignore[valid-type]
        name="Tolerance (mm)",
        description="Largest distance between the baked and the simulated surface, in millimetres",
        default=TOLERANCE_MM,
        min=0.001,
        soft_max=1.0,
        precision=3,
    )
    bake_existing: EnumProperty(  # type: ignore[valid-type]
        name="Earlier Keys", description="What to do with shape keys of earlier bakes", items=EXISTING, default=REPLACE
    )
    bake_fade: IntProperty(  # type: ignore[valid-type]
        name="Fade (frames)",
        description="Frames in which a contact in the first or the last frame fades outside the bake. 0: shape keys "
        "hold it, and the point cache holds it for less than a frame, which is as far as motion blur looks",
        default=0,
        min=0,
        soft_max=24,
    )
    bake_keys: IntProperty(name="Baked Keys", description="Number of shape keys of the last bake")  # type: ignore[valid-type]
    bake_error_max_mm: FloatProperty(  # type: ignore[valid-type]
        name="Largest Bake Error", description="Measured by evaluating every frame after the last bake, in millimetres"
    )
    bake_error_rms_mm: FloatProperty(  # type: ignore[valid-type]
        name="RMS Bake Error", description="Measured by evaluating every frame after the last bake, in millimetres"
    )
    preview: EnumProperty(  # type: ignore[valid-type]
        name="Live Preview",
        description="What the viewport shows while the animation plays; switched by nephim.preview",
        items=[(mode, mode.title(), "") for mode in ("off", "physics", "network", "surface", "reduced", "auto")],
        default="off",
    )
    preview_colour: EnumProperty(  # type: ignore[valid-type]
        name="Colour",
        description="What the colours of the preview mean",
        items=[
            ("none", "Own Materials", "The head's own materials"),
            ("displacement", "Displacement", "How far the skin is moved from its animated position"),
            ("contact", "Contact", "Where a hand touches the skin"),
        ],
        default="none",
        update=_colour_changed,
    )
    preview_scale_mm: FloatProperty(  # type: ignore[valid-type]
        name="Scale (mm)",
        description="Displacement at the end of the colour scale, in millimetres",
        default=10.0,
        min=0.1,
        soft_max=30.0,
    )
    obstacles: CollectionProperty(  # type: ignore[valid-type]
        type=Obstacle, name="Behind the Skin", description="Eyes, teeth and tongue that lids and lips are kept off"
    )
    attachments: CollectionProperty(  # type: ignore[valid-type]
        type=Attachment, name="On the Skin", description="Lashes, brows and other pieces that lie on the skin"
    )
    preview_object: PointerProperty(type=bpy.types.Object)  # type: ignore[valid-type]
    preview_changes: CollectionProperty(type=PreviewChange)  # type: ignore[valid-type]


def _character_chosen(cast, _context) -> None:
    from .operators import characters

    characters.chosen(cast.id_data)


class Character(PropertyGroup):
    """One of several characters of a scene, see `bridge/characters.py`. `name`: what the user calls it, if anything."""

    folder: StringProperty()  # type: ignore[valid-type]
    settings: PointerProperty(type=SceneSettings)  # type: ignore[valid-type]


class Cast(PropertyGroup):
    """The characters of a scene; none where there is only one."""

    characters: CollectionProperty(  # type: ignore[valid-type]
        type=Character, name="Characters", description="Each has settings, a simulation and a bake of its own"
    )
    active: IntProperty(  # type: ignore[valid-type]
        name="Active Character",
        description="The character whose settings the sidebar shows and whose results its buttons work on",
        update=_character_chosen,
    )
    shown: IntProperty()  # type: ignore[valid-type] # the one whose settings are in `scene.nephim`


_CLASSES = (PreviewChange, Attachment, Obstacle, Facing, SceneSettings, Character, Cast)


def register() -> None:
    """Adds `scene.nephim`, and `scene.nephim_cast` for several characters."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.nephim = PointerProperty(type=SceneSettings)
    bpy.types.Scene.nephim_cast = PointerProperty(type=Cast)
    if is_module():  # the bpy module hangs at the interpreter's exit while Python classes are registered
        atexit.register(unregister)


def unregister() -> None:
    """Removes them; the data in .blend files stays."""
    atexit.unregister(unregister)
    del bpy.types.Scene.nephim_cast
    del bpy.types.Scene.nephim
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
