# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of a simulation goes, from Python's own profiler, without instrumenting the measured code."""

import cProfile
import pstats
from pathlib import Path

import nephim.sim

_SIM = Path(nephim.sim.__file__).parent
OTHER = "other"
# Files of sim/ by stage; what is not named here is "other": tracking, the undisturbed volume, the step itself.
_STAGES = {
    "contact": ("clearance", "contact_solver", "tracker", "triangle_bvh", "facing", "hands", "pinch", "pseudonormals"),
    "local": ("anderson", "active_set", "elasticity", "local_step", "membrane", "sparse", "tet_blocks", "untangle"),
    "solve": ("dissection", "multifrontal", "system"),
}
_STAGE_OF = {f"{name}.py": stage for stage, names in _STAGES.items() for name in names}

Function = tuple[str, int, str]  # file, line, name


def files(profile: cProfile.Profile) -> dict[str, float]:
    """Time [s] spent in each file of sim/, and in "other".

    Compiled functions count where they are written. Code from elsewhere (numpy, scipy) counts where it was called
    from, however deep; several callers share it as they share its time.
    """
    # function -> (primitive calls, calls, own time, cumulative time, callers -> the same four numbers)
    stats: dict[Function, tuple] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    owners: dict[Function, dict[str, float]] = {}

    def owner(function: Function, on_the_way: frozenset[Function]) -> dict[str, float]:
        """File → share of a function's own time."""
        if function in owners:
            return owners[function]
        path = Path(function[0])
        if path.is_relative_to(_SIM):
            return {path.name: 1.0}
        callers = {c: numbers[3] for c, numbers in stats[function][4].items() if c not in on_the_way}
        total, shares = sum(callers.values()), {}
        for caller, cumulative in callers.items():
            for name, share in owner(caller, on_the_way | {function}).items():
                shares[name] = shares.get(name, 0.0) + share * (cumulative / total if total else 1 / len(callers))
        owners[function] = shares or {OTHER: 1.0}
        return owners[function]

    result: dict[str, float] = {}
    for function, (_, _, own, _, _) in stats.items():
        for name, share in owner(function, frozenset()).items():
            result[name] = result.get(name, 0.0) + own * share
    return result


def stages(by_file: dict[str, float]) -> dict[str, float]:
    """The same time by stage: contact, local, solve and other."""
    result = dict.fromkeys((*_STAGES, OTHER), 0.0)
    for name, seconds in by_file.items():
        result[_STAGE_OF.get(name, OTHER)] += seconds
    return result
