# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: every one loads and is plausible, and soft is softer than firm."""

import tomllib
from dataclasses import fields
from functools import cache

import numpy as np
import pytest
from nephim.errors import SimulationError
from nephim.sim import settings
from nephim.sim.frame import SimulatedFrame, TrackedFrame
from nephim.sim.geometry import rigid
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from volumes import RADIUS, SKULL, finger, round_head

TISSUES = ("default", "soft", "firm", "child", "elderly", "flesh")
INTERACTIONS = ("touch", "firm_press", "pull")
# Least and largest plausible value, in the field's own unit.
RANGES = {
    "w_str": (300, 30e3),  # Young's modulus of 0.5 to 45 kPa: fat to tensed muscle
    "w_vol": (900, 300e3),
    "volume_tolerance": (0.0, 0.2),
    "cell_volume": (0.0, 1e-5),  # none, or much smaller than a cheek
    "w_skin": (10, 500),
    "w_tra": (1e3, 1e5),
    "friction": (0.1, 1.5),
    "drag_limit": (0.002, 0.03),
    "lips_grip": (1.0, 3.0),  # moist, not lubricated
    "lips_drag": (1.0, 3.0),
    "scalp_grip": (0.3, 1.0),  # hair slides, yet a hand does not glide as on ice
    "gap": (0.0001, 0.001),
    "compression_limit": (0.4, 0.9),
    "relaxation_time": (0.01, 0.5),
}
FAR = np.array([RADIUS + 0.05, 0.0, 0.0])
FINGER = finger()
DEPTHS = (-0.002, 0.002, 0.006)  # of the finger's tip below the skin [m], frame after frame


def simulation(tissue: str, interaction: str = "touch") -> Physics:
    return Physics(round_head(), PhysicsSettings.load(tissue, interaction), right=FINGER, frame_rate=30.0)


def step(physics: Physics, tip: np.ndarray) -> SimulatedFrame:
    head = round_head().head_vertices.astype(np.float32)
    return physics.step(TrackedFrame(head, None, (FINGER.vertices + tip).astype(np.float32), np.eye(4)))


def press(physics: Physics, depths=DEPTHS) -> SimulatedFrame:
    for depth in depths:
        result = step(physics, np.array([RADIUS - depth, 0.0, 0.0]))
    return result


@cache
def pressed(tissue: str) -> tuple[float, float, float]:
    """Of a press of 6 mm and a release: force [N], width of the dent [m], what is left of it after 0.1 s (share)."""
    physics = simulation(tissue)
    result = press(physics)
    force = float(np.linalg.norm(physics.contact.contacts.force.sum(axis=0)))
    moved = np.linalg.norm(result.skin - result.tracked, axis=1)
    off_axis = np.linalg.norm(result.tracked[:, 1:], axis=1)
    width = 2 * float((moved * off_axis).sum() / moved.sum())
    for _ in range(3):
        left = step(physics, FAR)
    return force, width, float(np.linalg.norm(left.skin - left.tracked, axis=1).max() / moved.max())


def test_the_files_are_the_known_presets():
    assert {p.stem for p in settings.FOLDER.glob("*.toml")} == set(TISSUES)
    assert {p.stem for p in settings.INTERACTIONS.glob("*.toml")} == set(INTERACTIONS)


@pytest.mark.parametrize("interaction", INTERACTIONS)
@pytest.mark.parametrize("tissue", TISSUES)
def test_every_combination_is_plausible(tissue, interaction):
    loaded = PhysicsSettings.load(tissue, interaction)
    for name, (low, high) in RANGES.items():
        assert low <= getattr(loaded, name) <= high, name
    # Nearly incompressible, yet it converges: with cells, which need no free range, up to 100 times (design values).
    assert 2 * loaded.w_str <= loaded.w_vol <= (100 if loaded.cell_volume else 10) * loaded.w_str


