# SPDX-License-Identifier: GPL-3.0-or-later
"""`make train-demo`: records the demo character with the physics and trains the network that comes with the add-on.

With --people the network learns from several of MakeHuman's people. Writes presets/networks/demo.npz and, in
build/network/, the recorded sequences, a picture of where hands touched and one of the training. An interrupted run
resumes. Motions and initial weights follow from seeds; as training is limited by time and adds in parallel, the weights
of two runs agree in quality, not in every digit.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from nephim.motions.cast import prepare_demo
from nephim.motions.identities import IDENTITIES
from nephim.nn.dataset import finished, write_manifest
from nephim.nn.pipeline import CURVE, read_job, record_job, train_job
from nephim.nn.training_settings import TrainSettings
from nephim.nn.weights import Weights
from nephim.progress import drive

from .net_pictures import coverage_picture, curve_picture

OUT = Path("presets/networks/demo.npz")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/network"), help="each person's is in it")
    parser.add_argument(
        "--people",
        nargs="+",
        default=["demo"],
        choices=["demo", *IDENTITIES],
        metavar="NAME",
        help=", ".join(IDENTITIES),
    )
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--sequences", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=25.0, help="of training")
    parser.add_argument("--processes", type=int, help="that record side by side; default one a core")
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--rate", type=float, help="learning rate; default 0.002, from given weights 0.0005")
    parser.add_argument("--recorded", action="store_true", help="train on the sequences there are, record no more")
    given = parser.parse_args(arguments)

    folders = [given.folder / name for name in given.people]
    for name, folder in zip(given.people, folders, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        drive(prepare_demo(folder, given.assets, "" if name == "demo" else name))
    seeds = range(given.sequences)
    if given.recorded:
        for folder in folders:
            write_manifest(folder, finished(folder, seeds))
        recorded = drive(read_job(folders, seeds, sum(_minutes_of_physics(folder) for folder in folders)))
    else:
        recorded = drive(record_job(folders, seeds, processes=given.processes))
    for number, (folder, person) in enumerate(zip(folders, recorded.people, strict=True)):
        own = [s for s in (*recorded.seen, *recorded.unseen) if s.person == number]
        coverage_picture(folder / "coverage.png", person.template, person.controls, own)
    start = Weights.load(given.start) if given.start else None
    settings = TrainSettings(minutes=given.minutes, rate=given.rate or (5e-4 if start else TrainSettings.rate))
    origin = {"character": ", ".join(given.people)}
    trained = drive(train_job(recorded, folders, settings, given.out, start=start, origin=origin))
    curve_picture(folders[0] / "training.png", json.loads((folders[0] / CURVE).read_text()))
    for note in trained.notes:
        print(note)
    print(json.dumps({"weights": str(given.out), "parameters": trained.weights.parameters, **trained.weights.origin}))


def _minutes_of_physics(folder: Path) -> float:
    """Minutes that the physics of all recorded sequences took on one core, from the manifest."""
    rows = json.loads((folder / "manifest.json").read_text())["sequences"]
    return sum(row["seconds"] for row in rows) / 60


if __name__ == "__main__":
    main()
