# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on presses of a round head: torch and numpy agree, errors fall, an interrupted training goes on."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.errors import CacheError, SimulationError
from nephim.nn.contact_field import NEAR
from nephim.nn.controls import STATIC
from nephim.nn.features import COUNT, MOMENTS, PRESENT, Features
from nephim.nn.lag import follow, lead
from nephim.nn.recurrence import plain_phi, present_only
from nephim.nn.rollout import roll, rollout_error
from nephim.nn.runtime import Network
from nephim.nn.samples import Motion, Person, Sample, field_of, least_squares, make_sample
from nephim.nn.training_settings import TrainSettings
from nephim.progress import drive
from small_cast import FINGER, SPACING, TEMPLATE, random_weights, recordings

torch = pytest.importorskip("torch", reason="training needs torch: pip install nephim[train]")

from nephim.nn.model import Neighbourhoods, Phi, Surroundings  # noqa: E402
from nephim.nn.training import mirrored, train  # noqa: E402

# Enough to beat "nothing moves"; the limit is time, so that a slow machine does as many looks as a fast one.
SHORT = TrainSettings(minutes=0.15, hidden=24, patch=48, evaluations=6, patience=99)


@pytest.fixture(scope="module")
def person() -> Person:
    return Person.make(TEMPLATE, FINGER.triangles, SPACING)


@pytest.fixture(scope="module")
def samples(person) -> list[Sample]:
    return [make_sample(r, person, 0, motion=True) for r in recordings()]


def test_a_sample_is_what_was_recorded(person, samples):
    recording, sample = recordings()[0], samples[0]
    true = 2e-6 * recording.deformation[:, person.controls.vertices]
    assert np.abs(sample.states - true).max() < 1e-6
    assert sample.fields[:, :, 0].max() > 8.0  # mm: deeper than the skin
    assert np.abs(sample.states).max() > 1e-3


def test_least_squares_finds_a_known_recurrence(samples):
    z = np.zeros((40, len(samples[0].states[0]), 3), np.float32)
    z[1] = 0.01
    for f in range(2, 40):
        z[f] = 0.9 * z[f - 1] + 0.2 * (z[f - 1] - z[f - 2])
    alpha, beta = least_squares([replace(samples[0], states=z)])
    assert alpha == pytest.approx(0.9, abs=1e-3)
    assert beta == pytest.approx(0.2, abs=1e-3)


def test_torch_and_numpy_compute_the_same_features_and_displacements(person, samples):
    sample, controls = samples[0], person.controls
    everything = torch.arange(len(controls))
    kernels, frames, static = Neighbourhoods(controls, "cpu").patch(everything)
    f = int(np.abs(sample.lags).max(axis=(1, 2)).argmax())
    fields = torch.from_numpy(sample.fields[f - 1 : f + 1].astype(np.float32))
    true = torch.from_numpy(sample.states[f - 1 : f])[None]
    lag = sample.lags[f - 1].astype(np.float32)
    around = Surroundings(
        kernels[None], frames[None], static[None], fields[None], torch.from_numpy(lag)[None], torch.ones(1), true
    )
    state, change = sample.states[f - 1], sample.states[f - 1] - sample.states[f - 2]
    now, lag = torch.from_numpy(state)[None], 1e-3 * lag
    near = around.near(0, now)
    led = around.lead(0, near, around.first_lag(0 * now))
    ours = around.features(0, near, led, now, torch.from_numpy(change)[None])[0].numpy()
    scale = np.array([1e-3, 1e-3, 1, 1e-3, 1, 1, 1, 1e-3, 1e-3, 1e-3], np.float32)
    field = sample.fields[f].astype(np.float32) * scale
    before = sample.fields[f - 1, :, 0].astype(np.float32) * 1e-3
    rows = np.zeros((len(controls), COUNT), np.float32)
    lead(field, lag)
    assert np.abs(lag - led[0].numpy()).max() < 1e-6 and np.abs(lag).max() > 1e-4
    Features(controls, 24.0).rows(np.arange(len(controls), dtype=np.int32), field, before, lag, state, change, rows)
    assert np.abs(ours - rows).max() < 1e-4
    moved = (sample.states[f] - sample.states[f - 1]).astype(np.float32)
    followed = around.follow(near, torch.from_numpy(moved)[None], led)[0].numpy()
    follow(field, moved, lag)
    assert np.abs(followed - lag).max() < 1e-6
    assert np.abs(1e3 * lag - sample.lags[f]).max() < 0.01
    weights = random_weights()
    phi = Phi(16, 1)
    phi.read(weights.layers, weights.skip)
    with torch.no_grad():
        assert np.abs(phi(torch.from_numpy(rows)).numpy() - plain_phi(weights)(rows)).max() < 1e-3


