# SPDX-License-Identifier: GPL-3.0-or-later
"""The network in torch: features of patches of controls, and Φ; the arithmetic of `features.py` and `runtime.py`."""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .contact_field import AREA, DEPTH, LEFT_AREA, LEFT_DEPTH, MEAN, MOTION
from .controls import Controls
from .features import CHANGE_UNIT, COUNT, DEPTH_UNIT, MOMENTS, MOTION_UNIT, STATE_UNIT

_MM = 1e-3
# What the largest depth of a hand at a control grows by where the skin lies further out by 1: measured on recorded
# strokes. Less than 1, as depths are told less between controls.
DEPTH_GROWS = 0.57


class Phi(nn.Module):
    """ReLU layers and a linear skip from features (…, COUNT) to displacement (…, 3) in `STATE_UNIT`."""

    def __init__(self, hidden: int, depth: int):
        super().__init__()
        widths = [COUNT] + [hidden] * depth + [3]
        self.linear = [nn.Linear(a, b) for a, b in pairwise(widths)]
        self.layers = nn.ModuleList(self.linear)
        self.skip = nn.Linear(COUNT, 3, bias=False)
        # Starts as "nothing changes": what z̄ predicts.
        nn.init.zeros_(self.linear[-1].weight)
        nn.init.zeros_(self.linear[-1].bias)
        nn.init.zeros_(self.skip.weight)

    def forward(self, x: Tensor) -> Tensor:
        value = x
        for layer in self.linear[:-1]:
            value = torch.relu(layer(value))
        return self.linear[-1](value) + self.skip(x)

    def arrays(self) -> dict:
        """Weights as the runtime takes them."""
        layers = tuple((_array(layer.weight), _array(layer.bias)) for layer in self.linear)
        return {"layers": layers, "skip": _array(self.skip.weight)}

    def read(self, layers, skip: NDArray) -> None:
        """Takes the weights of a file."""
        with torch.no_grad():
            for layer, (matrix, bias) in zip(self.linear, layers, strict=True):
                layer.weight.copy_(torch.from_numpy(matrix))
                layer.bias.copy_(torch.from_numpy(bias))
            self.skip.weight.copy_(torch.from_numpy(skip))


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().numpy().astype(np.float32).copy()


