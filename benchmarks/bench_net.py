# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-net`: the network against the physics on motions that it has not seen; the last line is one JSON object.

Four sequences of 1000 frames are recorded once. First comes the plane: error and time of every way to simulate a frame
(`net_plane.py`). Besides the network, it measures the error of the subspace alone, of a global PCA subspace, of α and β
alone, and of a network without history; ten thousand frames in a row; and times.
"""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from nephim import threads
from nephim.bridge.cache.manifest import write_json
from nephim.motions.cast import prepare_demo
from nephim.nn.dataset import make_plan, record_dataset, sequence_path
from nephim.nn.evaluation import evaluate, pca_floor, subspace_floor
from nephim.nn.pipeline import hand_surfaces, read_job, recorded_seeds, tame
from nephim.nn.recording import Recording, metres
from nephim.nn.rollout import rollout_error
from nephim.nn.runtime import Network
from nephim.nn.samples import make_sample
from nephim.nn.torch_runtime import TorchNetwork, devices
from nephim.nn.training_settings import TrainSettings
from nephim.nn.weights import Weights
from nephim.progress import drive
from nephim.sim.measure import percentiles

from .held_back import held_back
from .net_plane import candidates, dominated, gestures, measure_one, pareto, table
from .plane_picture import plane_picture
from .train_demo import OUT

FIRST_SEED, FRAMES = 100_000, 1000  # seeds that no training uses
_PCA = (64, 256)  # components of the global subspace
_LAPS = 10
_SEEN_FOR_PCA = 12  # sequences: PCA needs all their vertices in memory


def laps(template, hands, weights: Weights, recording: Recording, controls) -> dict[str, float]:
    """RMSE [mm] over all vertices in the first and the last of ten times the same motion, one after the other."""
    network = Network(template, weights, **hands, frame_rate=recording.frame_rate, controls=controls)
    result = {}
    for lap in range(_LAPS):
        squared = 0.0
        for k in range(len(recording)):
            step = network.step(recording.frame(template, k))
            if lap in (0, _LAPS - 1):
                moved = (step.skin - step.tracked) @ recording.cranium[k][:3, :3].astype(np.float32)
                squared += float(((moved - metres(recording.deformation[k])) ** 2).sum(axis=1).mean())
        if lap in (0, _LAPS - 1):
            result["first" if lap == 0 else "last"] = 1e3 * float(np.sqrt(squared / len(recording)))
    return result


def through_torch(template, hands, weights: Weights, recording: Recording, controls) -> dict[str, dict[str, float]]:
    """Device → ms a frame, those of Φ alone, and the largest distance [mm] to the plain arrays; {} without torch."""
    others = {**hands, "frame_rate": recording.frame_rate, "controls": controls}
    result = {}
    for device in devices():
        plain, ours = Network(template, weights, **others), TorchNetwork(template, weights, device=device, **others)
        total, phi, apart = [], [], 0.0
        for k in range(len(recording)):
            frame = recording.frame(template, k)
            step = ours.step(frame)
            total.append(step.statistics["ms"])
            phi.append(1e3 * ours.times["network"])
            apart = max(apart, float(np.abs(step.skin - plain.step(frame).skin).max()))
        times = {**percentiles(np.array(total), (50, 95)), "network_p50": float(np.median(phi))}
        result[device] = {**times, "apart_mm": 1e3 * apart}
    return result


def without_history(folder: Path, seeds: Sequence[int], minutes: float) -> Weights | None:
    """A network of the same size that sees only the present frame; None without torch. Trained once."""
    path = folder / "without-history.npz"
    if not path.is_file():
        if not minutes:
            return None
        try:
            from nephim.nn.training import train
        except ModuleNotFoundError:
            return None
        recorded = drive(read_job([folder], seeds, history=False))
        settings = TrainSettings(minutes=minutes, history=False)
        drive(train(recorded.people, recorded.seen, recorded.unseen, settings)).weights.save(path)
    return Weights.load(path)


def plane(template, puppet, weights: Weights, recordings: Sequence[Recording], given: argparse.Namespace) -> dict:
    """Every method on the first frames of each sequence; also as a table and as a picture."""
    labels = [gestures(puppet, template, recording, given.frames, given.test) for recording in recordings]
    parts = [recording.part(0, given.plane_frames) for recording in recordings]
    rows = {}
    for name, make in candidates(template, weights, given.assets, given.test).items():
        rows[name] = measure_one(make, template, puppet, parts, labels).figures()
        print(f"{name}: {rows[name]['relative_error']['p50']:.3f}, {rows[name]['ms']['p50']:.1f} ms", flush=True)
    listed = pareto(rows)
    (given.out.parent / "plane.md").write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))
    plane_picture(given.out.parent / "plane.png", rows)
    return {"plane": rows, "pareto": listed, "dominated": dominated(listed)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/network/demo"), help="what was trained on")
    parser.add_argument("--test", type=Path, default=Path("build/network/test"))
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parser.add_argument("--weights", type=Path, default=OUT)
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--no-history-minutes", type=float, default=5.0, help="0 leaves that network out")
    parser.add_argument("--plane-frames", type=int, default=200, help="of each sequence; 0 leaves it out")
    parser.add_argument("--plane-only", action="store_true", help="only the plane, and the heads held back")
    parser.add_argument("--held-back", type=Path, default=Path("build/network/held-back"))
    parser.add_argument("--held-back-frames", type=int, default=240, help="of each head; 0 leaves them out")
    parser.add_argument("--out", type=Path, default=Path("build/network/bench.json"))
    given = parser.parse_args(arguments)

    weights = Weights.load(given.weights)
    given.test.mkdir(parents=True, exist_ok=True)
    puppet, template = drive(prepare_demo(given.test, given.assets))
    make_plan(given.test, given.frames)
    seeds = range(FIRST_SEED, FIRST_SEED + given.sequences)
    drive(record_dataset(given.test, seeds))
    recordings = [Recording.load(sequence_path(given.test, seed)) for seed in seeds]
    result = plane(template, puppet, weights, recordings, given) if given.plane_frames else {}
    if given.held_back_frames:
        given.held_back.mkdir(parents=True, exist_ok=True)
        result["held_back"] = held_back(given.held_back, given.assets, given.held_back_frames)
    if given.plane_only:
        write_json(given.out, result)
        print(json.dumps(result))
        return
    lost = [tame(recording)[1] > 0 for recording in recordings]
    surfaces = hand_surfaces(puppet, recordings[0])
    result |= drive(evaluate(template, surfaces, weights, recordings))
    hands = {"left": surfaces.get("L"), "right": surfaces.get("R")}
    network = Network(template, weights, **hands, frame_rate=recordings[0].frame_rate)
    if any(lost) and not all(lost):
        kept = [r for r, is_lost in zip(recordings, lost, strict=True) if not is_lost]
        judged = drive(evaluate(template, surfaces, weights, kept, controls=network.controls))
        names = ("rmse_mm", "p95_mm", "max_mm", "added_penetration_mm")
        result["without_lost_sequences"] = {name: judged[name] for name in names}
    result |= {
        "test_frames": result["frames"],
        "parameters": weights.parameters,
        "file_mb": given.weights.stat().st_size / 1e6,
        "fps_one_thread": 1000 / result["ms"]["total"]["p50"],
        "speedup_over_physics": result["physics_ms"]["in_contact_p50"] / result["ms"]["total"]["p50"],
        "torch_ms": through_torch(template, hands, weights, recordings[0], network.controls),
        "ten_laps_rmse_mm": laps(template, hands, weights, recordings[0], network.controls),
        "subspace_floor": subspace_floor(network.controls, recordings),
        "sequences_the_physics_lost": [seed for seed, is_lost in zip(seeds, lost, strict=True) if is_lost],
        "threads": threads.count(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **{name: weights.origin.get(name) for name in ("frames", "dataset_minutes", "train_minutes", "people")},
    }
    there = recorded_seeds(given.folder) if (given.folder / "plan.json").is_file() else []
    if len(there) >= 2:
        seen = [Recording.load(sequence_path(given.folder, seed)) for seed in there[:_SEEN_FOR_PCA]]
        result["pca_floor"] = [pca_floor(seen, recordings, components) for components in _PCA]
        del seen
        recorded = drive(read_job([given.folder], range(max(there) + 1)))
        person = recorded.people[0]
        unseen = [make_sample(r, person, 0, motion=True) for r in recordings]
        # α and β alone: Φ is nothing. From rest nothing ever moves, so this is the size of what is to be predicted.
        still = replace(
            weights, layers=((np.zeros_like(weights.skip), np.zeros(3, np.float32)),), skip=0 * weights.skip
        )
        result["controls_rmse_mm"] = {
            "network": rollout_error(recorded.people, weights, unseen),
            "alpha_beta_only": rollout_error(recorded.people, still, unseen),
        }
        other = without_history(given.folder, range(max(there) + 1), given.no_history_minutes)
        if other is not None:
            result["controls_rmse_mm"]["no_history"] = rollout_error(recorded.people, other, unseen, False)
    write_json(given.out, result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
