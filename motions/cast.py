# SPDX-License-Identifier: GPL-3.0-or-later
"""The performer: a folder with `cast.json` and `template.npz` from which any process builds the same puppet."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..choices import THICKNESS
from ..demo.assets import fetch_character_data
from ..demo.character import Character, load_character
from ..errors import CacheError
from ..files import atomic_write
from ..progress import Job
from ..sim.geometry.refine import Refinement, refine
from ..sim.geometry.surface import Surface
from ..sim.template import Template
from ..sim.volume.build import VolumeSettings, build_template, fingerprint
from .puppet import Puppet, RecordedHand, RecordedHead, demo_puppet

CAST, TEMPLATE, SHOT = "cast.json", "template.npz", "shot.npz"
FORMAT = 1
# Wished edges [m] of the demo heads, as in the demo scene: on the face, and elsewhere.
_FACE_EDGE, _OTHER_EDGE = 4e-3, 8e-3
# The skull of the people that networks learn from: the network that ships was trained with it. Whoever trains it anew
# can take the one that everybody's head gets.
SKULL = THICKNESS


@dataclass(frozen=True)
class Cast:
    """kind "demo": MakeHuman's character from `assets`; kind "shot": shapes of a tracked shot in `shot.npz`."""

    kind: str
    name: str
    assets: str = ""
    identity: str = ""
    format: int = FORMAT


def prepare_demo(folder: Path, assets: Path, identity: str = "") -> Job[tuple[Puppet, Template]]:
    """Creates a demo character's folder; its volume is built once. identity: see `identities`, "" is the demo's."""
    yield from fetch_character_data(assets)
    puppet = _demo(assets, identity)
    path = folder / TEMPLATE
    head = Surface(puppet.head.neutral, puppet.head.triangles, identity or "Head")  # type: ignore[attr-defined]
    settings = VolumeSettings(skull=SKULL)
    try:
        template = Template.load(path)
    except CacheError:
        template = None
    if template is None or template.fingerprint != fingerprint([head, None, None], settings):
        template = yield from build_template(head, None, None, settings=settings)
        template.save(path)
    _write(folder, Cast("demo", identity or "demo", str(Path(assets).absolute()), identity))
    return puppet, template


def prepare_shot(folder: Path, name: str, template: Template, hands: dict[str, dict[str, NDArray]]) -> Puppet:
    """Creates the folder of a character known from a tracked shot. hands: side → shapes (k, n, 3) [m], triangles
    (m, 3) and contact (k,), the vertex nearest to the face in each shape."""
    template.save(folder / TEMPLATE)
    arrays = {f"{side}.{key}": value for side, parts in hands.items() for key, value in parts.items()}
    with atomic_write(folder / SHOT, f"{folder / SHOT} could not be written", "Free disk space.") as stream:
        np.savez(stream, **arrays)
    _write(folder, Cast("shot", name))
    return load_cast(folder)[0]


def load_cast(folder: Path) -> tuple[Puppet, Template]:
    """Loads the result of `prepare_demo` or `prepare_shot`. Raises CacheError."""
    try:
        cast = Cast(**json.loads((folder / CAST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CacheError(f"{folder} does not say who performs ({error}).", advice="Restart the training.") from error
    template = Template.load(folder / TEMPLATE)
    if cast.kind == "demo":
        return _demo(Path(cast.assets), cast.identity), template
    with np.load(folder / SHOT, allow_pickle=False) as stored:
        hands = {
            side: RecordedHand(stored[f"{side}.shapes"], stored[f"{side}.triangles"], side, stored[f"{side}.contact"])
            for side in "LR"
            if f"{side}.shapes" in stored
        }
    head = RecordedHead(template.head_vertices, template.skin_triangles)
    return Puppet(cast.name, head, hands), template  # type: ignore[arg-type]


def _demo(assets: Path, identity: str) -> Puppet:
    archive = assets / "character.npz"
    character = load_character(archive)
    if identity:
        from .identities import load_identity

        character = load_identity(assets, identity)
    fine = refined(character)
    return demo_puppet(identity or "demo", character, fine.matrix, fine.linear, fine.triangles)


def refined(character: Character) -> Refinement:
    """The head at simulation resolution, as the demo scene has it."""
    head = character.head
    face = (head.vertices[:, 1] < -0.03) & (head.vertices[:, 2] > 0.04)
    return refine(head.vertices, head.triangles, np.where(face, _FACE_EDGE, _OTHER_EDGE))


def _write(folder: Path, cast: Cast) -> None:
    with atomic_write(folder / CAST, f"{folder / CAST} could not be written", "Free disk space.") as stream:
        stream.write(json.dumps(asdict(cast), indent=1).encode())
