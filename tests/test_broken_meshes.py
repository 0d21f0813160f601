# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is wrong with a mesh, a volume is built or one clear sentence is said: no other exception leaves `build`."""

import io
from functools import cache

import numpy as np
import pytest
from nephim.errors import NephimError, VolumeError
from nephim.progress import drive
from nephim.sim.geometry.surface import Surface
from nephim.sim.volume.build import VolumeSettings, build_template
from synthetic_head import synthetic_head

COARSE = VolumeSettings(target_edge=0.02, time_limit=20.0)
SPACING = 0.017  # about six hundred vertices


@cache
def head() -> Surface:
    return synthetic_head(SPACING)


def build(vertices, triangles):
    surface = Surface(np.asarray(vertices, float), np.asarray(triangles, np.int32), "Head")
    return drive(build_template(surface, None, None, settings=COARSE), io.StringIO())


# Each: (vertices (n, 3), triangles (m, 3), random) → the same, broken.


def without_faces(v, t, random):
    return v, t[random.random(len(t)) > 0.3]


def shell(v, t, random):
    direction = random.standard_normal(3)
    side = v[t].mean(1) @ direction
    return v, t[side > np.quantile(side, random.uniform(0.1, 0.6))]


def flipped(v, t, random):
    turn = random.random(len(t)) < 0.5
    return v, np.where(turn[:, None], t[:, ::-1], t)


def doubled(v, t, random):
    return np.concatenate([v, v]), np.concatenate([t, t + len(v)])


BREAKS = [without_faces, shell, flipped, doubled]


def leaves_no_traceback(vertices, triangles):
    try:
        template = build(vertices, triangles)
    except NephimError as error:
        assert error.object == "Head" and error.advice, str(error)
        return
    assert np.isfinite(template.vertices).all() and np.isfinite(template.skin_vertices).all()


@pytest.mark.parametrize("change", BREAKS, ids=lambda change: change.__name__)
def test_one_fault(change):
    leaves_no_traceback(*change(head().vertices, head().triangles, np.random.default_rng(0)))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("thickness", [0.0, 1e-6])
def test_a_flat_head_is_refused(axis, thickness):
    vertices = head().vertices * np.where(np.arange(3) == axis, thickness, 1.0)
    with pytest.raises(VolumeError, match=r"'Head': the head is flat.*scale of zero"):
        build(vertices, head().triangles)


@pytest.mark.parametrize("size", [1e-9, 1e-4, 0.01])
def test_a_tiny_head_is_refused_with_the_unit_scale_as_the_next_step(size):
    with pytest.raises(VolumeError, match=r"'Head': .*too small.*unit scale"):
        build(size * head().vertices, head().triangles)
