# SPDX-License-Identifier: GPL-3.0-or-later
"""The network with Φ computed by PyTorch, on a graphics card or on the processor.

Contact field, features, update and decoding remain plain arrays on the processor: they amount to a few hundred
kilobytes a frame, and only Φ grows with the network.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SimulationError
from ..sim.template import Template
from .recurrence import Phi
from .runtime import Network
from .weights import Weights


class TorchNetwork(Network):
    """As `Network`, in `step`, results (within rounding) and errors. device: as torch names it, "cuda" or "cpu".

    Also raises SimulationError if torch or the device is missing.
    """

    def __init__(self, template: Template, weights: Weights, *, device: str, **others: Any):
        super().__init__(template, weights, phi=torch_phi(weights, device), **others)


def torch_phi(weights: Weights, device: str) -> Phi:
    """Φ on a device. Raises SimulationError if torch or the device is missing."""
    torch, place = _ready(device)

    def tensor(array: NDArray[np.float32]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array)).to(place)

    layers = [(tensor(matrix.T), tensor(bias)) for matrix, bias in weights.layers]
    skip = tensor(weights.skip.T)

    def phi(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            given = tensor(rows)
            value = given
            for k, (matrix, bias) in enumerate(layers):
                value = torch.addmm(bias, value, matrix)
                if k < len(layers) - 1:
                    value = torch.relu_(value)
            return torch.addmm(value, given, skip).cpu().numpy()

    return phi


def devices() -> list[str]:
    """What `TorchNetwork` runs on here: "cpu", and "cuda" if there is such a card; empty without torch."""
    try:
        import torch
    except ModuleNotFoundError:
        return []
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def _ready(device: str) -> tuple[Any, Any]:
    """torch and the device, which has been tried. Raises SimulationError."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise SimulationError(
            f"Running the network on '{device}' needs PyTorch, which this Python does not have.",
            advice="Install it with: pip install torch; or leave the device out.",
        ) from None
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # how torch reports unknown, not built in, or missing
        said = str(error).splitlines()[0]
        raise SimulationError(
            f"PyTorch cannot compute on '{device}' here ({said}).", advice="Choose another device, or leave it out."
        ) from error
    return torch, torch.device(device)
