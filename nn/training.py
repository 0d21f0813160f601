# SPDX-License-Identifier: GPL-3.0-or-later
"""Training: windows of patches of controls, with the network's own predictions fed back; the window grows 1 → 64.

Training stops when its time is up, or early when the error in free rollout over whole unseen sequences no longer falls.
The best state is kept; an interrupted training resumes from its checkpoint.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from ..errors import CacheError, SimulationError
from ..files import atomic_write, read_arrays
from ..progress import Job, Progress
from .contact_field import DEPTH
from .controls import STATIC
from .features import COUNT, FRAME_UNIT, STATE_UNIT
from .model import Neighbourhoods, Phi, Surroundings
from .recurrence import present_only
from .rollout import rollout_error
from .samples import Person, Sample, least_squares
from .training_settings import TrainSettings
from .weights import Weights

# Share of the training time until which windows have this many frames.
WINDOWS = ((0.03, 1), (0.10, 4), (0.20, 8), (0.40, 16), (0.65, 32), (1.0, 64))
_WINDOW_TO_ADAPT = 16
_POINT_STEPS = 16384  # controls × frames in a batch: short windows come in larger batches
_MOST_PATCHES = 32  # in a batch: cutting out a patch costs as much as eight of its steps
_CORE = 0.6  # share of a patch, from its middle, that learns; the state of what lies around it is given
_SCALE = 1.3  # largest scale of the initial states of such windows
_NOISE = 3e-4  # [m] on the initial states, so that the network learns to correct its own errors
_CONTACT_WEIGHT, _ONSET_WEIGHT = 1.0, 1.0  # added to 1 where skin touches, and where contact begins or ends
_VELOCITY = 0.5  # weight of the error of the change against that of the state
_BUSY = 3e-4  # [m] displacement that makes a frame worth a window
_IDLE_SHARE = 0.08  # of windows anywhere, so that quiet skin stays quiet
_RANGE_ROOM = 0.1  # features may leave the range seen in training by this share of it
# A rising error means nothing before windows are this long: until then, rollouts are not what is being learned.
_SETTLED = 32
_DIVERGED = 3.0  # times the best rollout error at which a training has failed
_CLIP_NORM = 1.0
_MEMORY = 500  # steps over which the weights are averaged: what is judged and kept is the average
_WEIGHT_DECAY = 5e-2
_LONGEST_STEP = 5.0  # [s] a step counts as at most this long: a machine that was asleep did not train


@dataclass(frozen=True)
class Trained:
    """weights: the best state; curve: per rollout (minutes, window, loss, error [mm]); notes: to show."""

    weights: Weights
    curve: list[tuple[float, int, float, float]]
    notes: tuple[str, ...]


class Batches:
    """Draws windows of patches."""

    def __init__(self, people: Sequence[Person], samples: Sequence[Sample], settings: TrainSettings):
        self._samples, self._settings = samples, settings
        self._near = [Neighbourhoods(person.controls, settings.device) for person in people]
        self._random = np.random.default_rng(settings.seed)
        # Frames worth learning from, per sample, and in each the controls that are busy.
        self._busy = []
        for number, sample in enumerate(samples):
            moved = np.abs(sample.states).max(axis=2).max(axis=1) > _BUSY
            self._busy += [(number, int(f)) for f in np.flatnonzero(moved)]
        if not self._busy:
            raise SimulationError("In no training sequence is the skin ever touched.", advice="Record more sequences.")

    def draw(self, window: int) -> tuple[Surroundings, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Surroundings, true states (b, window + 2, p, 3) [m] from two frames before the window, loss weights
        (b, window, p), and which controls are in the core (b, p)."""
        settings, random = self._settings, self._random
        count = min(max(2, _POINT_STEPS // (window * settings.patch)), _MOST_PATCHES)
        parts: list[list] = [[] for _ in range(9)]
        for _ in range(count):
            sample, first, chosen, core = self._window(random, window)
            kernels, frames, static = self._near[sample.person].patch(torch.from_numpy(chosen))
            if random.random() < 0.5:
                kernels, frames, static = mirrored(kernels, frames, static)
            states = sample.states[first - 2 : first + window][:, chosen]
            fields = sample.fields[first - 1 : first + window][:, chosen]
            touching = sample.touching[first - 1 : first + window][:, chosen]
            weight = 1.0 + _CONTACT_WEIGHT * touching[1:] + _ONSET_WEIGHT * (touching[1:] != touching[:-1])
            length = np.array(1 / (sample.frame_rate * FRAME_UNIT))
            arrays = (states, fields, sample.lags[first - 1][chosen], weight, core, length)
            values = (kernels, frames, static, *(torch.as_tensor(_single(array)) for array in arrays))
            for part, value in zip(parts, values, strict=True):
                part.append(value)
        kernels, frames, static, states, fields, lag, weight, core, duration = (
            torch.stack(part).to(settings.device) for part in parts
        )
        # A field is measured from the skin of the frame before.
        true = states[:, 1:-1] if settings.history else None
        return Surroundings(kernels, frames, static, fields, lag, duration, true), states, weight, core

    def _window(self, random, window: int) -> tuple:
        for _ in range(50):
            if random.random() < _IDLE_SHARE:
                number = int(random.integers(len(self._samples)))
                sample = self._samples[number]
                frame, centre = int(random.integers(len(sample))), int(random.integers(sample.states.shape[1]))
            else:
                number, frame = self._busy[int(random.integers(len(self._busy)))]
                sample = self._samples[number]
                size = np.abs(sample.states[frame]).max(axis=1)
                felt = size + 1e-3 * (sample.fields[frame, :, DEPTH] > 6.0)
                centre = int(random.choice(len(felt), p=felt / felt.sum()))
            first = frame - int(random.integers(window))
            first = min(max(first, 2), len(sample) - window)
            if first >= 2:
                break
        else:
            raise SimulationError("The training sequences are too short.", advice=f"Record more than {window} frames.")
        points = self._near[sample.person].points
        away = np.linalg.norm(points - points[centre], axis=1)
        chosen = np.argsort(away)[: self._settings.patch]
        core = np.zeros(len(chosen), bool)
        core[: int(_CORE * len(chosen))] = True
        return sample, first, chosen, core


def _single(array):
    """In single precision, unless it is of truth values."""
    return array if array.dtype == bool else array.astype(np.float32)


def mirrored(
    kernels: torch.Tensor, frames: torch.Tensor, static: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A patch as it lies on the mirrored head: expressed in left-handed frames, everything that happens on it is
    mirrored. This doubles the data."""
    kernels, frames, static = kernels.clone(), frames.clone(), static.clone()
    kernels[1::3] *= -1  # the moments along x
    frames[:, 0] *= -1
    static[:, STATIC.index("bone x")] *= -1
    return kernels, frames, static


def predict(
    phi: Phi, around: Surroundings, states: torch.Tensor, core: torch.Tensor, alpha: float, beta: float, settings
) -> torch.Tensor:
    """States (b, window, p, 3) [m] in rollout from the first two; outside the core the true ones are given."""
    frames, resting = around.frames, phi(around.at_rest())
    noise = _NOISE * torch.randn_like(states[:, 0]) * (states[:, 1].abs().amax(-1, keepdim=True) > 0)
    # Half of the windows begin with too little or too much of the deformation: the network must recover from its own
    # errors, and these are as smooth as this one.
    scale = torch.where(torch.rand(len(states), 1, 1) < 0.5, 1.0, _SCALE * torch.rand(len(states), 1, 1))
    scale = scale.to(states)
    before, state = scale * states[:, 0] + noise, scale * states[:, 1] + noise
    result, inside = [], core[:, :, None]
    kept = torch.from_numpy(present_only()).to(states)
    lag = around.first_lag(state - states[:, 1])
    for step in range(states.shape[1] - 2):
        if not settings.history:
            lag = torch.zeros_like(lag)
        near, change = around.near(step, state), state - before
        lag = around.lead(step, near, lag)
        features = around.features(step, near, lag, state, change)
        if not settings.history:
            features = features * kept
        pushed = phi(features) - resting
        moved = STATE_UNIT * torch.einsum("bpij,bpi->bpj", frames, pushed)
        start = alpha * state + beta * change if settings.history else 0.0
        new = start + moved
        result.append(new)
        before, state = state, torch.where(inside, new, states[:, step + 2])
        lag = around.follow(near, state - before, lag)
    return torch.stack(result, dim=1)


def loss_of(predicted: torch.Tensor, states: torch.Tensor, weight: torch.Tensor, core: torch.Tensor) -> torch.Tensor:
    """Weighted L1 of states and of their changes, in millimetres, over the core."""
    true = states[:, 2:]
    weight = weight * core[:, None]
    total = (weight[..., None] * (predicted - true).abs()).sum()
    steps = predicted[:, 1:] - predicted[:, :-1] - (true[:, 1:] - true[:, :-1])
    total = total + _VELOCITY * (weight[:, 1:, :, None] * steps.abs()).sum()
    return 1e3 * total / (3 * weight.sum())


def train(
    people: Sequence[Person],
    samples: Sequence[Sample],
    unseen: Sequence[Sample],
    settings: TrainSettings,
    *,
    checkpoint: Path | None = None,
    start: Weights | None = None,
) -> Job[Trained]:
    """Trains on `samples`, judged in free rollout on `unseen`. start: weights to adapt. Raises SimulationError."""
    torch.manual_seed(settings.seed)
    if start is not None:
        settings = replace(settings, hidden=len(start.layers[0][1]), depth=len(start.layers) - 1)
    alpha, beta = (start.alpha, start.beta) if start is not None else least_squares(samples)
    if not settings.history:
        alpha, beta = 0.0, 0.0
    phi = Phi(settings.hidden, settings.depth).to(settings.device)
    if start is not None:
        phi.read(start.layers, start.skip)
    average = AveragedModel(phi, avg_fn=lambda old, new, count: old + (new - old) / min(int(count) + 1, _MEMORY))
    optimiser = torch.optim.AdamW(phi.parameters(), lr=settings.rate, weight_decay=_WEIGHT_DECAY)
    batches = Batches(people, samples, settings)
    low = torch.full((COUNT,), np.inf)
    high = torch.full((COUNT,), -np.inf)
    if start is not None:
        low, high = torch.from_numpy(start.low.copy()), torch.from_numpy(start.high.copy())
    spent, best, curve = 0.0, None, []
    resumed = _read_checkpoint(checkpoint, settings, phi, average, optimiser)
    if resumed is not None:
        spent, low, high, curve, best = resumed
    none = np.zeros(0, np.float32)
    template = Weights(alpha, beta, (), none, none, none)

    def present() -> Weights:
        room = _RANGE_ROOM * (high - low)
        limits: dict[str, Any] = {
            "low": (low - room).numpy().astype(np.float32),
            "high": (high + room).numpy().astype(np.float32),
        }
        return replace(template, **cast(Phi, average.module).arrays(), **limits)

    lowest = min((row[3] for row in curve), default=np.inf)
    since, notes, losses, before = 0, [], [], time.monotonic()
    total = 60 * settings.minutes
    longest = min(len(sample) for sample in samples) - 2
    next_look = (len(curve) + 1) * total / settings.evaluations
    while spent < total:
        share = spent / total
        window = next(w for end, w in WINDOWS if share < end) if start is None else _WINDOW_TO_ADAPT
        window = min(window, longest)
        for group in optimiser.param_groups:  # warms up, then falls as a cosine to a fiftieth
            warm = min(1.0, share / 0.01 + 0.05)
            group["lr"] = settings.rate * warm * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * share)))
        around, states, weight, core = batches.draw(window)
        with torch.no_grad():
            begin, change = states[:, 1], states[:, 1] - states[:, 0]
            near = around.near(0, begin)
            lag = around.lead(0, near, around.first_lag(torch.zeros_like(begin)))
            seen = around.features(0, near, lag, begin, change).reshape(-1, COUNT)
            low = torch.minimum(low, seen.amin(0).cpu())
            high = torch.maximum(high, seen.amax(0).cpu())
        loss = loss_of(predict(phi, around, states, core, alpha, beta, settings), states, weight, core)
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(phi.parameters(), _CLIP_NORM)
        if torch.isfinite(norm):
            optimiser.step()
            average.update_parameters(phi)
        losses.append(float(loss.detach()))
        now = time.monotonic()
        spent, before = spent + min(now - before, _LONGEST_STEP), now
        left = max(total - spent, 0.0)
        shown = f"loss {np.mean(losses[-50:]):.3f}, rollout {lowest:.2f} mm, {left:.0f} s left"
        yield Progress("training", min(share, 0.999), shown)
        if spent >= next_look or spent >= total:
            next_look += total / settings.evaluations
            weights = present()
            error = rollout_error(people, weights, unseen, settings.history)
            curve.append((spent / 60, window, float(np.mean(losses[-200:])), error))
            if error < lowest:
                best, lowest, since = weights, error, 0
            elif window >= _SETTLED:
                since += 1
            _write_checkpoint(checkpoint, settings, phi, average, optimiser, spent, low, high, curve, best)
            if not np.isfinite(error) or (error > _DIVERGED * lowest and window >= _SETTLED):
                notes.append(f"The training diverged after {spent / 60:.1f} minutes; the best state before is kept.")
                break
            if since >= settings.patience:
                notes.append(f"The error in rollout no longer fell after {spent / 60:.1f} minutes.")
                break
    if best is None:
        raise SimulationError("The training never found a usable network.", advice="Train longer or record more.")
    yield Progress("training", 1.0, f"rollout {lowest:.2f} mm")
    return Trained(best, curve, tuple(notes))


def _write_checkpoint(path, settings, phi, average, optimiser, spent, low, high, curve, best) -> None:
    if path is None:
        return
    arrays = {f"phi.{k}": v.detach().cpu().numpy() for k, v in phi.state_dict().items()}
    arrays |= {f"average.{k}": v.detach().cpu().numpy() for k, v in average.state_dict().items()}
    for k, p in enumerate(phi.parameters()):
        state = optimiser.state[p]
        for name in ("exp_avg", "exp_avg_sq", "step"):
            arrays[f"adam.{k}.{name}"] = state[name].detach().cpu().numpy()
    note = {"settings": asdict(settings), "spent": spent, "curve": curve}
    if best is not None:
        best.save(path.with_name(path.stem + "-best.npz"))
    with atomic_write(path, f"The checkpoint could not be written to {path}", "Free disk space.") as stream:
        text = np.frombuffer(json.dumps(note).encode(), np.uint8)
        np.savez(stream, note=text, low=low.numpy(), high=high.numpy(), **arrays)


def _read_checkpoint(path, settings, phi, average, optimiser):
    """Spent seconds, ranges, curve and best weights of an interrupted training with the same settings, or None."""
    if path is None or not path.is_file():
        return None
    try:
        stored = read_arrays(path)
        note = json.loads(stored["note"].tobytes().decode())
        if note["settings"] != asdict(settings):
            return None
        for name, module in (("phi.", phi), ("average.", average)):
            mine = [k for k in stored if k.startswith(name)]
            module.load_state_dict({k[len(name) :]: torch.from_numpy(stored[k]) for k in mine})
        for k, p in enumerate(phi.parameters()):
            optimiser.state[p] = {
                name: torch.from_numpy(stored[f"adam.{k}.{name}"]) for name in ("exp_avg", "exp_avg_sq", "step")
            }
        low, high = torch.from_numpy(stored["low"]), torch.from_numpy(stored["high"])
    except (OSError, KeyError, ValueError) as error:
        raise CacheError(f"The checkpoint {path} is damaged ({error}).", advice="Delete it to start over.") from error
    best = path.with_name(path.stem + "-best.npz")
    curve = [tuple(row) for row in note["curve"]]
    return note["spent"], low, high, curve, Weights.load(best) if best.is_file() else None
