# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulation of each mode: all have `step(TrackedFrame)` and `reset()`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..bridge.obstacles import Obstacles
from ..bridge.plan import Method, weights_path
from ..choices import NETWORK, REDUCED, SURFACE, VOLUMETRIC
from ..errors import NephimError
from ..progress import Job, Progress, aside, call


def simulation_maker(mode: str) -> Callable[..., Any]:
    """The class that simulates in this mode, or its factory. Raises SimulationError if there is no network."""
    if mode == SURFACE:
        from ..sim.surface_pbd import SurfacePBD

        return SurfacePBD
    if mode == REDUCED:
        from ..sim.reduced import ReducedPhysics

        return ReducedPhysics
    if mode == NETWORK:
        return partial(_network, weights_path())
    from ..sim.physics import Physics

    return Physics


def _network(path: Path, template: Any, _settings: Any, *, device: str | None = None, **others: Any) -> Any:
    from ..nn.runtime import Network
    from ..nn.torch_runtime import TorchNetwork
    from ..nn.weights import Weights

    weights = Weights.load(path)
    if device:
        return TorchNetwork(template, weights, device=device, **others)
    return Network(template, weights, **others)


def why_no_network() -> str:
    """Why the network cannot be chosen; empty if it can."""
    try:
        weights_path()
    except NephimError as error:
        return str(error)
    return ""


def start_job(
    method: Method, template: Any, surfaces: Any, obstacles: Obstacles, device: str | None = None
) -> Job[Any]:
    """The simulation of this method, without history; `surfaces` are the neutral ones. obstacles: what the physics
    keeps skin off; device: for the network only.

    Raises SimulationError.
    """
    from ..sim.warm_up import warm_up_job

    make = partial(
        simulation_maker(method.mode),
        template,
        method.settings(),
        left=surfaces.left,
        right=surfaces.right,
        frame_rate=method.frame_rate,
        **({"device": device} if device else {}),
        **({"obstacles": obstacles.surface, "teeth": obstacles.teeth is not None} if method.mode in VOLUMETRIC else {}),
        **({"yielding_hands": True} if method.hands_yield else {}),
    )
    simulation = yield from aside(call(Progress("simulation", 0.0, "preparing"), make))
    yield from warm_up_job(simulation, template, surfaces.left, surfaces.right)
    return simulation
