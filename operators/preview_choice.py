# SPDX-License-Identifier: GPL-3.0-or-later
"""Which method the live preview runs if the user leaves that to it: the most exact one that keeps up with playback."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import bpy
import numpy as np

from ..bridge.preview import Preview
from ..choices import NETWORK
from ..errors import NephimError
from ..progress import Job, Progress, aside, call

_BESIDE = 0.02  # [s] between looks at what is prepared beside playback

_SHARE = 0.7  # of the time between two frames: the rest is Blender's own, for the rig and for drawing
# A more exact method returns when it is expected to take no more than this share of what it may: methods that are as
# slow as just allowed would otherwise take turns.
_RETURN = 0.6
_SEEN, _LEAST = 24, 12  # frames in contact over which the cost is taken, and from how many on it is known
_QUANTILE = 0.75  # of their times: three of four frames keep up. Rare long ones, as at a first touch, do not count


class Choice:
    """What runs among `modes`, from the most exact to the fastest, and why.

    frame_rate: of playback [1/s]; it may change at any time.
    """

    def __init__(self, modes: Sequence[str], frame_rate: float):
        self._modes = list(modes)
        self.mode, self.frame_rate = self._modes[0], frame_rate
        self._recent: deque[float] = deque(maxlen=_SEEN)
        self._cost: dict[str, float] = {}  # [ms] of each mode when it ran last
        self._first = 0.0  # [ms] of the present mode, when it was first known

    @property
    def allowed(self) -> float:
        """What a frame may take [ms]."""
        return _SHARE * 1000.0 / self.frame_rate

    def estimate(self, milliseconds: float) -> None:
        """The present mode takes at least this in a frame in contact, as far as is known before any was seen."""
        self._cost[self.mode] = milliseconds

    def note(self, milliseconds: float) -> None:
        """A frame in contact took this in the present mode."""
        self._recent.append(milliseconds)
        if len(self._recent) >= _LEAST:
            self._cost[self.mode] = float(np.quantile(self._recent, _QUANTILE))
            self._first = self._first or self._cost[self.mode]

    def wanted(self) -> str:
        """The mode that should run."""
        cost = self._cost.get(self.mode)
        place = self._modes.index(self.mode)
        if cost is None:
            return self.mode
        if cost > self.allowed:
            return self._modes[min(place + 1, len(self._modes) - 1)]
        if place and self._first:
            # As much slower or faster as the present mode has become since, with the contact and the machine's load.
            before = self._cost[self._modes[place - 1]] * cost / self._first
            if before < _RETURN * self.allowed:
                return self._modes[place - 1]
        return self.mode

    def run(self, mode: str) -> None:
        """This mode runs from now on."""
        self.mode = mode
        self._recent.clear()
        self._cost.pop(mode, None)
        self._first = 0.0

    def exclude(self, mode: str) -> None:
        """This mode cannot run."""
        self._modes.remove(mode)

    def why(self, labels: dict[str, str]) -> str:
        """What runs and why, in a sentence."""
        rate = f"{self.frame_rate:g} frames per second"
        name, cost = labels[self.mode], self._cost.get(self.mode)
        place = self._modes.index(self.mode)
        if cost is not None and cost > self.allowed and self.wanted() == self.mode:
            advice = "" if self.mode == NETWORK else " Train a network for this character, which is faster."
            return f"{name} takes {cost:.0f} ms in contact, too long for {rate}.{advice}"
        if place:
            above = self._modes[place - 1]
            return f"{name}: {labels[above].lower()} takes {self._cost[above]:.0f} ms in contact, too long for {rate}."
        if cost is None or not self._first:
            return f"{name}, until contacts show whether it keeps up with {rate}."
        if cost > self.allowed:
            below = labels[self.wanted()].lower()
            return (
                f"{name} takes {cost:.0f} ms in contact, too long for {rate}: {below} takes over when no hand touches."
            )
        return f"{name} keeps up with {rate}."


class Automatic:
    """A preview's own choice, and the simulation that it prepares beside the running one. make: a job for the
    simulation of a mode."""

    def __init__(self, choice: Choice, make: Callable[[str], Job[Any]]):
        self.choice, self._make = choice, make
        self._job: Job[Any] | None = None
        self._wanted = ""

    def consider(self, preview: Preview, rate: float) -> None:
        """After a frame: whether another method should go on."""
        choice, result = self.choice, preview.result
        choice.frame_rate = rate
        if preview.mode != choice.mode:  # it has taken over
            choice.run(preview.mode)
            self._wanted = ""
        elif result is not None and len(result.contacts):
            choice.note(preview.times["all"][-1])
        wanted = choice.wanted()
        if wanted != preview.mode and not self._wanted:
            self._wanted, self._job = wanted, self._make(wanted)
            self._prepare(preview)

    def _prepare(self, preview: Preview) -> None:
        """Prepares it beside playback; where there is no window, at once."""

        def go_on() -> float | None:
            if self._job is None:  # closed meanwhile
                return None
            try:
                next(self._job)
                return _BESIDE
            except StopIteration as end:
                preview.change_to(self._wanted, end.value)
            except NephimError:  # a network for other meshes
                self.choice.exclude(self._wanted)
                self._wanted = ""
            self._job = None
            return None

        if bpy.app.background:
            while go_on() is not None:
                pass
        else:
            bpy.app.timers.register(go_on, first_interval=_BESIDE)

    def close(self) -> None:
        if self._job is not None:
            self._job.close()
            self._job = None


def first_job(choice: Choice, make: Callable[[str], Job[Any]], template: Any, surfaces: Any) -> Job[Any]:
    """What an automatic preview begins with: not with what a light touch is too much for."""
    from ..sim.warm_up import touch

    while True:
        simulation = yield from make(choice.mode)
        measure = partial(touch, simulation, template, surfaces.left, surfaces.right)
        taken = yield from aside(call(Progress("preview", 0.0, f"timing the {choice.mode}"), measure))
        choice.estimate(taken)
        wanted = choice.wanted()
        if wanted == choice.mode or wanted == NETWORK:
            return simulation
        choice.run(wanted)
