"""The in-context method: whose a kernel is, what a block then costs, and the table that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import lut
import lut.tables.in_context
from lut import SpaceTable, TableNetwork
from lut.predictor.kernels.features import features_of
from lut.predictor.kernels.labels import Labelled
from lut.predictor.kernels.network import ProfilerCost, without_profiler
from lut.predictor.models.quantise import quantised
from lut.tables.attribution import owners
from lut.tables.in_context import occurrences, summary
from profilers.kernels import Kernel
from targets import Int8Form, default_form, host_facts, load_target
from targets.errors import TargetError, UsageError
from targets.int8_form import INT8_SYMMETRIC
from tests.support.kernels import activation
from tests.support.kernels import kernel as kernel_of
from tests.support.logs import silent

HOST = load_target("host")
PREFIXES = ("/stem/", "/blocks.0/", "/blocks.1/", "/blocks.10/", "/head/")


def kernel(name: str, op: str = "Conv") -> Kernel:
    image = activation(1, 8, 4, 4)
    return kernel_of(op, [image], [image], name=name, reads=["x"], writes=["y"])


def test_a_kernel_is_of_the_block_that_its_name_begins_with() -> None:
    names = ["/stem/Conv_nchwc", "/blocks.0/a/Conv", "/blocks.1/Add", "/blocks.10/Mul_token_3", "/head/Gemm"]
    assert owners([kernel(n) for n in names], PREFIXES, "net") == [0, 1, 2, 3, 4]


def test_reorders_are_of_the_next_kernel_and_pieces_of_the_one_before() -> None:
    # as onnxruntime 1.31 runs a squeeze-and-excite in fp32 and a HardSwish in int8
    rows = [
        ("image_QuantizeLinear", "QuantizeLinear", 0),
        ("ReorderInput", "ReorderInput", 0),
        ("/stem/Conv_nchwc", "Conv", 0),
        ("HardSigmoid_69", "HardSigmoid", 0),
        ("QLinearMul_288", "QLinearMul", 0),
        ("ReorderOutput", "ReorderOutput", 1),
        ("/blocks.0/Conv", "Conv", 1),
        ("Transpose_7", "Transpose", 1),
        ("Mul_12", "Mul", 1),
        ("ReorderOutput_token_94", "ReorderOutput", 2),
        ("ReorderInput_token_95", "ReorderInput", 2),
        ("/blocks.1/Conv", "Conv", 2),
        ("/head/Gemm", "Gemm", 4),
        ("logits_DequantizeLinear", "DequantizeLinear", 4),
        ("ReorderOutput_token_99", "ReorderOutput", 4),
    ]
    assert owners([kernel(n, op) for n, op, _ in rows], PREFIXES, "net") == [of for _, _, of in rows]


def test_prefixes_of_another_network_are_refused() -> None:
    with pytest.raises(UsageError, match="whole network net: no kernel has a name"):
        owners([kernel("conv1")], PREFIXES, "net")


def test_occurrences_sum_to_all_kernels_of_two_blocks_by_hand() -> None:
    named = {"/a/Conv": "Conv", "ReorderOutput": "ReorderOutput", "/b/Conv": "Conv", "/b/Mul": "Mul"}
    kernels = [kernel(name, op) for name, op in named.items()]
    ms = np.array([0.100, 0.010, 0.200, 0.030])
    measured = Labelled("net", kernels, features_of(kernels), ms, 0.3, 0.0, 9)
    network = TableNetwork("net", ("A", "B"), 1, lambda: b"", ("/a/", "/b/"))
    raw = occurrences([network], [measured])
    assert raw == {"A": [pytest.approx(0.100)], "B": [pytest.approx(0.240)]}
    assert sum(v for values in raw.values() for v in values) == pytest.approx(ms.sum(), rel=1e-12)
    # 2 us of each kernel are the profiler's: one of A, three of B
    cost = ProfilerCost(1.0, dict.fromkeys(("conv", "matmul", "memory"), 0.002), 0.0)
    net = occurrences([network], without_profiler([measured], cost))
    assert net == {"A": [pytest.approx(0.098)], "B": [pytest.approx(0.234)]}


def test_a_row_is_the_median_and_says_when_it_is_not_to_be_trusted() -> None:
    row = summary([1.0, 1.02, 0.99, 1.01, 1.5])
    assert (row["p50_ms"], row["n"], row["flag"]) == (1.01, 5, "ok")
    assert row["ci_low_ms"] <= row["p50_ms"] <= row["ci_high_ms"]
    few = summary([1.0, 1.0])
    assert (few["flag"], few["reason"]) == ("unstable", "it was seen 2 times")
    # A range of quartiles of 1.5: 1.253 * 1.5 / 1.349 / sqrt(4) = 0.70, of a median of 2.5
    apart = summary([1.0, 2.0, 3.0, 4.0])
    assert (apart["flag"], apart["reason"]) == ("unstable", "its median is known to 28%")


class Profile:
    """In place of a device: a convolution of a block takes 10 us per 1e6 MACs * kernel, a reorder 3 us.

    The profiler adds 2 us to each kernel, and the network takes 5 us besides its kernels.
    """

    def __init__(self, blocks: list[lut.TableBlock]) -> None:
        self.cost_ms = {p.key: 1e-8 * p.macs * p.features["kernel"] for p in blocks}
        self.kinds: Mapping[str, tuple[str, ...]] = {}
        self.networks: dict[str, TableNetwork] = {}
        self.known = lambda key, kind: True

    def run_rows(
        self, target: Any, models: Mapping[str, bytes], *rest: Any, **more: Any
    ) -> list[dict[str, Any]]:
        kinds = {key: more["kinds"].get(key, ("time",)) for key in models}
        self.kinds = {**self.kinds, **kinds}
        return [
            {**self.row(self.networks[key.split("#")[0]], kind, 0), "key": key}
            for key in models
            for kind in kinds[key]
            if self.known(key, kind)
        ]

    def row(self, network: TableNetwork, kind: str, number: int) -> dict[str, Any]:
        n, kernels, us = 12, [], []
        for key, prefix in zip(network.blocks, network.prefixes, strict=True):
            kernels += [kernel("ReorderInput", "ReorderInput"), kernel(f"{prefix}Conv_nchwc")]
            us += [3 + 2, 1e3 * self.cost_ms[key] + 2]
        ms = 0.005 + sum(us) / 1e3 - 0.002 * len(us)
        described = {"kernels": [k.to_json() for k in kernels], "kernel_us": [us] * n}
        own = described if kind == "kernels" else {}
        return {
            "kind": kind, "key": network.key, "pass": number, "clock": "cpu", "load_s": 0.1, "flag": "ok",
            "n": n, "cpu_ms": [ms] * n, "wall_ms": [ms] * n, "ratio": [ms / 0.05] * n,
            "reference_quantiles_ms": [0.05] * 41, "reference_p20_ms": 0.05, "reference_p50_ms": 0.05, **own,
        }  # fmt: skip


@pytest.fixture
def named(networks) -> list[TableNetwork]:
    return [replace(w, prefixes=tuple(f"/b.{i}/" for i in range(len(w.blocks)))) for w in networks]


@pytest.fixture
def profile(blocks, named, monkeypatch: pytest.MonkeyPatch) -> Profile:
    made = Profile(blocks)
    made.networks = {w.key: w for w in named}
    monkeypatch.setattr(lut.tables.in_context, "run_rows", made.run_rows)
    return made


def make(home: Path, blocks, networks, **change: Any) -> SpaceTable:
    given = {
        "minutes": 0.5, "home": home, "exporter": "helper", "seed": 0, "log": lambda text: None,
        "method": "in-context", **change,
    }  # fmt: skip
    return lut.space_table(HOST, "toy", blocks, networks, **given)


def test_the_table_finds_the_formula_and_checks_on_networks_that_it_did_not_profile(
    profile, blocks, named, tmp_path
) -> None:
    more = [replace(w, key=f"more-{w.key}") for w in named]
    profile.networks |= {w.key: w for w in more}
    said = list[str]()
    table = make(tmp_path, blocks, named, profiled=more, log=said.append)
    assert table.errors["mape_pct"] < 0.5
    assert list(table.errors["profiler_us_per_kernel"].values()) == pytest.approx([2, 2, 2], rel=0.05)
    check = {row["key"] for row in table.errors["check"]}
    timed = {key for key, kinds in profile.kinds.items() if kinds == ("time",)}
    assert {key for key in timed if "#" not in key} == check
    assert table.errors["n_profiled"] == len(named) + len(more) - len(check)
    seen = {key for w in [*named, *more] if w.key not in check for key in w.blocks}
    assert table.errors["n_blocks_seen"] == len(seen) == table.errors["n_rows_measured"]
    assert f"{len(seen)} of {len(blocks)} blocks occur" in said[-1]
    for key in seen:
        assert table.blocks.uncalibrated_ms[key] == pytest.approx(profile.cost_ms[key] + 0.003, rel=0.02)
    row = table.measured_rows[f"in-context {named[0].blocks[0]}"]
    assert row.n >= 1


@pytest.mark.slow
def test_it_lies_beside_the_block_level_table_and_both_say_what_they_are(
    profile, device, blocks, named, tmp_path
) -> None:
    first = make(tmp_path, blocks, named, method="block-level")
    second = make(tmp_path, blocks, named)
    assert (first.method, second.method) == ("block-level", "in-context")
    folder = next(tmp_path.glob("tables/*/*/toy.json")).parent
    assert SpaceTable.load(folder, "toy") == first
    assert SpaceTable.load(folder, "toy.in-context") == second
    assert second.space_id == "toy.in-context"
    said = list[str]()
    assert make(tmp_path, blocks, named, log=said.append) == second
    assert "is reused" in said[0]


def test_blocks_that_no_network_has_are_predicted(profile, blocks, named, tmp_path) -> None:
    rare = blocks[4].key
    kept = {w.key: tuple(blocks[5].key if k == rare else k for k in w.blocks) for w in named}
    networks = [replace(w, blocks=kept[w.key]) for w in named]
    profile.networks = {w.key: w for w in networks}
    table = make(tmp_path, blocks, networks)
    assert f"in-context {rare}" not in table.measured_rows
    assert table.errors["n_rows_predicted"] >= 1
    assert table.latency_ms(rare) == pytest.approx(profile.cost_ms[rare] + 0.003, rel=0.5)


def test_what_cannot_be_done_says_so(profile, blocks, named, networks, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"net0 has \d blocks and 0 prefixes"):
        make(tmp_path, blocks, networks)
    with pytest.raises(UsageError, match=r"unknown method 'in-contxt'.*did you mean 'in-context'"):
        make(tmp_path, blocks, named, method="in-contxt")
    profile.known = lambda key, kind: key != "net3"
    with pytest.raises(TargetError, match="time ran out before the whole networks were measured"):
        make(tmp_path, blocks, named)
    profile.known = lambda key, kind: kind == "time"
    with pytest.raises(TargetError, match="time ran out before 3 networks were profiled"):
        make(tmp_path, blocks, named)
    assert not list(tmp_path.rglob("toy*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("form", [None, INT8_SYMMETRIC], ids=["default", "int8"])
def test_a_target_of_int8_measures_quantised_files(
    form, device, blocks, networks, tmp_path, monkeypatch
) -> None:
    import lut.tables.block_level

    files: dict[str, bytes] = {}
    plain = device.run_job

    def run_job(target, models, *rest, **more):
        files.update(models)
        return plain(target, models, *rest, **more)

    monkeypatch.setattr(lut.tables.block_level, "run_job", run_job)
    target = replace(load_target("host-int8"), quantisation=form)
    table = lut.space_table(
        target, "toy", blocks[:2], [replace(w, blocks=(blocks[i % 2].key,)) for i, w in
        enumerate(networks)][:20], minutes=9, home=tmp_path, exporter="helper", seed=0, log=silent
    )  # fmt: skip
    assert table.context.facts["target_precision"] == "int8"
    wanted = form or default_form(host_facts())
    assert Int8Form.from_facts(table.context.facts) == wanted
    sources = {blocks[0].key: blocks[0].onnx, "net0": networks[0].onnx}
    for key, export in sources.items():
        assert files[key] == quantised(export(), wanted)


@pytest.mark.slow
def test_real_kernels_of_real_sessions(blocks, named, tmp_path, patiently) -> None:
    """Nodes named as an exporter names them, seconds of a real device: every kernel finds its block."""
    real = [replace(w, onnx=_named_onnx(w)) for w in named]
    table, _ = patiently(0.8, lambda minutes: make(tmp_path, blocks, real, minutes=minutes, log=silent))
    assert all(table.latency_ms(p.key) > 0 for p in blocks)
    assert table.latency_ms("conv5e6") > 5 * table.latency_ms("conv1e1")  # 78 times the MACs
    check = table.errors["check"]
    predicted, measured = (np.log([row[f"{of}_ms"] for row in check]) for of in ("predicted", "measured"))
    assert np.corrcoef(predicted, measured)[0, 1] > 0.5


def _named_onnx(network: TableNetwork) -> Any:
    def export() -> bytes:
        model = onnx.load_from_string(network.onnx())
        new: dict[str, str] = {}
        for i, node in enumerate(model.graph.node):  # two convolutions a block
            node.name = f"/b.{i // 2}/Conv_{i % 2}"
            node.input[0] = new.get(node.input[0], node.input[0])
            new[node.output[0]] = f"{node.name}_output_0"
            node.output[0] = f"{node.name}_output_0"
        model.graph.output[0].name = node.name + "_output_0"
        return bytes(model.SerializeToString())

    return export
