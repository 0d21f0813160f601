# SPDX-License-Identifier: GPL-3.0-or-later
"""An exported network frame by frame in NumPy and SciPy, from the exported files alone: docs/export-network.md as code.

Slow and short; an engine's own version can be compared with it. Numbers of steps are those of that page.
"""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

CORNERS = np.array(list(product((0, 1), repeat=3)))  # of a grid's cell


class Replay:
    """phi: clipped or unclipped features (m, 101) float32 → push (m, 3) [m]; of `network.onnx`."""

    def __init__(self, folder: Path, phi: Callable[[np.ndarray], np.ndarray], frame_rate: float | None = None):
        note = json.loads((folder / "arrays.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
            a = self.a = {name: stored[name] for name in note["arrays"]}
        self.c = {name: entry["value"] for name, entry in note["constants"].items()}
        self.fps = frame_rate or note["frame_rate"]
        self.phi = phi
        self.points, self.frames = a["control_points"].astype(float), a["control_frames"].astype(float)
        k = self.k = len(self.points)

        def rows(name: str, weight, columns: int) -> csr_matrix:
            start, index = a[f"{name}_start"], a[f"{name}_index"]
            return csr_matrix((weight.astype(float), index, start), shape=(len(start) - 1, columns))

        self.refine = rows("refine", a["refine_weight"], len(a["head_neutral"]))
        self.decode = rows("decode", a["decode_weight"], k)
        self.moments = [rows(f"neighbours{n}", moment, k) for n in (0, 1) for moment in a[f"neighbours{n}_moments"].T]
        # The controls near each one, in rows (k, m) of which the first `count` are meant.
        self.count = np.diff(a["near_start"])
        self.near = np.zeros((k, self.count.max()), int)
        self.near[np.arange(self.near.shape[1]) < self.count[:, None]] = a["near_index"]
        self.wide = np.split(a["neighbours1_index"], a["neighbours1_start"][1:-1])
        self.rest = (self.refine @ a["head_neutral"])[a["control_vertices"]]
        duration = np.full((k, 1), 1 / (self.fps * self.c["frame_unit"]))
        self.constant = np.hstack([a["control_static"], duration])
        resting = np.hstack([np.zeros((k, 101 - self.constant.shape[1])), self.constant])
        self.at_rest = phi(resting.astype(np.float32))
        self.reset()

    def reset(self) -> None:
        self.z, self.change, self.lag = (np.zeros((self.k, 3)) for _ in range(3))
        self.depth_before, self.clear_frames = np.zeros(self.k), 0
        self.hands_before = self.moved_before = None

    def step(self, head, hands, cranium):
        """The skin (n_skin, 3) of a frame [m]. head (n_head, 3), hands (n, 3): in the world; cranium: (4, 4)."""
        c = self.c
        # 1. Into the cranium's frame.
        turn, shift = cranium[:3, :3], cranium[:3, 3]
        hands = (hands - shift) @ turn
        tracked = self.refine @ head.astype(float)
        moved = (tracked[self.a["control_vertices"]] - shift) @ turn - self.rest
        if self.hands_before is None:
            self.hands_before, self.moved_before = hands, moved
        # 2. and 3. The contact field.
        felt, nearest = self._field(hands, moved)
        self.hands_before, self.moved_before = hands, moved
        self.clear_frames = self.clear_frames + 1 if nearest > c["clear"] else 0
        # 4. The lag.
        touching = self.nearness >= c["touching"]
        self.lag = np.where(touching[:, None], self.lag + self.motion, 0)
        length = np.linalg.norm(self.lag, axis=1, keepdims=True)
        self.lag *= np.minimum(1, c["longest_lag"] / np.maximum(length, 1e-12))
        # 5. Which controls are active.
        waking = felt & (np.maximum(self.depth, self.nearness) > c["felt"])
        active = self.z.any(axis=1)
        for i in np.flatnonzero(waking):
            active[self.wide[i]] = True
        chosen = np.flatnonzero(active)
        if len(chosen):
            # 6. and 7. The features, and what Φ makes of them.
            push = self.phi(self._features()[chosen].astype(np.float32)) - self.at_rest[chosen]
            # 8. The new state.
            z = self.z[chosen]
            new = c["alpha"] * z + c["beta"] * self.change[chosen] + np.einsum("kad,ka->kd", self.frames[chosen], push)
            free = self.clear_frames > c["clear_seconds"] * self.fps or not waking.any()
            most = np.full(len(chosen), c["furthest"])
            if free:
                most = c["least_decay"] ** (1 / (self.fps * c["frame_unit"])) * np.linalg.norm(z, axis=1)
            length = np.linalg.norm(new, axis=1)
            new *= np.minimum(1, most / np.maximum(length, 1e-12))[:, None]
            new[np.linalg.norm(new, axis=1) < c["nothing"]] = 0
            self.change[chosen] = new - z
            self.z[chosen] = new
            self.lag[touching] -= self.change[touching]
        self.depth_before = self.depth
        # 9. The skin.
        return tracked + (self.decode @ self.z) @ turn.T

    def _field(self, hands, moved):
        """Steps 2 and 3: depth, mean, area, nearness, normal and motion of each control; which controls feel a hand;
        the distance of the nearest hand vertex from the tracked skin."""
        c, k, total = self.c, self.k, moved + self.z
        first = self._samples(hands)
        v = np.flatnonzero(first >= 0)
        i, distance, foot = self._look_up(hands[v] - moved[first[v]])
        v, i, distance, foot = (values[i >= 0] for values in (v, i, distance, foot))

        inside = distance < c["margin"]
        nearest = distance[inside].min(initial=np.inf)
        weight, at = self._weights(i[inside], foot[inside], c["reach"]), self.near[i[inside]]
        share = weight * self.a["hand_cover"][v[inside], None]
        below = c["margin"] - distance[inside, None]
        depth, mean, area = np.zeros(k), np.zeros(k), np.zeros(k)
        np.maximum.at(depth, at, weight * below)
        np.add.at(mean, at, share * below)
        np.add.at(area, at, share)

        kept = (distance <= c["margin"]) | (np.linalg.norm(self.z[i], axis=1) >= c["followed"])
        v, i, distance, foot = (values[kept] for values in (v, i, distance, foot))
        for _ in range(int(c["rounds"])):
            weight = self._weights(i, foot, c["blend"])
            sums = 1e-4 * total[i] + np.einsum("nm,nmd->nd", weight, total[self.near[i]])
            i, distance, foot = self._look_up(hands[v] - sums / (1e-4 + weight.sum(axis=1, keepdims=True)))
            v, i, distance, foot = (values[i >= 0] for values in (v, i, distance, foot))
        v, i = v[distance <= c["margin"]], i[distance <= c["margin"]]
        away = np.linalg.norm((self.points + total)[self.near[i]] - hands[v, None], axis=2)
        vertex, closest = np.full(k, -1), np.full(k, np.inf)
        for row in range(len(v)):
            at = self.near[i[row], : self.count[i[row]]]
            better = away[row, : len(at)] < closest[at]
            closest[at[better]], vertex[at[better]] = away[row, : len(at)][better], v[row]

        felt = (area > 0) | (vertex >= 0)
        self.depth, self.area = depth, area / (1 + area)
        self.mean = np.divide(mean, area, out=np.zeros(k), where=area > 0)
        self.nearness, self.normal, self.motion = np.zeros(k), np.zeros((k, 3)), np.zeros((k, 3))
        normals = self._normals(hands)
        for n in np.flatnonzero(vertex >= 0):
            v = vertex[n]
            out = normals[v] @ (self.points[n] + total[n] - hands[v])
            aside = np.sqrt(max(closest[n] ** 2 - out**2, 0))
            near = c["margin"] - out - max(aside - c["plane"], 0)
            if near > 0:
                self.nearness[n], self.normal[n] = near, normals[v]
                self.motion[n] = hands[v] - self.hands_before[v] - moved[n] + self.moved_before[n]
        return felt, nearest

    def _weights(self, i, foot, radius: float):
        """Of the controls near each control i (n,), by their distance from `foot` (n, 3): (n, m)."""
        square = ((self.points[self.near[i]] - foot[:, None]) ** 2).sum(axis=2)
        there = np.arange(self.near.shape[1]) < self.count[i, None]
        return there * np.maximum(1 - square / radius**2, 0) ** 3

    def _samples(self, places):
        """Control (n,) of the grid's sample nearest to each place; −1 where there is none."""
        control = self.a["grid_control"]
        x = (places - self.a["grid_low"]) / self.c["cell"]
        at = np.floor(x + 0.5).astype(int)
        there = (x >= 0).all(axis=1) & (at < control.shape).all(axis=1)
        return np.where(there, control[tuple(np.where(there[:, None], at, 0).T)], -1)

    def _look_up(self, places):
        """Control (n,), distance (n,) and nearest point (n, 3) of the neutral skin; control −1 where there is none."""
        x = (places - self.a["grid_low"]) / self.c["cell"]
        at = np.floor(x).astype(int)
        there = (at >= 0).all(axis=1) & (at < np.array(self.a["grid_control"].shape) - 1).all(axis=1)
        at = np.where(there[:, None], at, 0)
        f = x - at
        control = np.where(there, self.a["grid_control"][tuple((at + (f > 0.5) * there[:, None]).T)], -1)
        samples = self.a["grid_distance"][tuple(np.moveaxis(at[:, None] + CORNERS, -1, 0))]  # (n, 8)
        weight = np.where(CORNERS, f[:, None], 1 - f[:, None])  # (n, 8, 3)
        distance = (samples * weight.prod(axis=2)).sum(axis=1)
        slopes = [(2 * CORNERS[:, d] - 1) * np.delete(weight, d, axis=2).prod(axis=2) for d in range(3)]
        gradient = np.stack([(samples * slope).sum(axis=1) for slope in slopes], axis=1)
        length = np.linalg.norm(gradient, axis=1, keepdims=True) + 1e-9
        return control, distance, places - distance[:, None] * gradient / length

    def _normals(self, hands):
        triangles = self.a["hand_triangles"]
        corners = hands[triangles]
        crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        result = np.zeros_like(hands)
        np.add.at(result, triangles, crosses[:, None])
        return result / (np.linalg.norm(result, axis=1, keepdims=True) + 1e-20)

    def _features(self):
        """(k, 101), step 6."""
        c = self.c
        inside = np.maximum(self.nearness - c["margin"], 0)[:, None] * self.normal
        scalars = np.stack([self.depth / c["depth_unit"], self.area, self.nearness / c["depth_unit"]], axis=1)
        own = [
            (self.depth / c["depth_unit"])[:, None],
            (self.mean / c["depth_unit"])[:, None],
            self.area[:, None],
            ((self.depth - self.depth_before) / c["change_unit"])[:, None],
            (self.nearness / c["depth_unit"])[:, None],
            self._turned(inside) / c["change_unit"],
            self._turned(self.motion) / c["motion_unit"],
            self._turned(self.lag) / c["motion_unit"],
            self._turned(self.z) / c["state_unit"],
            self._turned(self.change) / c["change_unit"],
        ]
        told = []
        for moment in self.moments:
            told += [
                moment @ scalars,
                self._turned(moment @ inside) / c["change_unit"],
                self._turned(moment @ self.lag) / c["motion_unit"],
                self._turned(moment @ self.z) / c["state_unit"],
            ]
        return np.hstack([*own, *told, self.constant])

    def _turned(self, vectors):
        """Vectors (k, 3) in each control's own frame."""
        return np.einsum("kad,kd->ka", self.frames, vectors)
