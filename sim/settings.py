# SPDX-License-Identifier: GPL-3.0-or-later
"""Material and interaction values of the physics, read from presets in TOML."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from ..errors import SimulationError

FOLDER = Path(__file__).resolve().parent.parent / "presets" / "tissues"


@dataclass(frozen=True)
class PhysicsSettings:
    """Every value with its unit; sources stand in the preset files."""

    w_str: float = 3400.0  # [Pa] strain weight of soft tissue, E about 5 kPa
    w_vol: float = 10200.0  # [Pa] volume weight
    volume_tolerance: float = 0.05  # [-] det F may leave det F_tra by this fraction
    w_skin: float = 90.0  # [N/m] membrane stiffness of the skin
    w_tra: float = 2.0e4  # [Pa/m] attachment of the skin to the tracked surface
    friction: float = 0.5  # [-] Coulomb coefficient between hand and skin
    drag_limit: float = 0.007  # [m] skin dragged further starts to slip, at twice this it slips freely
    gap: float = 0.0005  # [m] distance at which skin and hand touch
    compression_limit: float = 0.7  # [-] share of the local tissue depth by which skin may yield towards bone
    relaxation_time: float = 0.04  # [s] time constant of the return after release
    step_length: float = 0.0015  # [m] a hand vertex near the skin moves at most so far within a substep
    max_substeps: int = 24
    iterations: int = 4  # per substep
    final_iterations: int = 20  # in the last substep of a frame

    @classmethod
    def load(cls, name: str) -> "PhysicsSettings":
        """Reads `presets/tissues/NAME.toml`. Raises SimulationError naming the preset and the faulty key."""
        path = FOLDER / f"{name}.toml"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
            raise SimulationError(f"There is no tissue preset '{name}'.", advice=f"Choose one of: {known}.")
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise SimulationError(f"The tissue preset {path.name} is not valid TOML: {error}.") from error
        known_fields = {f.name: f.type for f in fields(cls)}
        for key, value in values.items():
            if key not in known_fields:
                raise SimulationError(f"The tissue preset {path.name} has an unknown value '{key}'.")
            if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
                raise SimulationError(
                    f"The value '{key}' of the tissue preset {path.name} must be a number of at least 0."
                )
        return cls(**values)
