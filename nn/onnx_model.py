# SPDX-License-Identifier: GPL-3.0-or-later
"""Φ as an ONNX model, which game engines run."""

import importlib.util
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SimulationError
from .features import COUNT, STATE_UNIT
from .weights import Weights

INPUT, OUTPUT = "features", "push"
# Old enough for every engine's reader (ONNX 1.8, of 2020); Φ needs nothing newer.
_OPSET, _IR = 13, 7


def require_onnx() -> None:
    """Raises SimulationError if the package onnx is missing, before anything is computed."""
    if importlib.util.find_spec("onnx") is None:
        raise SimulationError(
            "The export writes its network with the package onnx, which this Python does not have.",
            advice=f'Install it (9 MB): "{sys.executable}" -m pip install onnx',
        )


def onnx_model(weights: Weights) -> bytes:
    """A model from features (m, COUNT) float32, which it clips to their ranges in training, to Φ (m, 3) [m] in the
    controls' own frames. m is free. Raises SimulationError if the package onnx is missing."""
    require_onnx()
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, values: NDArray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def node(kind: str, *inputs: str, to: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [to], name=to, **attributes))
        return to

    raised = node("Max", INPUT, constant("low", weights.low), to="raised")
    clipped = node("Min", raised, constant("high", weights.high), to="clipped")
    value, last = clipped, len(weights.layers) - 1
    for k, (matrix, bias) in enumerate(weights.layers):
        unit = STATE_UNIT if k == last else 1.0  # metres
        arrays = constant(f"matrix{k}", unit * matrix), constant(f"bias{k}", unit * bias)
        value = node("Gemm", value, *arrays, to=f"layer{k}", transB=1)
        if k < last:
            value = node("Relu", value, to=f"relu{k}")
    skipped = node("MatMul", clipped, constant("skip", STATE_UNIT * weights.skip.T), to="skipped")
    node("Add", value, skipped, to=OUTPUT)
    graph = helper.make_graph(
        nodes,
        "phi",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["controls", COUNT])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["controls", 3])],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR, producer_name="NePHIM"
    )
    return model.SerializeToString()