class Neighbourhoods:
    """The kernels of a character's controls as dense matrices, to cut patches from."""

    def __init__(self, controls: Controls, device: str):
        k = len(controls)
        dense = np.zeros((MOMENTS, k, k), np.float32)
        for number, near in enumerate(controls.neighbours):
            rows = np.repeat(np.arange(k), np.diff(near.start))
            for m in range(3):
                dense[3 * number + m][rows, near.index] = near.moments[:, m]
        self.kernels = torch.from_numpy(dense).to(device)
        self.frames = torch.from_numpy(np.ascontiguousarray(controls.frames)).to(device)
        self.static = torch.from_numpy(controls.static).to(device)
        self.points = controls.points

    def patch(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Kernels (MOMENTS, p, p), frames (p, 3, 3) and static features (p, s) of chosen controls (p,)."""
        rows = self.kernels[:, chosen[:, None], chosen]  # only what is needed: whole rows are twenty times as much
        return rows, self.frames[chosen], self.static[chosen]


class Surroundings:
    """What a batch of patches knows in advance of a window: everything but the state. Batch b, time t, controls p.

    The contact fields were measured from the true skin of the frame before. Where a rollout has left the skin ε further
    out along its normal, a hand lies deeper in it: to first order, that is all that a wrong state changes in them.
    """

    def __init__(
        self, kernels: Tensor, frames: Tensor, static: Tensor, fields: Tensor, duration: Tensor, true: Tensor | None
    ):
        """kernels (b, m, p, p); frames (b, p, 3, 3); static (b, p, s); fields (b, t+1, p, CHANNELS) in mm, the first
        before the window; duration (b,) of a frame in `FRAME_UNIT`; true (b, t, p, 3) the states [m] that the
        window's fields were measured with, None where fields know of no state."""
        b, m, p, _ = kernels.shape
        self.kernels, self.frames = kernels.reshape(b, m * p, p), frames
        depth, mean, area = fields[..., DEPTH], fields[..., MEAN], fields[..., AREA]
        self._left = fields[:, 1:, :, LEFT_DEPTH] * _MM
        self._felt = fields[:, 1:, :, LEFT_AREA] > 0
        area_left, motion = fields[:, 1:, :, LEFT_AREA], fields[:, 1:, :, MOTION:]
        own = [depth[:, 1:] * (_MM / DEPTH_UNIT), mean[:, 1:] * (_MM / DEPTH_UNIT), area[:, 1:],
               (depth[:, 1:] - depth[:, :-1]) * (_MM / CHANGE_UNIT)]  # fmt: skip
        self._own = torch.stack(own, dim=-1)  # (b, t, p, 4)
        turned = torch.einsum("bpij,btpj->btpi", frames, motion) * (_MM / MOTION_UNIT)
        self._felt_motion = torch.cat([area_left[..., None], turned], dim=-1)  # (b, t, p, 4)
        t = motion.shape[1]
        spread = [depth[:, 1:, :, None], area[:, 1:, :, None], area_left[..., None], motion * area_left[..., None]]
        gathered = self.kernels @ torch.cat(spread, dim=-1).permute(0, 2, 1, 3).reshape(b, p, t * 6)
        gathered = gathered.reshape(b, m, p, t, 6).permute(0, 3, 2, 1, 4)  # (b, t, p, m, 6)
        vectors = torch.einsum("bpij,btpmj->btpmi", frames, gathered[..., 3:]) * (_MM / MOTION_UNIT)
        self._gathered = torch.cat([gathered[..., :1] * (_MM / DEPTH_UNIT), gathered[..., 1:2]], dim=-1)
        self._gathered_left = torch.cat([gathered[..., 2:3], vectors], dim=-1)
        self._normal = frames[:, :, 2]
        # How far out along the normal the skin was when the fields were measured.
        self._out = None if true is None else torch.einsum("bpj,btpj->btp", self._normal, true)
        self.constant = torch.cat([static, duration[:, None, None].expand(b, p, 1)], dim=-1)

    def features(self, step: int, state: Tensor, change: Tensor) -> Tensor:
        """(b, p, COUNT) of a step; state, change: (b, p, 3) in the cranium's frame [m]."""
        b, p, _ = state.shape
        left = self._left[:, step]
        if self._out is not None:
            deeper = torch.einsum("bpj,bpj->bp", self._normal, state) - self._out[:, step]
            left = torch.where(self._felt[:, step], torch.relu(left + DEPTH_GROWS * deeper), 0.0)
        own_state = torch.einsum("bpij,bpj->bpi", self.frames, state) / STATE_UNIT
        own_change = torch.einsum("bpij,bpj->bpi", self.frames, change) / CHANGE_UNIT
        around = (self.kernels @ torch.cat([left[..., None], state], dim=-1)).reshape(b, MOMENTS, p, 4)
        lefts = around[..., :1].transpose(1, 2) / DEPTH_UNIT
        states = torch.einsum("bpij,bmpj->bpmi", self.frames, around[..., 1:]) / STATE_UNIT
        gathered = [self._gathered[:, step], lefts, self._gathered_left[:, step], states]
        parts = [self._own[:, step], left[..., None] / DEPTH_UNIT, self._felt_motion[:, step], own_state, own_change,
                 torch.cat(gathered, dim=-1).reshape(b, p, -1), self.constant]  # fmt: skip
        return torch.cat(parts, dim=-1)

    def at_rest(self) -> Tensor:
        """The features (b, p, COUNT) of an untouched face."""
        b, p, s = self.constant.shape
        return torch.cat([self.constant.new_zeros(b, p, COUNT - s), self.constant], dim=-1)
