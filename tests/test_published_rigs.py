# SPDX-License-Identifier: GPL-3.0-or-later
"""Find for me on the skeletons of well-known rigs, with their published names and hierarchies."""

import numpy as np
import pytest

published_rigs = pytest.importorskip("published_rigs")

from nephim.bridge.recognise import recognise  # noqa: E402

pytestmark = pytest.mark.bpy


@pytest.mark.parametrize("kind", published_rigs.FAMILIES)
def test_head_hands_and_bones_are_found(kind):
    family = published_rigs.FAMILIES[kind]
    body, part = published_rigs.build(family)
    found = recognise([body])
    for role, of in (("head", "head"), ("left", "hand.L"), ("right", "hand.R")):
        assert np.array_equal(getattr(found, role).vertices, np.flatnonzero(part == of)), role
    assert found.head_bone[1] == family.head
    assert (found.jaw_bone[1] if found.jaw_bone else None) == family.jaw
