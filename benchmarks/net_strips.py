# SPDX-License-Identifier: GPL-3.0-or-later
"""Physics, reduced physics and network side by side on motions that nothing was tuned on: of each kind of gesture a
picture strip of the strongest contact, and all of them in a film. Needs the bpy module for lettering and encoding."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nephim.demo.assets import fetch_character_data
from nephim.demo.character import load_character
from nephim.motions.cast import CAST, load_cast
from nephim.motions.identities import load_identity
from nephim.nn.pipeline import hand_surfaces
from nephim.nn.recording import Recording, metres
from nephim.nn.runtime import Network
from nephim.nn.weights import Weights
from nephim.pictures.encoding import encode_job
from nephim.progress import drive
from nephim.sim.intervals import runs
from nephim.sim.reduced import ReducedPhysics
from nephim.sim.settings import PhysicsSettings

from .net_plane import gestures
from .strips import Studio
from .train_demo import OUT

_FRAME_RATE, _SHOWN = 24.0, 45  # of the film; frames before and after the strongest that it shows
_AROUND = 6  # frames before and after a contact that belong to it


def contacts(recording: Recording) -> list[tuple[int, int]]:
    """First and last frame of every contact, with what is around it."""
    busy = recording.deformation.any(axis=(1, 2))
    last = len(recording) - 1
    return [(max(a - _AROUND, 0), min(b + _AROUND, last)) for a, b in runs(busy)]


def strongest(folder: Path, puppet: Any, template: Any, frames: int | None) -> list[tuple[float, str, int, int, int]]:
    """The strongest contact of each kind of gesture: displacement [m], name, seed, first and last frame."""
    found: dict[str, tuple[float, str, int, int, int]] = {}
    for path in sorted(folder.glob("sequence-*.npz")):
        recording = Recording.load(path)
        labels = gestures(puppet, template, recording, len(recording), folder)
        for first, last in contacts(recording.part(0, frames)):
            moved = np.abs(metres(recording.deformation[first : last + 1])).max(axis=(1, 2))
            name = labels[first + int(moved.argmax())] or "between"
            found[name] = max(
                found.get(name, (0.0, name, 0, 0, 0)), (float(moved.max()), name, recording.seed, first, last)
            )
    return sorted(found.values(), reverse=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/network/test"), help="recorded sequences")
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument("--weights", type=Path, default=OUT)
    parser.add_argument("--out", type=Path, default=Path("build/network"))
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--frames", type=int, help="of each sequence that are looked at, default all")
    parser.add_argument("--film", action="store_true", help="also all of them in motion, in one film (minutes)")
    given = parser.parse_args(arguments)

    archive = drive(fetch_character_data(given.assets))
    puppet, template = load_cast(given.folder)
    identity = json.loads((given.folder / CAST).read_text(encoding="utf-8"))["identity"]
    character = load_identity(given.assets, identity) if identity else load_character(archive)
    settings, weights = PhysicsSettings.load("default", "touch"), Weights.load(given.weights)
    studio = Studio(character, template.skin_vertices, template.skin_triangles)
    chosen = strongest(given.folder, puppet, template, given.frames)[: given.count]
    pictures = Path(tempfile.mkdtemp(prefix="nephim-"))  # of the film
    for number, (_, name, seed, first, last) in enumerate(chosen):
        recording = Recording.load(given.folder / f"sequence-{seed:06d}.npz")
        hands = hand_surfaces(puppet, recording)
        given_to = {"left": hands.get("L"), "right": hands.get("R"), "frame_rate": recording.frame_rate}
        methods: dict[str, Any] = {"reduced": ReducedPhysics(template, settings, **given_to)}
        if not identity:  # networks are for the people they were trained on
            methods["network"] = Network(template, weights, **given_to)
        frames = [recording.frame(template, k) for k in range(first, last + 1)]
        steps = {method: [simulation.step(frame) for frame in frames] for method, simulation in methods.items()}
        tracked = np.stack([step.tracked for step in steps["reduced"]])
        turns = recording.cranium[first : last + 1, :3, :3].astype(np.float32)
        moved = np.einsum("fij,fnj->fni", turns, metres(recording.deformation[first : last + 1]))
        skins = {"tracked": tracked, "physics": tracked + moved}
        skins |= {method: np.stack([step.skin for step in done]) for method, done in steps.items()}
        path = given.out / f"side-by-side-{identity or 'demo'}-{number}.png"
        studio.strip(path, f"{name}: sequence {seed}, from frame {first}", frames, skins, "physics")
        print(path)
        if given.film:
            peak = int(np.linalg.norm(skins["physics"] - tracked, axis=2).max(axis=1).argmax())
            shown = slice(max(0, peak - _SHOWN), peak + _SHOWN)
            part = {method: skin[shown] for method, skin in skins.items()}
            pixels = studio.film_pictures(pictures, name, frames[shown], part, "physics")
    if given.film:
        film = given.out / f"film-{identity or 'demo'}.mp4"
        drive(encode_job({film: pictures}, pixels, _FRAME_RATE, "film"))
        print(film)
    shutil.rmtree(pictures)


if __name__ == "__main__":
    main()
