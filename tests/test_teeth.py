# SPDX-License-Identifier: GPL-3.0-or-later
"""Teeth of a registered skull: found where they stand in the mouth, and pressed skin stays off them."""

from dataclasses import replace

import numpy as np
import pytest
from nephim.sim.contact.obstacles import Obstacles
from nephim.sim.frame import TrackedFrame
from nephim.sim.geometry.surface import Surface
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.physics import Physics
from nephim.sim.settings import PhysicsSettings
from nephim.sim.template import Teeth, Template
from nephim.sim.tuning import DEFAULT
from nephim.sim.volume.skull import Skull
from nephim.sim.volume.teeth import are_teeth, row_faces, teeth_in_mouth
from nephim.sim.volume.template_head import load_template_head
from volumes import RADIUS, finger, icosphere, round_head

HEAD, FINGER = load_template_head(), finger()
SKULL = Skull(HEAD.jaw_vertices, HEAD.jaw_triangles, HEAD.cranium_vertices, HEAD.cranium_triangles)
BETWEEN_ROWS = np.array([0.0, -0.042, 0.065])  # in the template's frame [m]
DEPTHS = [-0.002, 0.001, 0.003, 0.005, 0.006, 0.006]


def flesh(*cavities: float) -> TriangleTree:
    """A ball of flesh around the template's head, with spherical cavities of these radii [m] around the teeth."""
    vertices, triangles = icosphere(0.2, 3)
    parts, faces = [vertices], [triangles]
    for radius in cavities:
        inner, around = icosphere(radius, 3)
        faces.append(around[:, ::-1] + sum(map(len, parts)))
        parts.append(inner + BETWEEN_ROWS)
    return TriangleTree(np.concatenate(parts), np.concatenate(faces).astype(np.int32))


def test_rows_are_found_where_they_stand_in_the_mouth():
    teeth = teeth_in_mouth(SKULL, (False, False), flesh(0.05))
    assert teeth is not None
    crowns = [row_faces(HEAD, jaw=jaw).sum() for jaw in (True, False)]
    assert teeth.crowns.sum() == sum(crowns) and min(crowns) > 300
    of_jaw = teeth.on_jaw[teeth.triangles[teeth.crowns, 0]]
    assert of_jaw.sum() == crowns[0]
    upper = teeth.vertices[np.unique(teeth.triangles[teeth.crowns][~of_jaw])]
    lower = teeth.vertices[np.unique(teeth.triangles[teeth.crowns][of_jaw])]
    assert upper[:, 1].mean() > lower[:, 1].mean() + 0.005
    assert np.ptp(upper, axis=0)[0] > 0.04  # from side to side


def test_without_a_mouth_bag_there_are_none():
    assert teeth_in_mouth(SKULL, (False, False), flesh()) is None


def test_an_artists_jaw_has_no_known_teeth():
    teeth = teeth_in_mouth(replace(SKULL, jaw_triangles=SKULL.jaw_triangles[:10]), (True, False), flesh(0.05))
    assert teeth is not None and not teeth.on_jaw.any()
    assert teeth_in_mouth(SKULL, (True, True), flesh(0.05)) is None


def in_round_head(jaw: bool, below: float = 0.002) -> Teeth:
    """A row of the template whose incisors lie `below` [m] the place of the round head that the finger presses."""
    teeth = teeth_in_mouth(SKULL, (not jaw, jaw), flesh(0.05))
    crowns = teeth.vertices[np.unique(teeth.triangles[teeth.crowns])]
    front = crowns[(np.abs(crowns[:, 0]) < 0.005) & (crowns[:, 2] > crowns[:, 2].max() - 0.005)]
    middle = [0.0, front[:, 1].mean(), front[:, 2].max()]
    vertices = (teeth.vertices - middle)[:, [2, 0, 1]] + [RADIUS - below, 0.0, 0.0]
    return replace(teeth, vertices=vertices)


def press(rows: Teeth, jaw: np.ndarray | None = None, depths=DEPTHS, **options):
    template = replace(round_head(), teeth=rows)
    simulation = Physics(template, PhysicsSettings.load("default"), right=FINGER, **options)
    head = template.head_vertices.astype(np.float32)
    hands = [(FINGER.vertices + [RADIUS - depth, 0, 0]).astype(np.float32) for depth in depths]
    return [simulation.step(TrackedFrame(head, None, hand, np.eye(4), jaw, frame=k)) for k, hand in enumerate(hands)]


