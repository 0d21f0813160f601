# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear skull model: what it must get exactly, what it must refuse, and that it survives the disk."""

import dataclasses

import numpy as np
import pytest
from nephim.errors import CacheError, VolumeError
from nephim.sim.geometry import rigid
from nephim.sim.volume.skull_model import SkullModel
from volumes import icosphere

HEAD, TRIANGLES = icosphere(0.09, 3)
BONE, BONE_TRIANGLES = icosphere(0.072, 2)
JAW, JAW_TRIANGLES = icosphere(0.02, 1)


def placed(angle: float, shift) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    transform = np.eye(4)
    transform[:2, :2], transform[:3, 3] = [[c, -s], [s, c]], shift
    return transform


def person(size, motion=None, nose=0.0):
    """Head, jaw and cranium of an ellipsoidal person whose bones are linear in the head."""
    size = np.array(size)
    head = (
        HEAD * size
        + np.array([0, nose, 0]) * np.exp(-((np.linalg.norm(HEAD - [0, 0.09, 0], axis=1) / 0.03) ** 2))[:, None]
    )
    parts = [head, JAW * size + [0, 0.03 * size[1], -0.05], BONE * size * [0.95, 1.0, 1.0]]
    return parts if motion is None else [rigid.apply(motion, part) for part in parts]


def examples(count: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    return [person(1 + 0.15 * rng.normal(size=3), placed(rng.normal(), rng.normal(size=3))) for _ in range(count)]


def fitted(people, **more) -> SkullModel:
    arrays = (np.stack(part) for part in zip(*people, strict=True))
    return SkullModel.fit(*arrays, TRIANGLES, JAW_TRIANGLES, BONE_TRIANGLES, **more)


@pytest.fixture(scope="module")
def model() -> SkullModel:
    return fitted(examples())


def test_a_linear_truth_is_found_for_an_unseen_person_wherever_it_stands(model):
    for motion in (None, placed(2.0, [5.0, -3.0, 1.0])):
        head, jaw, cranium = person([1.1, 0.95, 1.2], motion)
        skull = model.predict(head, TRIANGLES)
        # Rigid alignment is not linear in the shape; what it leaves is small.
        assert np.abs(skull.jaw_vertices - jaw).max() < 5e-4
        assert np.abs(skull.cranium_vertices - cranium).max() < 5e-4
    assert np.array_equal(skull.jaw_triangles, JAW_TRIANGLES)


def test_the_ridge_is_chosen_larger_where_bones_are_noise():
    rng = np.random.default_rng(5)
    noisy = [[head, jaw + 0.01 * rng.normal(size=3), cranium] for head, jaw, cranium in examples()]
    assert np.abs(fitted(noisy).regression).max() < np.abs(fitted(noisy, ridge=0.0).regression).max()


def test_what_the_examples_lack_carries_the_bones_by_the_warp(model):
    head, _, cranium = person([1.0, 1.0, 1.0])
    shear = np.array([[1, 0, 0], [0, 1, 0.25], [0, 0, 1.0]])  # no example is sheared
    with_warp = model.predict(head @ shear, TRIANGLES).cranium_vertices
    without = model.predict(head @ shear, TRIANGLES, warp=False).cranium_vertices
    error = [np.linalg.norm(found - cranium @ shear, axis=1).mean() for found in (with_warp, without)]
    assert error[0] < 0.5 * error[1] and error[0] < 0.002


def test_other_topologies_and_too_few_examples_are_refused(model):
    other, triangles = icosphere(0.09, 2)
    with pytest.raises(VolumeError, match=r"'Bust': the skull model is for heads of another topology"):
        model.predict(other, triangles, "Bust")
    with pytest.raises(VolumeError, match="another topology"):
        model.predict(HEAD, np.random.default_rng(0).permutation(len(HEAD))[TRIANGLES])
    with pytest.raises(VolumeError, match="at least three examples"):
        fitted(examples(2))


def test_it_survives_the_disk_and_foreign_files_are_refused(model, tmp_path):
    path = tmp_path / "skull.npz"
    model.save(path)
    back = SkullModel.load(path)
    for f in dataclasses.fields(SkullModel):
        assert np.array_equal(getattr(model, f.name), getattr(back, f.name))
    with pytest.raises(CacheError, match="There is no skull model"):
        SkullModel.load(tmp_path / "none.npz")
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(CacheError, match="is not a skull model"):
        SkullModel.load(path)
    np.savez(path, format=np.array(99))
    with pytest.raises(CacheError, match="another version"):
        SkullModel.load(path)
    np.savez(path, format=np.array(1), head_mean=np.array([{}], dtype=object))
    with pytest.raises(CacheError, match="is not a skull model"):
        SkullModel.load(path)
