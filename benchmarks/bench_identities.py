# SPDX-License-Identifier: GPL-3.0-or-later
"""How a network carries over to people it was not trained on, and back after minutes of adaptation; one JSON object.

For the demo character and each held-back person: the error on sequences of its own, as the network is and after
training on all of them but the last.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from nephim.bridge.cache.manifest import write_json
from nephim.motions.cast import load_cast, prepare_demo
from nephim.motions.identities import HELD_BACK
from nephim.nn.evaluation import evaluate
from nephim.nn.pipeline import hand_surfaces, record_job, train_job, unseen_recordings
from nephim.nn.training_settings import TrainSettings
from nephim.nn.weights import Weights
from nephim.progress import drive

from .train_demo import OUT

FIRST_SEED = 200_000  # seeds that no other training uses
_RATE = 5e-4


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/network/adaptation"))
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument("--weights", type=Path, default=OUT)
    parser.add_argument("--people", nargs="+", default=["demo", *HELD_BACK])
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=5.0, help="of adaptation")
    parser.add_argument("--out", type=Path, default=Path("build/network/identities.json"))
    given = parser.parse_args(arguments)

    weights = Weights.load(given.weights)
    result = {}
    for name in given.people:
        folder = given.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        drive(prepare_demo(folder, given.assets, "" if name == "demo" else name))
        recorded = drive(record_job([folder], range(FIRST_SEED, FIRST_SEED + given.sequences)))
        puppet, template = load_cast(folder)
        recordings = unseen_recordings(folder)
        hands = hand_surfaces(puppet, recordings[0])

        def judge(candidate, template=template, hands=hands, recordings=recordings) -> dict:
            figures = drive(evaluate(template, hands, candidate, recordings, strict=False))
            return {key: figures[key] for key in ("rmse_mm", "p95_mm", "max_mm", "added_penetration_mm")}

        before = judge(weights)
        settings = TrainSettings(minutes=given.minutes, rate=_RATE)
        trained = drive(train_job(recorded, [folder], settings, folder / "adapted.npz", start=weights))
        result[name] = {"before": before, "after": judge(trained.weights), "minutes": trained.curve[-1][0]}
        write_json(given.out, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
