"""Small real networks, made with onnx alone, and a world with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from profilers import Job, Timing, write_job
from profilers.clock import Clocks
from targets import Target, load_target


def conv_net(channels: int, size: int = 8, batch: int | str = 1) -> bytes:
    weight = np.ones((channels, 4, 3, 3), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, channels, size, size])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture
def host() -> Target:
    return load_target("host")


@pytest.fixture
def net() -> Callable[..., bytes]:
    return conv_net


@pytest.fixture
def make_job(tmp_path: Path, host: Target) -> Callable[..., Job]:
    def make(n: int = 3, target: Target = host, **timing: Any) -> Job:
        models = {f"conv {i}": conv_net(4 + 4 * (i % 8)) for i in range(n)}
        settings = replace(Timing(3600.0, min_rounds=4, ci_pct=1000.0, min_sample_ms=0.05), **timing)
        return write_job(tmp_path / "job", target, models, conv_net(8), settings)

    return make


class World:
    """Time that passes only when a network runs. `wait_ns` of each run is wall time without work."""

    def __init__(self) -> None:
        self.cpu_ns, self.wall_ns, self.ran = 0, 0, list[str]()
        self.others: Callable[[int], int | None] = lambda wall_ns: None
        self.clocks = Clocks(
            wall_ns=lambda: self.wall_ns,
            cpu_ns=lambda: self.cpu_ns,
            others_ns=lambda: self.others(self.wall_ns),
        )

    def network(self, name: str, cost_ns: Callable[[int], int], wait_ns: int = 0) -> FakeNetwork:
        return FakeNetwork(self, name, cost_ns, wait_ns)


class FakeNetwork:
    def __init__(self, world: World, name: str, cost_ns: Callable[[int], int], wait_ns: int) -> None:
        self.world, self.name, self.cost_ns, self.wait_ns, self.calls = world, name, cost_ns, wait_ns, 0

    def run(self, times: int) -> None:
        for _ in range(times):
            cost = self.cost_ns(self.calls)
            self.calls += 1
            self.world.cpu_ns += cost
            self.world.wall_ns += cost + self.wait_ns
            self.world.ran.append(self.name)

    def finish(self, n_samples: int) -> dict[str, object]:
        return {}


@pytest.fixture
def world() -> World:
    return World()
