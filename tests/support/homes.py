"""Stored tables and a predictor whose answers are known, and a model for them: nothing is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from lut import Measurement, SpaceTable
from lut.devices.device import device_context
from lut.predictor.kernels.model import KernelModel
from lut.predictor.kernels.network import STRATA_MS, Overhead
from lut.predictor.latency_predictor import LatencyPredictor
from lut.predictor.profile import predictor_folder
from lut.tables.calibrate import BlockCosts, Calibration
from targets import Context
from targets.target import Target


def chain_of_products(
    n: int, shape: list[Any], *, op: str = "Gelu", domain: str = "", name: str = ""
) -> bytes:
    """An ONNX file of `n` matrix products, 32 x 32 each, and an operation. name: with which theirs begin."""
    weights = [numpy_helper.from_array(np.eye(32, dtype=np.float32), f"w{i}") for i in range(n)]
    values = ["x", *(f"y{i}" for i in range(n)), "z"]
    nodes = [
        helper.make_node("MatMul", [values[i], f"w{i}"], [values[i + 1]], name=f"{name}{i}") for i in range(n)
    ]
    nodes.append(helper.make_node(op, [values[n]], ["z"], name="last", domain=domain))
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, shape) for end in ("x", "z")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.acme", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def write_predictor(home: Path, target: Target, context: Context | None = None) -> LatencyPredictor:
    """A predictor: 0.1 ms a matrix product, 0.05 ms anything else, 0.02 ms a network.

    context: None asks the device for its own.
    """
    model = KernelModel(
        rooflines={
            "matmul": (0.1, 0, 0, 0, 0, 0, 0),
            "memory": (0.05, 0, 0, 0, 0, 0, 0),
            "conv": (1.0, 0, 0, 0, 0, 0, 0),
        },
        trees={},
        counts={"matmul weights": 70},
        spread={"matmul": 0.1, "memory": 0.2, "conv": 0.1},
    )
    context = context or device_context(target, "")
    predictor = LatencyPredictor(
        context,
        target.name,
        "2026-01-02",
        model,
        Overhead(1.0, 0.0, 0.02),
        (1.0,) * len(STRATA_MS),
        {"mape_pct": 4.5},
        300.0,
    )
    predictor.save(predictor_folder(home, target, context.hash))
    return predictor


def write_space_table(
    home: Path,
    target: str,
    facts: dict[str, Any],
    space_id: str = "toy-32px",
    blocks: Mapping[str, tuple[float, float]] | None = None,
) -> SpaceTable:
    """A table of two blocks, one of them measured; or of `blocks`, with their milliseconds and bytes."""
    row = Measurement(0.5, 0.6, 0.9, 0.58, 0.62, "cpu", "ok", 50)
    costs = {"a": (0.6, 100.0), "b": (0.7, 200.0)} if blocks is None else blocks
    table = SpaceTable(
        space_id=space_id,
        target=target,
        context=Context(facts),
        blocks=BlockCosts({k: v[0] for k, v in costs.items()}, {k: v[1] for k, v in costs.items()}),
        calibration=Calibration(0.1, 1.2, 0.0, 0.0),
        errors={"mape_pct": 2.5},
        margin=0.04,
        measured_rows={next(iter(costs)): row},
        date="2026-01-02",
        seed=0,
    )
    folder = home / "tables" / target / table.context.hash
    table.save(folder)
    (folder / "context.json").write_text(json.dumps({"hash": table.context.hash, "facts": facts}))
    return table
