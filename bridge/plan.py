# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job should do, read from the scene once: all later steps read the plan, not the scene."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ..choices import NETWORK, VOLUMETRIC, YIELDING
from ..errors import SimulationError
from .cache.folder import Folder
from .cache.manifest import settings_fingerprint
from .cache.open_file import folder
from .characters import check_own_head
from .pieces import unticked
from .rig import Rig, read_rig
from .scene_time import frame_rate

if TYPE_CHECKING:  # scipy and numba load on first use, so that enabling the add-on stays fast
    from ..sim.settings import PhysicsSettings
    from ..sim.volume.build import VolumeSettings

SHIPPED = Path(__file__).resolve().parent.parent / "presets" / "networks" / "demo.npz"


def weights_path() -> Path:
    """The character's own weights beside the .blend, if there are any, else those that come with the add-on.

    Raises SimulationError if there are neither.
    """
    if bpy.data.filepath and folder().weights.is_file():
        return folder().weights
    if SHIPPED.is_file():
        return SHIPPED
    raise SimulationError("There is no trained network for this character yet.", advice="Train it, or use the physics.")


@dataclass(frozen=True)
class Method:
    """How contact is resolved: mode (see `choices.MODES`), presets by name, frames per second [1/s], the materials of
    pieces of the head's mesh that hang on the skin but are left behind, object and material of eyes and teeth that skin
    passes through, whether it is kept off the teeth of the volume's skull, and whether hands yield where the mode lets
    them."""

    mode: str
    tissue: str
    interaction: str
    frame_rate: float
    left_behind: tuple[str, ...] = ()
    passed_through: tuple[tuple[str, str], ...] = ()
    skull_teeth: bool = True
    yielding_hands: bool = False

    @property
    def hands_yield(self) -> bool:
        """Whether results have hands of their own."""
        return self.yielding_hands and self.mode in YIELDING

    def settings(self) -> "PhysicsSettings":
        """The tissue preset with its interaction preset. Raises SimulationError."""
        from ..sim.settings import PhysicsSettings

        return PhysicsSettings.load(self.tissue, self.interaction)

    def fingerprint(self, volume: str) -> str:
        """Of what affects the result besides topology and motion; volume: fingerprint of the template. Raises
        SimulationError."""
        values = {
            "mode": self.mode,
            "tissue": asdict(self.settings()),
            "volume": volume,
            "frame_rate": self.frame_rate,
        }
        if self.mode == NETWORK:  # different weights, different result
            values["network"] = hashlib.sha256(weights_path().read_bytes()).hexdigest()
        if self.left_behind:
            values["left_behind"] = self.left_behind
        if self.passed_through and self.mode in VOLUMETRIC:
            values["passed_through"] = self.passed_through
        if not self.skull_teeth and self.mode in VOLUMETRIC:
            values["skull_teeth"] = False
        if self.hands_yield:
            values["yielding_hands"] = True
        return settings_fingerprint(values)


def read_method(scene: Any) -> Method:
    chosen = scene.nephim
    left = (item.material for item in chosen.attachments if item.owner == chosen.head and not item.carried)
    return Method(
        chosen.mode,
        chosen.tissue,
        chosen.interaction,
        frame_rate(scene),
        tuple(sorted(left)),
        unticked(chosen.obstacles, "kept_off"),
        chosen.skull_teeth,
        chosen.yielding_hands,
    )


@dataclass(frozen=True)
class Plan:
    """rig: the roles; method: how contact is resolved; folder: where results are stored; target_edge [m] of the
    simulated skin; skull_model: file that predicts jaw and cranium, or None; skull: see `choices.SKULLS`."""

    rig: Rig
    method: Method
    folder: Folder
    target_edge: float
    skull_model: Path | None
    skull: str

    def volume_settings(self) -> "VolumeSettings":
        from ..sim.volume.build import VolumeSettings

        return VolumeSettings(target_edge=self.target_edge, skull=self.skull)


def read_plan(scene: Any) -> Plan:
    """Raises RigError if the rig cannot be used, CacheError if the .blend has never been saved."""
    chosen = scene.nephim
    check_own_head(scene)
    return Plan(
        rig=read_rig(scene),
        method=read_method(scene),
        folder=folder(scene),
        target_edge=1e-3 * chosen.target_edge_mm,
        skull_model=Path(bpy.path.abspath(chosen.skull_model)) if chosen.skull_model else None,
        skull=chosen.skull,
    )
