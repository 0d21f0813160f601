# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes of landmarks made from the demo scene's own motion, as Blender evaluates it, and what a fit made of them.

Nothing here uses the fitter's kinematics: joints are read from Blender's armatures and landmarks of the face from its
deformed mesh, at the nearest vertex to where the fitter looks for them, so that these disagree by up to 2 mm.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from nephim.demo import scene as demo
from nephim.fit.cameras import Camera
from nephim.sim.geometry.triangle_bvh import TriangleTree
from numpy.typing import NDArray

SIDES = {"left": ("L", demo.LEFT, demo.LEFT_RIG), "right": ("R", demo.RIGHT, demo.RIGHT_RIG)}
TIPS = (4, 8, 12, 16, 20)
TOUCHING = 0.002  # [m] between hand and face, within which they touch
OUTLIER = 0.08  # [m] by which outliers are off
FOCAL, WIDTH, HEIGHT, AWAY = 1100.0, 1280, 960, 0.8  # of cameras [px], and their distance from the face [m]


@dataclass(frozen=True)
class Truth:
    """points: part → (f, m, 3) [m]; touching: side → (f,)."""

    points: dict[str, NDArray[np.float64]]
    touching: dict[str, NDArray[np.bool_]]


def hand_points(side: str) -> NDArray[np.float64]:
    """(21, 3) of the posed armature at the scene's frame, as MediaPipe numbers them."""
    letter, _, rig = SIDES[side]
    armature = bpy.data.objects[rig].evaluated_get(bpy.context.view_layer.depsgraph)
    bones, place = armature.pose.bones, armature.matrix_world
    points = [bones[f"wrist.{letter}"].head]
    for finger in range(1, 6):
        names = [f"finger{finger}-{k}.{letter}" for k in (1, 2, 3)]
        points += [*(bones[name].head for name in names), bones[names[-1]].tail]
    return np.array([place @ point for point in points])


def mesh(name: str) -> NDArray[np.float64]:
    """Deformed vertices (n, 3) of an object at the scene's frame [m]."""
    obj = bpy.data.objects[name].evaluated_get(bpy.context.view_layer.depsgraph)
    flat = np.empty(3 * len(obj.data.vertices), np.float32)
    obj.data.vertices.foreach_get("co", flat)
    matrix = np.array(obj.matrix_world)
    return flat.reshape(-1, 3).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def triangles(name: str) -> NDArray[np.int32]:
    data = bpy.data.objects[name].data
    data.calc_loop_triangles()
    flat = np.empty(3 * len(data.loop_triangles), np.int32)
    data.loop_triangles.foreach_get("vertices", flat)
    return flat.reshape(-1, 3)


def read_truth(scene: Any, face_rows: NDArray, contact: bool = True) -> Truth:
    """At all frames of the scene's range. face_rows: (m,) vertices of the head at the landmarks."""
    frames = range(scene.frame_start, scene.frame_end + 1)
    points: dict[str, list[NDArray]] = {"face": [], "left": [], "right": []}
    touching: dict[str, list[bool]] = {"left": [], "right": []}
    tree = TriangleTree(mesh(demo.HEAD), triangles(demo.HEAD))
    for frame in frames:
        scene.frame_set(frame)
        head = mesh(demo.HEAD)
        points["face"].append(head[face_rows])
        if contact:
            tree.refit(head)
        for side in SIDES:
            points[side].append(hand_points(side))
            if contact:
                distance, _, _, sign = tree.closest(mesh(SIDES[side][1]), 0.02)
                touching[side].append(bool((distance * sign).min() < TOUCHING))
    return Truth({k: np.array(v) for k, v in points.items()}, {k: np.array(v) for k, v in touching.items()})


def cameras(count: int) -> list[Camera]:
    """In an arc in front of the face; a single one looks a little from the side."""
    angles = np.linspace(-1.2, 1.2, count) if count > 2 else np.linspace(-0.4, 0.4, count) if count == 2 else [0.3]
    return [_camera(f"camera{k}", angle, 0.1 * (-1) ** k) for k, angle in enumerate(angles)]


def _camera(name: str, angle: float, above: float) -> Camera:
    middle = np.array([0.0, -0.05, 0.08])
    centre = middle + AWAY * np.array([np.sin(angle), -np.cos(angle), above])
    ahead = (middle - centre) / np.linalg.norm(middle - centre)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(ahead, right), ahead])
    matrix = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])
    lens = np.array([0.08, -0.03, 0.001, -0.001, 0.0])
    return Camera(name, (WIDTH, HEIGHT), matrix, lens, rotation, -rotation @ centre)


def write_take(
    folder: Path, truth: Truth, indices: NDArray, rate: float, *, views: int, noise: float, outliers: float, seed: int
) -> tuple[list[Path], Path | None]:
    """Files of a take and its calibration. noise: [m] of points in space, or its image at the face's distance;
    outliers: share of the points; views: cameras, 0 for points in space. Returns the files and the calibration."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"left_hand": truth.points["left"], "right_hand": truth.points["right"]}
    face = np.full((len(truth.points["face"]), 468, 3), np.nan)
    face[:, indices] = truth.points["face"]
    whole["face"] = face
    if not views:
        path = folder / "take.npz"
        np.savez(path, fps=rate, **{name: _spoilt(rng, x, noise, OUTLIER, outliers) for name, x in whole.items()})
        return [path], None
    made, paths = cameras(views), []
    for camera in made:
        paths.append(folder / f"{camera.name}.npz")
        pixels = FOCAL / AWAY
        seen = {
            n: _spoilt(rng, camera.project(x), noise * pixels, OUTLIER * pixels, outliers) for n, x in whole.items()
        }
        np.savez(paths[-1], fps=rate, **seen)
    calibration = folder / "calibration.toml"
    calibration.write_text("\n".join(_toml(camera) for camera in made), encoding="utf-8")
    return paths, calibration


def _spoilt(rng: Any, points: NDArray, noise: float, far: float, outliers: float) -> NDArray[np.float64]:
    spoilt = points + noise * rng.standard_normal(points.shape)
    wrong = rng.random(points.shape[:2]) < outliers
    spoilt[wrong] += far * rng.standard_normal((int(wrong.sum()), points.shape[2]))
    return spoilt


def _toml(camera: Camera) -> str:
    return "\n".join(
        [
            f"[{camera.name}]",
            f'name = "{camera.name}"',
            f"size = {[int(n) for n in camera.size]}",
            f"matrix = {camera.matrix.tolist()}",
            f"distortions = {camera.distortion.tolist()}",
            f"rotation = {camera.rotation.tolist()}",
            f"translation = {camera.translation.tolist()}",
        ]
    )