def test_every_value_says_its_unit_or_reason():
    for path in (*settings.FOLDER.glob("*.toml"), *settings.INTERACTIONS.glob("*.toml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not line.strip() or line.startswith("#") or "  # " in line, f"{path.name}: {line}"


def test_default_and_touch_are_the_defaults():
    assert PhysicsSettings.load("default") == PhysicsSettings.load("default", "touch") == PhysicsSettings()


def test_an_interaction_overrides_only_what_it_names():
    for name in INTERACTIONS:
        own = tomllib.loads((settings.INTERACTIONS / f"{name}.toml").read_text(encoding="utf-8"))
        tissue, both = PhysicsSettings.load("elderly"), PhysicsSettings.load("elderly", name)
        for field in fields(PhysicsSettings):
            expected = own.get(field.name, getattr(tissue, field.name))
            assert getattr(both, field.name) == expected


def test_wrong_interactions_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SimulationError, match=r"no interaction preset 'slap'.*firm_press, pull, touch"):
        PhysicsSettings.load("default", "slap")
    with pytest.raises(SimulationError, match=r"no tissue preset '\.\./tissues/default'"):
        PhysicsSettings.load("../tissues/default")
    monkeypatch.setattr(settings, "INTERACTIONS", tmp_path)
    for text, message in (
        ("w_str = 3.0", "unknown value 'w_str'"),
        ("friction = true", "'friction'.*at least 0"),
        ("friction = nan", "'friction'.*at least 0"),
        ("friction", "not valid TOML"),
    ):
        (tmp_path / "odd.toml").write_text(text)
        with pytest.raises(SimulationError, match=message):
            PhysicsSettings.load("default", "odd")


def test_a_tissue_does_not_decide_what_the_hand_decides_too(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "FOLDER", tmp_path)
    (tmp_path / "oily.toml").write_text("friction = 0.1")
    with pytest.raises(SimulationError, match=r"'friction'.*interaction preset"):
        PhysicsSettings.load("oily")


def test_firm_tissue_resists_more():
    assert 1.5 * pressed("soft")[0] < pressed("default")[0] < pressed("firm")[0] / 1.5


def test_soft_tissue_dents_wider():
    assert pressed("soft")[1] > pressed("default")[1] > pressed("firm")[1]
    assert pressed("elderly")[1] > pressed("default")[1]  # stiff skin over slack tissue


def test_soft_and_elderly_tissue_returns_slower():
    left = {name: pressed(name)[2] for name in TISSUES}
    assert left["elderly"] > left["soft"] > left["default"] > left["firm"] > 0
    assert left["default"] > left["child"]


def test_a_firm_press_squeezes_deeper():
    """A finger 16 mm deep over 18 mm of tissue: how far the skin yields is what the compression limit says."""
    depths = np.linspace(-0.002, 0.016, 10)
    thickness = RADIUS - SKULL
    yielded = []
    for interaction in ("touch", "firm_press"):
        physics = simulation("default", interaction)
        result = press(physics, depths)
        inward = -np.einsum("ij,ij->i", result.skin - result.tracked, result.tracked) / RADIUS
        yielded.append(float(inward.max()))
        assert yielded[-1] < 1.1 * physics.settings.compression_limit * thickness
    assert yielded[1] > yielded[0] + 0.001


def test_pulling_drags_the_skin_further():
    """A finger 4 mm deep is stroked 25 mm along the skin."""
    dragged = []
    for interaction in ("touch", "pull"):
        physics = simulation("default", interaction)
        start = FINGER.vertices + [RADIUS - 0.004, 0, 0]
        step(physics, np.array([RADIUS + 0.002, 0.0, 0.0]))
        for angle in np.linspace(0, 0.28, 10):
            turn = np.eye(4)
            turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            result = step(physics, rigid.apply(turn, start) - FINGER.vertices)
        dragged.append(float(np.abs((result.skin - result.tracked)[:, 1]).max()))
    assert dragged[1] > 1.2 * dragged[0]
