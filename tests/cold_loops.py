# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a deep contact in every mode and prints the compiled loops that were first called after the warm-up.

Runs in a process of its own, see `test_warm_up.py`: in that of the tests, others have called them all. Arguments: the
.blend of `scenes.with_volume`.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace

import bpy
import nephim
from nephim.bridge.cache.open_file import folder
from nephim.operators import simulate
from nephim.progress import drive
from nephim.sim.template import Template
from numba.core.dispatcher import Dispatcher
from small_cast import random_weights

METHODS = ("surface", "network", "physics", "reduced")
MODES = (*((mode, "default") for mode in METHODS), ("physics", "flesh"), ("reduced", "flesh"))
_inner = simulate.start_job
warm: set[tuple[str, str]] = set()


def called() -> set[tuple[str, str]]:
    """The compiled loops that Python has called so far, each with the types of its arguments."""
    modules = [module for name, module in sys.modules.items() if name.startswith("nephim")]
    loops = {value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)}
    return {(f"{loop.py_func.__module__}.{loop.py_func.__name__}", str(s)) for loop in loops for s in loop.signatures}


def start_job(*arguments, **options) -> Iterator:
    """`modes.start_job`, after which nothing more may be compiled."""
    simulation = yield from _inner(*arguments, **options)
    warm.update(called())
    return simulation


def main(blend: str) -> None:
    nephim.register()
    bpy.ops.wm.open_mainfile(filepath=blend)
    scene, arm = bpy.context.scene, bpy.data.objects["LeftRig"]
    scene.frame_set(6)
    arm.location.x -= 0.05  # far deeper than any face yields
    arm.keyframe_insert("location", frame=6)
    template, hand = Template.load(folder().volume), scene.nephim.left.data
    own = replace(random_weights(size=0.02), heads=(template.n_head,), hands=(len(hand.vertices),))
    own.save(folder().weights)
    simulate.start_job = start_job
    for mode, tissue in MODES:
        drive(simulate.simulate_job(scene, (1, 8), tissue, "pull", mode), sys.stderr)
        for name, types in sorted(called() - warm):
            print(f"cold: {name} in {mode} with {tissue}: {types}")
    nephim.unregister()
    print(f"{len(warm)} loops")


if __name__ == "__main__":
    main(sys.argv[-1])
