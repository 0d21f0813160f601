# SPDX-License-Identifier: GPL-3.0-or-later
"""The network in PyTorch: the features of patches of controls, and Φ. The arithmetic is that of `features.py` and
`runtime.py`."""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .contact_field import AREA, DEPTH, MEAN, MOTION, NEAR, NORMAL
from .controls import Controls
from .distance_grid import MARGIN
from .features import CHANGE_UNIT, COUNT, DEPTH_UNIT, MOMENTS, MOTION_UNIT, STATE_UNIT
from .lag import LONGEST, TOUCHING

_MM = 1e-3


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
    """What is known of a batch of patches before its window is rolled out: everything but the state. Batch b, time t,
    controls p.

    The contact fields were measured from the true skin of the previous frame. Where a rollout has moved a control
    further out of the hand, along the hand's normal, the hand is less near by the same distance: to first order, this
    is all that a wrong state changes in the fields.
    """

    def __init__(
        self,
        kernels: Tensor,
        frames: Tensor,
        static: Tensor,
        fields: Tensor,
        lag: Tensor,
        duration: Tensor,
        true: Tensor | None,
    ):
        """kernels (b, m, p, p); frames (b, p, 3, 3); static (b, p, s); fields (b, t+1, p, CHANNELS) in mm, the first
        before the window; lag (b, p, 3) in mm, of that frame; duration (b,) of a frame in
        `FRAME_UNIT`; true (b, t, p, 3) the states [m] that the window's fields were measured with, None where fields
        know of no state."""
        b, m, p, _ = kernels.shape
        self.kernels, self.frames = kernels.reshape(b, m * p, p), frames
        self._units = torch.tensor([[CHANGE_UNIT], [MOTION_UNIT], [STATE_UNIT]]).to(frames)
        depth, mean, area = fields[..., DEPTH], fields[..., MEAN], fields[..., AREA]
        self._near = fields[:, 1:, :, NEAR] * _MM
        self._lag, self._touched = lag * _MM, fields[:, 0, :, NEAR, None] * _MM >= float(TOUCHING)
        self._normal, motion = fields[:, 1:, :, NORMAL : NORMAL + 3], fields[:, 1:, :, MOTION:]
        self._motion = motion * _MM
        own = [depth[:, 1:] * (_MM / DEPTH_UNIT), mean[:, 1:] * (_MM / DEPTH_UNIT), area[:, 1:],
               (depth[:, 1:] - depth[:, :-1]) * (_MM / CHANGE_UNIT)]  # fmt: skip
        self._own = torch.stack(own, dim=-1)  # (b, t, p, 4)
        self._turned = torch.einsum("bpij,btpj->btpi", frames, motion) * (_MM / MOTION_UNIT)
        t = motion.shape[1]
        spread = torch.stack([depth[:, 1:] * (_MM / DEPTH_UNIT), area[:, 1:]], dim=-1)
        gathered = self.kernels @ spread.permute(0, 2, 1, 3).reshape(b, p, t * 2)
        self._gathered = gathered.reshape(b, m, p, t, 2).permute(0, 3, 2, 1, 4)  # (b, t, p, m, 2)
        # How far out along the hand's normal the skin was when the fields were measured.
        self._out = None if true is None else (self._normal * true).sum(-1)
        self.constant = torch.cat([static, duration[:, None, None].expand(b, p, 1)], dim=-1)

    def near(self, step: int, state: Tensor) -> Tensor:
        """NEAR (b, p) [m] of a step, for skin that is where `state` (b, p, 3) has it."""
        near = self._near[:, step]
        if self._out is not None:
            near = torch.relu(near - (self._normal[:, step] * state).sum(-1) + self._out[:, step])
        return near

    def first_lag(self, ahead: Tensor) -> Tensor:
        """The lag (b, p, 3) [m] before the window, of skin that is `ahead` (b, p, 3) [m] of the true one."""
        return torch.where(self._touched, self._lag - ahead, 0.0)

    def lead(self, step: int, near: Tensor, lag: Tensor) -> Tensor:
        """As `lag.lead`: the lag (b, p, 3) [m] with the motion of the hand, where it touches."""
        lag = torch.where(near[..., None] >= float(TOUCHING), lag + self._motion[:, step], 0.0)
        length = (lag.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        return lag * (float(LONGEST) / length).clamp(max=1)

    def follow(self, near: Tensor, change: Tensor, lag: Tensor) -> Tensor:
        """As `lag.follow`: the lag (b, p, 3) [m] after the skin has moved by `change` (b, p, 3) [m]."""
        return torch.where(near[..., None] >= float(TOUCHING), lag - change, 0.0)

    def features(self, step: int, near: Tensor, lag: Tensor, state: Tensor, change: Tensor) -> Tensor:
        """(b, p, COUNT) of a step; near: (b, p), lag: (b, p, 3) as `lead` leaves it, state, change: (b, p, 3) in the
        cranium's frame [m]."""
        b, p, _ = state.shape
        inside = torch.relu(near - MARGIN)[..., None] * self._normal[:, step]
        around = (self.kernels @ torch.cat([near[..., None], inside, lag, state], dim=-1)).reshape(b, MOMENTS, p, 10)
        vectors = around[..., 1:].reshape(b, MOMENTS, p, 3, 3)
        vectors = torch.einsum("bpij,bmpvj->bpmvi", self.frames, vectors) / self._units
        gathered = [self._gathered[:, step], around[..., :1].transpose(1, 2) / DEPTH_UNIT, vectors.flatten(3)]
        own = torch.einsum("bpij,bpvj->bpvi", self.frames, torch.stack([inside, lag, state, change], dim=2))
        parts = [self._own[:, step], near[..., None] / DEPTH_UNIT, own[:, :, 0] / CHANGE_UNIT, self._turned[:, step],
                 own[:, :, 1] / MOTION_UNIT, own[:, :, 2] / STATE_UNIT, own[:, :, 3] / CHANGE_UNIT,
                 torch.cat(gathered, dim=-1).reshape(b, p, -1), self.constant]  # fmt: skip
        return torch.cat(parts, dim=-1)

    def at_rest(self) -> Tensor:
        """The features (b, p, COUNT) of an untouched face."""
        b, p, s = self.constant.shape
        return torch.cat([self.constant.new_zeros(b, p, COUNT - s), self.constant], dim=-1)
