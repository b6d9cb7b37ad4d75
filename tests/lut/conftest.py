"""A toy space of convolutions with real ONNX, and a device that is a formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import lut.measure_files
import lut.tables.block_level
import lut.tables.in_context
from lut import TableBlock, TableNetwork
from lut.devices.reference_networks import EMPTY_KEY
from targets.errors import TargetError

SIZE = 12
CHANNELS = 16


def chain_onnx(blocks: tuple[tuple[int, int], ...]) -> bytes:
    """Convolutions (kernel, expansion) one after the other, 16 channels between them."""
    rng = np.random.default_rng(0)
    nodes, weights, before = [], [], "x"
    for i, (kernel, expand) in enumerate(blocks):
        for j, (c_in, c_out, k) in enumerate(
            ((CHANNELS, CHANNELS * expand, kernel), (CHANNELS * expand, CHANNELS, 1))
        ):
            name = f"w{i}{j}"
            values = rng.standard_normal((c_out, c_in, k, k)).astype(np.float32) / (c_in * k)
            weights.append(numpy_helper.from_array(values, name))
            nodes.append(helper.make_node("Conv", [before, name], [f"y{i}{j}"], pads=[k // 2] * 4))
            before = f"y{i}{j}"
    shape = [1, CHANNELS, SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(before, TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def macs(kernel: int, expand: int) -> int:
    return SIZE**2 * CHANNELS * CHANNELS * expand * (kernel**2 + 1)


def key(kernel: int, expand: int) -> str:
    return f"conv{kernel}e{expand}"


KINDS = [(k, e) for k in (1, 3, 5) for e in (1, 2, 3, 4, 5, 6)]


@pytest.fixture
def blocks() -> list[TableBlock]:
    return [
        TableBlock(
            key(k, e),
            f"k{k}",
            {
                "kernel": k,
                "expand": e,
                "bytes": 4.0 * SIZE**2 * CHANNELS * (2 + 2 * e),
                "weight_bytes": 4.0 * CHANNELS**2 * e * (k * k + 1),
            },
            macs(k, e),
            partial(chain_onnx, ((k, e),)),
        )
        for k, e in KINDS
    ]


@pytest.fixture
def networks() -> list[TableNetwork]:
    rng = np.random.default_rng(1)
    out = []
    for i in range(24):
        kinds = tuple(KINDS[j] for j in rng.integers(0, len(KINDS), rng.integers(3, 8)))
        out.append(
            TableNetwork(
                f"net{i}",
                tuple(key(*kind) for kind in kinds),
                sum(macs(*kind) for kind in kinds),
                partial(chain_onnx, kinds),
            )
        )
    return out


class Device:
    """In place of a device: empty 4 us, a block 3 us + 10 us per 1e6 MACs * kernel, a network 1.2x + 5 us.

    The reference takes 50 us. `slower` slows down everything. `known`: which keys get a row.
    """

    def __init__(self, blocks: list[TableBlock], networks: list[TableNetwork]) -> None:
        self.cost_ms = {p.key: 0.003 + 1e-8 * p.macs * p.features["kernel"] for p in blocks}
        self.networks = {w.key: w.blocks for w in networks}
        self.asked: list[list[str]] = []
        self.known: Callable[[str], bool] = lambda key: True
        self.slower = 1.0

    def true_ms(self, name: str) -> float:
        if name == EMPTY_KEY:
            return 0.004
        if name in self.cost_ms:
            return 0.004 + self.cost_ms[name]
        return 0.005 + 1.2 * sum(self.cost_ms[k] for k in self.networks[name.split("#")[0]])

    def run_job(self, target: Any, models: Mapping[str, bytes], *rest: Any, **more: Any) -> dict[str, Any]:
        self.asked.append(list(models))
        return {name: self.row(name) for name in models if self.known(name)}

    def row(self, name: str) -> dict[str, Any]:
        t = self.true_ms(name) * self.slower
        return {
            "kind": "time",
            "key": name,
            "pass": 0,
            "cpu_ms": [t] * 4,
            "wall_ms": [t] * 4,
            "ratio": [1.0] * 4,
            "reference_quantiles_ms": [0.05 * self.slower] * 4,
            "n": 30,
            "p20_ms": t,
            "p50_ms": t * 1.01,
            "p90_ms": t * 1.2,
            "ci_low_ms": t,
            "ci_high_ms": t * 1.02,
            "clock": "cpu",
            "flag": "ok",
            "reference_p20_ms": 0.05 * self.slower,
            "reference_p50_ms": 0.05 * self.slower * 1.01,
        }


@pytest.fixture
def patiently(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, float]]:
    """What real measurements come to, and the minutes that it took: more of them where they did not suffice.

    A disturbed machine is no failure of the code; that it is refused is shown in test_space_table.py.
    """
    for module in (lut.tables.block_level, lut.tables.in_context):
        monkeypatch.setattr(module, "check_steady", lambda *_: None)

    def of(minutes: float, make: Callable[[float], Any]) -> tuple[Any, float]:
        for _ in range(3):
            try:
                return make(minutes), minutes
            except TargetError as error:
                assert "give more minutes" in str(error), error
                minutes *= 5
        raise AssertionError(f"{minutes / 5} minutes are not enough")

    return of


@pytest.fixture
def device(blocks: list[TableBlock], networks: list[TableNetwork], monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device(blocks, networks)
    monkeypatch.setattr(lut.tables.block_level, "run_job", made.run_job)
    monkeypatch.setattr(lut.measure_files, "run_job", made.run_job)
    return made
