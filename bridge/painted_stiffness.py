# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights that artists painted on the head: vertex groups, or float attributes of the vertices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choices import REGIONS
from ..errors import RigError
from .meshes import group_weights
from .rig import Part, scene_object


def stiffness_groups(scene: Any, head: Part) -> dict[str, NDArray[np.float32]]:
    """Region → weights (k,) at the head's vertices, for the regions that have a group in `scene.nephim`.

    Raises RigError if there is no such group or attribute, or if it covers nothing of the head.
    """
    names = {region: getattr(scene.nephim, f"{region}_group") for region in REGIONS}
    return {region: painted_weights(head, name) for region, name in names.items() if name}


def painted_weights(part: Part, name: str) -> NDArray[np.float32]:
    """Weights (k,) of a vertex group, or else a float attribute, at the part's vertices."""
    obj = scene_object(part.object_name)
    attribute = obj.data.attributes.get(name)
    if name in obj.vertex_groups:
        weights = group_weights(obj, name)
    elif attribute is not None and (attribute.domain, attribute.data_type) == ("POINT", "FLOAT"):
        weights = np.zeros(part.n_vertices, np.float32)
        attribute.data.foreach_get("value", weights)
    else:
        raise RigError(
            f"There is no vertex group or float attribute '{name}' to take stiffness from.",
            object=obj.name,
            advice=f"Its groups are: {', '.join(g.name for g in obj.vertex_groups) or 'none'}.",
        )
    weights = weights[part.indices]
    if not (weights > 0).any():
        raise RigError(f"'{name}' is 0 on the whole head.", object=obj.name, advice="Paint it, or choose no group.")
    return weights
