# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare: the take as tracked, by the skin alone, by the physics, its reduced form and the network, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from ..bridge.cache.open_file import folder
from ..bridge.cache.point_cache import delete_cache
from ..bridge.plan import read_plan
from ..choices import METHODS, NETWORK, TRACKED
from ..errors import CacheError, SimulationError
from ..progress import Job
from .jobs import JobOperator
from .show import open_picture
from .simulate import simulate_plan_job
from .volume import needs_setup


@dataclass(frozen=True)
class Compared:
    """film, sheet, figures: paths; methods: what was compared; notes: what was left out, and why."""

    film: Path
    sheet: Path
    figures: Path
    methods: tuple[str, ...]
    notes: tuple[str, ...]


def simulations_job(
    scene: Any, methods: Sequence[str] | None = None, usual: Sequence[str] = tuple(METHODS)
) -> Job[tuple[dict[str, Path], list[str]]]:
    """Simulates the take by every method whose point cache is not up to date; returns the caches by mode and notes.

    methods: of `choices.METHODS`, at least one of them a simulation; None: those of the `usual` that exist for the
    file. The cache of the scene's own mode is the usual one, the others lie in `FILE.nephim/compared`. Raises
    NephimError; finished frames are kept.
    """
    unknown = sorted(set(methods or ()) - set(METHODS))
    if unknown:
        raise SimulationError(f"There is no method '{unknown[0]}'.", advice=f"Choose among: {', '.join(METHODS)}.")
    plan = read_plan(scene)
    caches, notes = {}, []
    for mode in (name for name in METHODS if name != TRACKED and name in (methods or usual)):
        method = replace(plan.method, mode=mode)
        path = plan.folder.cache if mode == plan.method.mode else plan.folder.compared(mode)
        try:
            yield from simulate_plan_job(scene, replace(plan, method=method), path)
        except (SimulationError, CacheError) as error:
            # A network that was trained for other heads, or none at all, is no reason to compare nothing.
            if mode != NETWORK or methods is not None:
                raise
            if path != plan.folder.cache:
                delete_cache(path)
            notes.append(f"Network: left out. {error}")
            continue
        caches[mode] = path
    if not caches:
        raise SimulationError("There is nothing to compare.", advice="Choose at least one method that simulates.")
    return caches, notes


def compare_job(scene: Any, out: Path, name: str | None = None, methods: Sequence[str] | None = None) -> Job[Compared]:
    """Writes out/NAME.mp4, NAME.png and NAME.json; default name: that of the .blend. Raises NephimError."""
    from ..bridge.cache.manifest import write_json
    from ..bridge.comparison import ComparedTake
    from ..pictures.comparison import film_job, sheet_job, watch_job

    caches, notes = yield from simulations_job(scene, methods)
    name = name or Path(bpy.data.filepath).stem
    film, sheet, figures = (out / f"{name}{ending}" for ending in (".mp4", ".png", ".json"))
    with ComparedTake(scene, caches) as take:
        watched = yield from watch_job(scene, take)
        measures = watched.measures
        per_frame = {"penetration_mm": measures.deepest_mm(), "displacement_mm": measures.moved_mm()}
        write_json(
            figures,
            {
                "frames": [take.frames[0], take.frames[-1]],
                "methods": measures.summary(),
                "per_frame": {
                    what: {method: values.tolist() for method, values in found.items()}
                    for what, found in per_frame.items()
                },
                "notes": notes,
            },
        )
        yield from sheet_job(watched, sheet)
        yield from film_job(watched, film)
    return Compared(film, sheet, figures, take.methods, tuple(notes))


def summary(result: Compared) -> str:
    """A summary in one line."""
    names = ", ".join(METHODS[method] for method in result.methods)
    return " ".join([f"Compared {names}: {result.film}, {result.sheet.name}, {result.figures.name}.", *result.notes])


class NEPHIM_OT_compare(JobOperator, bpy.types.Operator):
    """Film the take as tracked, by the skin alone, by the physics and its reduced form, and by the network, side by side with measures; simulates what is not simulated yet"""  # noqa: E501

    bl_idname = "nephim.compare"
    bl_label = "Compare"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="Empty: beside the .blend")  # type: ignore[valid-type]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return needs_setup(cls, context)

    def job(self, context: bpy.types.Context) -> Job[Any]:
        out = Path(bpy.path.abspath(self.directory)) if self.directory else folder().comparison
        return compare_job(context.scene, out)

    def summary(self, result: Any) -> str:
        return summary(result)

    def finished(self, context: bpy.types.Context, result: Any) -> None:
        open_picture(result.sheet)