def depth_in(teeth: Teeth, skin: np.ndarray) -> float:
    """How deep skin that is not so from the beginning lies in the crowns [m]."""
    tree = TriangleTree(teeth.vertices, teeth.triangles)
    before = tree.closest(round_head().skin_vertices)
    distance, triangle, _, sign = tree.closest(skin)
    counted = teeth.crowns[triangle] & (before[3] > 0)
    return float(np.where(counted & (sign < 0), distance, 0.0).max())


@pytest.mark.parametrize("jaw", [False, True], ids=["upper", "lower"])
def test_a_pressed_lip_does_not_go_through_the_teeth(jaw):
    teeth, foremost = in_round_head(jaw), round_head().skin_vertices[:, 0].argmax()
    surface = RADIUS - 0.002
    assert press(teeth, teeth=False)[-1].skin[foremost, 0] < surface - 0.004
    kept_off = press(teeth)
    assert kept_off[-1].skin[foremost, 0] > surface - 0.002
    assert max(depth_in(teeth, result.skin) for result in kept_off) < 1e-4
    assert max(result.statistics["inverted_tets"] for result in kept_off) == 0


def test_lower_teeth_go_with_the_jaw_and_upper_ones_do_not():
    away = np.eye(4)
    away[0, 3] = -0.02
    for jaw in (True, False):
        teeth = in_round_head(jaw)
        skins = [press(teeth, away)[-1].skin, press(teeth, away, teeth=False)[-1].skin]
        assert np.array_equal(*skins) == jaw


def test_untouched_skin_stays_where_it_is_tracked_even_in_teeth():
    teeth = in_round_head(False, below=-0.002)
    result = press(teeth, depths=[-0.03])[0]
    assert np.array_equal(result.skin, result.tracked)
    last = press(teeth, depths=[*DEPTHS, *np.full(40, -0.03)])[-1]
    assert np.array_equal(last.skin, last.tracked)


def test_skin_on_the_other_side_of_a_thin_tooth_may_come_back():
    vertices, triangles = icosphere(1.0, 3)
    plate = Surface(vertices * [0.002, 0.02, 0.02], triangles, "tooth")
    here, through = np.array([[0.006, 0.0, 0.0]]), np.array([[-0.003, 0.0, 0.0]])
    obstacles = Obstacles(plate, np.zeros(1, bool), np.ones(1, bool), PhysicsSettings(), DEFAULT)
    assert obstacles.near(plate.vertices, here, -0.2 * through, np.zeros(0, np.int64)) is not None
    assert obstacles.near(plate.vertices, here, through, np.zeros(0, np.int64)) is None


def test_a_characters_own_teeth_are_told_from_a_tongue():
    teeth = teeth_in_mouth(SKULL, (False, False), flesh(0.05))
    crowns = Surface(teeth.vertices + [0.0, 0.002, 0.003], teeth.triangles[teeth.crowns], "Teeth")
    vertices, triangles = icosphere(1.0, 2)
    tongue = Surface(vertices * [0.015, 0.008, 0.02] + [0.0, -0.045, 0.05], triangles, "Tongue")
    eye = Surface(0.012 * vertices + [0.03, 0.02, 0.065], triangles, "Eye")
    assert are_teeth([eye, crowns], teeth)
    assert not are_teeth([eye, tongue], teeth)
    assert not are_teeth([], teeth)


def test_a_volume_is_stored_with_its_teeth(tmp_path):
    teeth = in_round_head(True)
    replace(round_head(), teeth=teeth).save(tmp_path / "with.npz")
    stored = Template.load(tmp_path / "with.npz").teeth
    assert stored is not None
    for name in ("vertices", "triangles", "crowns", "on_jaw"):
        assert np.array_equal(getattr(stored, name), getattr(teeth, name))
    round_head().save(tmp_path / "without.npz")  # as older volumes are
    assert Template.load(tmp_path / "without.npz").teeth is None
