# SPDX-License-Identifier: GPL-3.0-or-later
"""Physics and network side by side on motions that the network has not seen: a picture strip for each of the contacts
that deform the face most. Needs the bpy module for lettering."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nephim.demo.assets import fetch_character_data
from nephim.demo.character import load_character
from nephim.motions.cast import load_cast
from nephim.nn.dataset import sequence_path
from nephim.nn.pipeline import hand_surfaces, recorded_seeds
from nephim.nn.recording import Recording, metres
from nephim.nn.runtime import Network
from nephim.nn.weights import Weights
from nephim.progress import drive
from nephim.sim.intervals import runs

from .strips import Studio
from .train_demo import OUT

_AROUND = 6  # frames before and after a contact that belong to it


def contacts(recording: Recording) -> list[tuple[int, int]]:
    """First and last frame of every contact, with what is around it."""
    busy = recording.deformation.any(axis=(1, 2))
    last = len(recording) - 1
    return [(max(a - _AROUND, 0), min(b + _AROUND, last)) for a, b in runs(busy)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/network/test"), help="recorded sequences")
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument("--weights", type=Path, default=OUT)
    parser.add_argument("--out", type=Path, default=Path("build/network"))
    parser.add_argument("--count", type=int, default=6)
    given = parser.parse_args(arguments)

    character = load_character(drive(fetch_character_data(given.assets)))
    puppet, template = load_cast(given.folder)
    weights = Weights.load(given.weights)
    studio = Studio(character, template.skin_vertices, template.skin_triangles)
    found = []
    for seed in recorded_seeds(given.folder):
        recording = Recording.load(sequence_path(given.folder, seed))
        hands = hand_surfaces(puppet, recording)
        network = Network(template, weights, left=hands.get("L"), right=hands.get("R"), frame_rate=recording.frame_rate)
        frames = [recording.frame(template, k) for k in range(len(recording))]
        steps = [network.step(frame) for frame in frames]
        for first, last in contacts(recording):
            rows = slice(first, last + 1)
            tracked = np.stack([s.tracked for s in steps[rows]])
            turns = recording.cranium[rows, :3, :3].astype(np.float32)
            moved = np.einsum("fij,fnj->fni", turns, metres(recording.deformation[rows]))
            skins = {"tracked": tracked, "physics": tracked + moved, "network": np.stack([s.skin for s in steps[rows]])}
            found.append((float(np.abs(moved).max()), seed, first, frames[rows], skins))
        found = sorted(found, key=lambda f: -f[0])[: given.count]
    for number, (_, seed, first, frames, skins) in enumerate(found):
        path = given.out / f"side-by-side-{number}.png"
        studio.strip(path, f"sequence {seed}, from frame {first}: unseen by the network", frames, skins, "physics")
        print(path)


if __name__ == "__main__":
    main()
