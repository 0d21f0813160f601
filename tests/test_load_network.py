# SPDX-License-Identifier: GPL-3.0-or-later
"""A network from a file becomes the character's own, if it is one and fits."""

from dataclasses import replace

import pytest

bpy = pytest.importorskip("bpy")
scenes = pytest.importorskip("scenes")

from nephim.bridge.cache.open_file import folder  # noqa: E402
from nephim.bridge.plan import weights_path  # noqa: E402
from nephim.nn.weights import Weights  # noqa: E402
from nephim.sim.template import Template  # noqa: E402
from small_cast import random_weights  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.fixture
def blend(tmp_path):
    """A saved scene, set up, with its volume."""
    scenes.saved_set_up(tmp_path)
    assert not bpy.ops.nephim.load_network.poll()  # there is no volume yet
    return scenes.with_volume(tmp_path)


def test_a_network_that_fits_is_copied_beside_the_file(blend, tmp_path):
    own = replace(random_weights(), heads=(Template.load(folder().volume).n_head,), frame_rates=(24.0, 30.0))
    own.save(tmp_path / "given.npz")
    assert bpy.ops.nephim.load_network(filepath=str(tmp_path / "given.npz")) == {"FINISHED"}
    assert weights_path() == blend.with_suffix(".nephim") / "network.npz"
    assert Weights.load(weights_path()).heads == own.heads


def test_what_does_not_fit_or_is_no_network_is_refused_and_nothing_changes(blend, tmp_path):
    before = weights_path()
    random_weights().save(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("not a network")
    for name, reason in (("other", "trained for other heads"), ("text", "network"), ("missing", "missing.npz")):
        with pytest.raises(RuntimeError, match=reason):
            bpy.ops.nephim.load_network(filepath=str(tmp_path / f"{name}.npz"))
    assert weights_path() == before