def test_a_wrong_state_changes_the_fields_as_training_assumes(person, samples):
    """Depths of the field of a state are those of the true one and its distance along the normal, to first order."""
    sample, controls = samples[0], person.controls
    f = int(np.abs(sample.states).max(axis=(1, 2)).argmax())
    kernels, frames, static = Neighbourhoods(controls, "cpu").patch(torch.arange(len(controls)))
    fields = torch.from_numpy(sample.fields[f - 1 : f + 1].astype(np.float32))
    true = torch.from_numpy(sample.states[f - 1 : f])[None]
    none = torch.zeros(1, len(controls), 3)
    around = Surroundings(kernels[None], frames[None], static[None], fields[None], none, torch.ones(1), true)
    wrong = 0.8 * sample.states[f - 1]
    assumed = around.near(0, torch.from_numpy(wrong)[None])[0].numpy()
    field = field_of(person, sample.motion.hands[0])
    hands = sample.motion.hands
    field.compute(hands[f], hands[f - 1], sample.motion.moved[f], sample.motion.moved[f - 1], wrong)
    felt = (field.values[:, NEAR] > 0) & (sample.fields[f][:, NEAR] > 0)
    found = field.values[felt, NEAR] - 1e-3 * sample.fields[f][felt, NEAR]
    wanted = assumed[felt] - 1e-3 * sample.fields[f][felt, NEAR]
    assert wanted.max() > 3e-4  # deeper, as the skin has moved too little
    assert np.abs(found - wanted).max() < 0.3 * wanted.max()


def test_a_mirrored_patch_is_told_with_left_and_right_exchanged(person, samples):
    """What points along x, and first moments along x, change their sign; nothing else does."""
    sample, f = samples[0], int(np.abs(samples[0].states).max(axis=(1, 2)).argmax())
    patch = Neighbourhoods(person.controls, "cpu").patch(torch.arange(len(person.controls)))
    fields = torch.from_numpy(sample.fields[f - 1 : f + 1].astype(np.float32))[None]
    state = torch.from_numpy(sample.states[f - 1])[None]

    def features(kernels, frames, static):
        around = Surroundings(kernels[None], frames[None], static[None], fields, state, torch.ones(1), state[None])
        return around.features(0, around.near(0, state), 0.3 * state, state, 0.5 * state)[0]

    vector = [-1, 1, 1]
    moments = [-1 if m % 3 == 1 else 1 for m in range(MOMENTS)]
    gathered = [sign * value for sign in moments for value in [1, 1, 1, *vector, *vector, *vector]]
    static = [-1 if name == "bone x" else 1 for name in STATIC]
    signs = torch.tensor([1] * 5 + 5 * vector + gathered + static + [1], dtype=torch.float32)
    given, found = features(*patch), features(*mirrored(*patch))
    assert torch.allclose(found, signs * given, atol=1e-5)
    assert given[:, 11].abs().max() > 0.01 and given[:, 14].abs().max() > 0.01


def test_rollout_is_what_the_runtime_does(person, samples):
    """On the controls, from recorded frames."""
    recording, sample = recordings()[0], samples[0]
    weights = random_weights(size=0.05)
    network = Network(TEMPLATE, weights, right=FINGER, frame_rate=24.0, controls=person.controls)
    rolled = roll(person, weights, sample.motion, sample.frame_rate)
    for k in range(len(recording)):
        network.step(recording.frame(TEMPLATE, k))
        assert np.abs(network.state - rolled[k]).max() < 1e-4


def test_without_history_the_state_is_not_seen():
    kept = present_only()
    assert (kept == 0).sum() == 6 + 6 * 3
    assert (kept[:PRESENT] == 1).all()


def test_training_beats_the_skin_that_does_not_move(person, samples):
    size = np.linalg.norm(np.concatenate([s.states for s in samples]), axis=2)
    nothing = 1e3 * np.sqrt((size[size > 5e-4] ** 2).mean())
    trained = drive(train([person], samples, samples, SHORT))
    assert rollout_error([person], trained.weights, samples) < 0.6 * nothing
    assert [row[0] for row in trained.curve] == sorted(row[0] for row in trained.curve)
    motion = samples[0].motion
    quiet = Motion(motion.hands + 1, motion.moved)
    assert not roll(person, trained.weights, quiet, 24.0).any()  # no hand, no motion


def test_an_interrupted_training_goes_on(person, samples, tmp_path):
    checkpoint = tmp_path / "checkpoint.npz"
    settings = replace(SHORT, minutes=0.05, evaluations=4)
    job = train([person], samples, samples, settings, checkpoint=checkpoint)
    while not checkpoint.exists():
        next(job)
    job.close()
    with np.load(checkpoint) as stored:
        before = stored["note"].tobytes().decode()
    trained = drive(train([person], samples, samples, settings, checkpoint=checkpoint))
    assert trained.curve[0][0] > 0 and str(round(trained.curve[0][3], 6))[:6] in before
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CacheError, match="damaged"):
        drive(train([person], samples, samples, settings, checkpoint=checkpoint))


def test_a_training_that_diverges_says_so_and_keeps_the_best(person, samples):
    wild = replace(SHORT, rate=0.3, evaluations=8)
    trained = drive(train([person], samples, samples, wild))
    best = min(row[3] for row in trained.curve)
    assert rollout_error([person], trained.weights, samples) == pytest.approx(best, rel=1e-3)
    assert all(np.isfinite(a).all() for layer in trained.weights.layers for a in layer)


def test_nothing_to_learn_is_said(person, samples):
    still = [replace(samples[0], states=np.zeros_like(samples[0].states))]
    with pytest.raises(SimulationError, match="ever touched"):
        drive(train([person], still, still, SHORT))
