# SPDX-License-Identifier: GPL-3.0-or-later
"""Material and interaction values of the physics, read from presets in TOML."""

import tomllib
from collections.abc import Set
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import SimulationError

FOLDER = Path(__file__).resolve().parent.parent / "presets" / "tissues"
INTERACTIONS = FOLDER.parent / "interactions"
# Values that depend on hand and skin together belong to the interaction, which may also override hand-specific ones.
_OF_CONTACT = frozenset({"friction", "gap", "lips_grip", "lips_drag", "scalp_grip"})
_OVERRIDABLE = frozenset({"drag_limit", "compression_limit", "relaxation_time"})


@dataclass(frozen=True)
class PhysicsSettings:
    """Every value with its unit; the preset files give the sources."""

    w_str: float = 3400.0  # [Pa] strain weight of soft tissue, E about 5 kPa
    w_vol: float = 34000.0  # [Pa] volume weight
    volume_tolerance: float = 0.0  # [-] det F may leave det F_tra by this fraction
    cell_volume: float = 0.0  # [m³] of cells of tissue that keep their volume as a whole; 0: none
    w_skin: float = 90.0  # [N/m] membrane stiffness of the skin
    w_tra: float = 2.0e4  # [Pa/m] attachment of the skin to the tracked surface
    friction: float = 0.5  # [-] Coulomb coefficient between hand and skin
    drag_limit: float = 0.007  # [m] skin dragged further starts to slip, at twice this it slips freely
    lips_grip: float = 2.0  # [-] friction of lips as a multiple of `friction`
    lips_drag: float = 2.0  # [-] drag limit of lips as a multiple of `drag_limit`
    scalp_grip: float = 0.5  # [-] friction of the hairy scalp as a multiple of `friction`
    pull_limit: float = 0.030  # [m] pinched skin that was pulled further lets go
    gap: float = 0.0005  # [m] distance at which skin and hand touch
    compression_limit: float = 0.7  # [-] fraction of the local tissue depth by which skin may yield towards bone
    relaxation_time: float = 0.04  # [s] time constant of the return after release
    step_length: float = 0.0015  # [m] largest move of a hand vertex near the skin within a substep
    max_substeps: int = 60  # per frame; a faster hand takes longer steps
    iterations: int = 4  # per substep: with three, a fast stroke's error is nearly three times as large
    final_iterations: int = 20  # in the last substep of a frame

    @classmethod
    def load(cls, tissue: str, interaction: str = "touch") -> "PhysicsSettings":
        """The tissue preset `presets/tissues/TISSUE.toml`, with what `presets/interactions/INTERACTION.toml` overrides.

        Raises SimulationError naming the preset and the faulty key.
        """
        every = {f.name for f in fields(cls)}
        values = _read("tissue", FOLDER, tissue, every - _OF_CONTACT)
        return cls(**values | _read("interaction", INTERACTIONS, interaction, _OF_CONTACT | _OVERRIDABLE))


def _read(kind: str, folder: Path, name: str, allowed: Set[str]) -> dict[str, Any]:
    """The values of one preset file, checked."""
    path = folder / f"{name}.toml"
    known = sorted(p.stem for p in folder.glob("*.toml"))
    if name not in known:
        raise SimulationError(f"There is no {kind} preset '{name}'.", advice=f"Choose one of: {', '.join(known)}.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SimulationError(f"The {kind} preset {path.name} is not valid TOML: {error}.") from error
    for key, value in values.items():
        if kind == "tissue" and key in _OF_CONTACT:
            raise SimulationError(
                f"The tissue preset {path.name} sets '{key}', which also depends on the hand.",
                advice="Set it in an interaction preset.",
            )
        if key not in allowed:
            raise SimulationError(
                f"The {kind} preset {path.name} has an unknown value '{key}'.",
                advice=f"It may set: {', '.join(sorted(allowed))}.",
            )
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
            raise SimulationError(f"The value '{key}' of the {kind} preset {path.name} must be a number of at least 0.")
        if key == "gap" and not value:
            raise SimulationError(
                f"The {kind} preset {path.name} sets 'gap' to 0, by which all lengths of contact are measured.",
                advice="Set it to 0.0005, half a millimetre, or more.",
            )
    return values
