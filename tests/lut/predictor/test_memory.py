from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lut.predictor.footprint.arena import Arena, arena_bytes, pattern_bytes
from lut.predictor.footprint.liveness import Buffer, buffers, live_bytes, peak_live_bytes
from lut.predictor.footprint.memory import Footprint, MemoryModel, MemoryTerm, fit_memory, footprint
from profilers.kernels import Kernel
from targets.errors import DamagedFileError, UsageError
from tests.support.kernels import activation, weight
from tests.support.kernels import kernel as kernel_of

MIB = 1 << 20


def kernel(
    op: str,
    reads: Sequence[tuple[str, int]],
    writes: Sequence[tuple[str, int]],
    *,
    weights: Sequence[tuple[str, int]] = (),
    results: Sequence[str] = (),
    domain: str = "",
) -> Kernel:
    """A kernel whose tensors are (name, floats)."""
    return kernel_of(
        op,
        [activation(n) for _, n in reads] + [weight(n) for _, n in weights],
        [activation(n) for _, n in writes],
        domain=domain,
        name=f"{op}:{writes[0][0]}",
        reads=[name for name, _ in [*reads, *weights]],
        writes=[name for name, _ in writes],
        results=results,
    )


@st.composite
def networks(draw: st.DrawFn) -> list[Kernel]:
    """Random acyclic graphs: each kernel reads earlier tensors and writes one or two new ones."""
    sizes: dict[str, int] = {"x": draw(st.integers(1, 9))}
    found: list[Kernel] = []
    for step in range(draw(st.integers(1, 12))):
        names = draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=3, unique=True))
        new = [f"t{step}{letter}" for letter in "ab"[: draw(st.integers(1, 2))]]
        written = [(name, draw(st.integers(1, 9))) for name in new]
        found.append(kernel("Gemm", [(n, sizes[n]) for n in names], written))
        sizes.update(written)
    return [replace(k, results=tuple(w for w in k.writes if draw(st.booleans()))) for k in found]


def oracle_live_bytes(kernels: list[Kernel]) -> list[int]:
    """By definition: at each step, all tensors that exist and that some later step or the caller needs."""
    n_bytes: dict[str, int] = {}
    for k in kernels:
        for name, argument in zip([*k.reads, *k.writes], [*k.inputs, *k.outputs], strict=True):
            n_bytes[name] = 4 * argument.shape[0]
    written = {w for k in kernels for w in k.writes}
    out = []
    for step, k in enumerate(kernels):
        exist = {n for n in n_bytes if n not in written} | {w for e in kernels[: step + 1] for w in e.writes}
        needed = {r for e in kernels[step:] for r in e.reads} | {w for e in kernels for w in e.results}
        kept = (exist & needed) | set(k.writes) | {n for n in n_bytes if n not in written}
        out.append(sum(n_bytes[n] for n in kept))
    return out


@pytest.mark.slow
@given(networks())
def test_liveness_is_that_of_brute_force(kernels: list[Kernel]) -> None:
    assert live_bytes(kernels) == oracle_live_bytes(kernels)
    assert peak_live_bytes(kernels) == max(oracle_live_bytes(kernels))


@given(networks())
def test_recycled_buffers_hold_every_tensor(kernels: list[Kernel]) -> None:
    plain, recycled = buffers(kernels), buffers(kernels, recycle=True)
    assert len(recycled) <= len(plain)
    assert sum(b.size_bytes for b in recycled) <= sum(b.size_bytes for b in plain)
    for step, held in enumerate(live_bytes(kernels)):
        assert sum(b.size_bytes for b in recycled if b.first <= step <= b.last) >= held


@pytest.mark.slow
@given(networks())
def test_the_arena_hands_out_at_least_what_lives(kernels: list[Kernel]) -> None:
    own = [b for b in buffers(kernels) if not b.outside]
    live = max(sum(b.size_bytes for b in own if b.first <= s <= b.last) for s in range(len(kernels)))
    first, always = arena_bytes(own, len(kernels))
    assert live <= first <= always
    assert pattern_bytes(own) >= max(b.size_bytes for b in own)


def test_renamed_tensors_share_their_bytes() -> None:
    kernels = [
        kernel("Gemm", [("x", 10)], [("a", 100)]),
        kernel("Reshape", [("a", 100)], [("b", 100)]),
        kernel("Gemm", [("b", 100)], [("y", 5)], results=["y"]),
    ]
    # Input 10, a = b 100, y 5, of 4 bytes each.
    assert live_bytes(kernels) == [440, 440, 460]


def test_a_residual_keeps_its_tensor_through_a_rename() -> None:
    kernels = [
        kernel("Gemm", [("x", 1)], [("a", 100)]),
        kernel("Flatten", [("a", 100)], [("b", 100)]),
        kernel("Gemm", [("b", 100)], [("c", 50)]),
        kernel("Add", [("c", 50), ("a", 100)], [("y", 100)], results=["y"]),
    ]
    assert live_bytes(kernels) == [404, 404, 604, 4 * (1 + 50 + 100 + 100)]


@pytest.mark.parametrize(("op", "peak"), [("Relu", 100), ("Gelu", 200)])
def test_only_some_kernels_work_in_place(op: str, peak: int) -> None:
    kernels = [
        kernel("Gemm", [("x", 1)], [("a", 100)]),
        kernel(op, [("a", 100)], [("b", 100)]),
        kernel("Gemm", [("b", 100)], [("y", 1)], results=["y"]),
    ]
    assert peak_live_bytes(kernels) == 4 * (peak + (2 if op == "Relu" else 1))


def test_nothing_is_overwritten_that_is_still_read() -> None:
    kernels = [
        kernel("Gemm", [("x", 1)], [("a", 100)]),
        kernel("Relu", [("a", 100)], [("b", 100)]),
        kernel("Add", [("a", 100), ("b", 100)], [("y", 1)], results=["y"]),
    ]
    assert live_bytes(kernels) == [404, 804, 808]
    squared = [
        kernel("Gemm", [("x", 1)], [("a", 100)]),
        kernel("Conv", [("a", 100), ("a", 100), ("a", 100), ("a", 100)], [("y", 100)]),
    ]
    assert live_bytes(squared)[1] == 804


def test_a_fused_sum_takes_the_place_of_its_input() -> None:
    kernels = [
        kernel("Gemm", [("x", 1)], [("a", 50)]),
        kernel("Gemm", [("x", 1)], [("s", 100)]),
        kernel(
            "Conv", [("a", 50), ("w", 1), ("b", 1), ("s", 100)], [("z", 100)], domain="com.microsoft.nchwc"
        ),
        kernel("Gemm", [("z", 100)], [("y", 1)], results=["y"]),
    ]
    assert live_bytes(kernels)[2] == 4 * (1 + 1 + 1 + 50 + 100)


def test_a_recycled_buffer_is_held_while_it_waits() -> None:
    kernels = [
        kernel("Gemm", [("x", 1)], [("a", 100)]),
        kernel("Gemm", [("a", 100)], [("b", 7)]),
        kernel("Gemm", [("b", 7)], [("c", 8)]),
        kernel("Gemm", [("c", 8)], [("d", 100)]),
        kernel("Gemm", [("d", 100)], [("y", 1)], results=["y"]),
    ]
    held = buffers(kernels, recycle=True)
    assert [(b.size_bytes, b.first, b.last) for b in held if b.size_bytes == 400] == [(400, 0, 4)]
    assert [(b.first, b.last) for b in buffers(kernels) if b.size_bytes == 400] == [(0, 1), (3, 4)]


def test_kernels_without_names_are_refused() -> None:
    bare = replace(kernel("Gemm", [("x", 1)], [("a", 1)]), writes=())
    with pytest.raises(DamagedFileError, match="no names for its outputs"):
        live_bytes([bare])


def test_regions_double_and_untouched_bytes_do_not_count() -> None:
    arena = Arena()
    first = arena.take(MIB // 2)  # half of a region of 1 MiB, the rest stays free
    arena.take(MIB // 2)
    assert arena.touched_bytes == MIB
    third = arena.take(MIB)  # a region of 2 MiB
    arena.give(third)
    assert arena.take(100)[0] == first[0] - 1  # the smallest free chunk is the whole second region
    assert arena.touched_bytes == 2 * MIB


def test_freed_neighbours_join() -> None:
    arena = Arena()
    chunks = [arena.take(MIB // 4) for _ in range(4)]
    for at in (0, 2, 1, 3):
        arena.give(chunks[at])
    assert arena.take(MIB)[2] == MIB
    assert arena.touched_bytes == MIB


def test_a_chunk_is_cut_only_where_half_of_it_is_left() -> None:
    arena = Arena()
    assert arena.take(700 * 1024)[2] == MIB  # 1 MiB is less than twice 700 KiB: all of it is given
    assert arena.touched_bytes == 700 * 1024


def test_the_second_run_needs_a_region_of_its_own() -> None:
    # By hand, in MiB: a (3) needs a region of 4 and leaves 1 that is not cut off; b (3) one of 4; the block
    # of both, 6, one of 8. Written: 3 + 3 + 6.
    both = [Buffer(3 * MIB, 0, 1), Buffer(3 * MIB, 1, 1)]
    assert pattern_bytes(both) == 6 * MIB
    assert arena_bytes(both, 2) == (6 * MIB, 12 * MIB)


def test_the_block_uses_the_smallest_gap() -> None:
    # KiB: a at 0-4, b at 4-6, c at 6-9; a and b are dead when d (2) comes and lies at 0, then e (4) at 2-6.
    found = [
        Buffer(4096, 0, 0),
        Buffer(2048, 0, 1),
        Buffer(3072, 0, 3),
        Buffer(2048, 2, 3),
        Buffer(4096, 3, 3),
    ]
    assert pattern_bytes(found) == 4096 + 2048 + 3072


def test_weights_while_loading_are_counted_by_hand() -> None:
    kernels = [
        kernel("Conv", [("x", 10)], [("a", 10)], weights=[("w1", 100)], domain="com.microsoft.nchwc"),
        kernel("Conv", [("a", 10)], [("b", 10)], weights=[("w2", 300)], domain="com.microsoft.nchwc"),
        kernel("Conv", [("b", 10)], [("c", 10)], weights=[("w2", 300)], domain="com.microsoft.nchwc"),
        kernel("Gemm", [("c", 10)], [("y", 2)], weights=[("w3", 50)], results=["y"]),
    ]
    f = footprint(kernels, 2000)
    assert f.weight_bytes == 4 * (100 + 300 + 50)  # w2 is one tensor
    assert f.loading_bytes == 2000 + 4 * (100 + 300) + 3 * 4 * 300
    assert f.outside_bytes == 40
    wide = [kernel("Gemm", [("x", 10)], [("y", 10)], weights=[("w", 5000)], results=["y"])]
    assert footprint(wide, 20_000).loading_bytes == 2 * 20_000  # the weight and its packed copy


def made_rows(rng: np.random.Generator, n: int = 12) -> tuple[list[dict[str, Any]], dict[str, list[Kernel]]]:
    """Rows of a device that adds 9 MB and 20 kB per kernel while loading, 3 MB and 5 % while running."""
    rows, kernels = [], {}
    for i in range(n):
        key, length = f"n{i}", int(rng.integers(2, 30))
        chain = [
            kernel(
                "Gemm",
                [(f"t{j}", 1000 * (i + 1))],
                [(f"t{j + 1}", 1000 * (i + 1))],
                weights=[(f"w{j}", int(rng.integers(10**4, 10**6)))],
                results=["y"] if j == length - 1 else (),
            )
            for j in range(length)
        ]
        kernels[key] = chain
        f = footprint(chain, sum(4 * k.inputs[1].shape[0] for k in chain))
        base, load = 50_000_000, 9_000_000 + 20_000 * f.n_kernels + f.loading_bytes
        loaded = 10_000_000 + f.weight_bytes
        run = loaded + 3_000_000 + 1.05 * (f.arena_bytes + f.outside_bytes)
        rows.append(
            {
                "key": key,
                "file_bytes": f.file_bytes,
                "baseline_bytes": base,
                "loaded_bytes": base + loaded,
                "peak_load_bytes": base + load,
                "peak_run_bytes": base + run,
                "peak_bytes": base + max(load, run),
            }
        )
    return rows, kernels


def test_a_device_that_follows_the_model_is_found_again() -> None:
    rows, kernels = made_rows(np.random.default_rng(3))
    model = fit_memory(rows, kernels)
    assert model.baseline_bytes == 50_000_000
    assert model.loading.fixed_bytes == pytest.approx(9_000_000, rel=0.01)
    assert model.loading.per_kernel_bytes == pytest.approx(20_000, rel=0.01)
    assert model.loaded.fixed_bytes == pytest.approx(10_000_000, rel=0.01)
    assert model.running.share == pytest.approx(0.05, rel=0.05)
    assert model.mape_pct < 0.1
    for row in rows:
        found = model.predict(kernels[row["key"]], row["file_bytes"])
        assert found.peak_bytes == pytest.approx(row["peak_bytes"], rel=1e-3)
        assert found.low_bytes <= found.peak_bytes <= found.high_bytes


def test_a_device_that_cannot_reset_its_mark_is_fitted_too() -> None:
    rows, kernels = made_rows(np.random.default_rng(4))
    model = fit_memory([{**row, "peak_run_bytes": None} for row in rows], kernels)
    assert model.mape_pct < 3


def test_too_few_networks_are_refused() -> None:
    rows, kernels = made_rows(np.random.default_rng(5), 5)
    with pytest.raises(UsageError, match="5 networks have both a memory row and kernels, 6 are needed"):
        fit_memory(rows, kernels)
    with pytest.raises(UsageError, match="0 networks"):
        fit_memory(rows, {})


terms = st.builds(MemoryTerm, *[st.floats(0, 1e9) for _ in range(3)])
sizes = st.integers(0, 10**9)


@settings(max_examples=50)
@given(
    st.builds(
        MemoryModel,
        st.floats(0, 1e9),
        terms,
        terms,
        terms,
        st.floats(0, 1),
        st.just(1.0),
        st.just(2.0),
        st.just(9),
    )
)
def test_a_model_survives_json(model: MemoryModel) -> None:
    assert MemoryModel.from_json(json.loads(json.dumps(model.to_json()))) == model


@given(terms, sizes, sizes, st.integers(1, 500))
def test_more_bytes_never_need_less(term: MemoryTerm, less: int, more: int, n: int) -> None:
    model = MemoryModel(5e7, term, term, term, 0.1, 1.0, 1.0, 9)
    small, big = sorted((less, more))
    low, high = (model.predict_footprint(Footprint(b, n, b, b, b, b, 0)).peak_bytes for b in (small, big))
    assert low <= high


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": -1.0}, "margin must be a number of at least 0"),
        ({"margin": "x"}, "margin must be a number"),
        ({"loading": {"fixed_bytes": 1.0}}, "fit it again"),
        (
            {"loading": {"fixed_bytes": float("nan"), "per_kernel_bytes": 0.0, "share": 0.0}},
            "at least 0, got nan",
        ),
        ({"extra": 1}, "expected the fields"),
    ],
)
def test_damaged_models_are_refused(change: dict[str, Any], message: str) -> None:
    zero = MemoryTerm(0.0, 0.0, 0.0)
    good = MemoryModel(1.0, zero, zero, zero, 0.1, 1.0, 1.0, 9).to_json()
    with pytest.raises(DamagedFileError, match=message):
        MemoryModel.from_json({**good, **change})
    with pytest.raises(DamagedFileError, match="expected the fields"):
        MemoryModel.from_json([])


def test_the_arena_of_a_real_network() -> None:
    """That which `tests/profilers/test_memory.py` measures: 54.5 MB in the first run, twice that after."""
    from onnx import TensorProto, helper, numpy_helper

    from profilers.profiled_runner import ProfiledRunner
    from targets import load_target

    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("GlobalAveragePool", ["y"], ["pool"])],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 256, 256])],
        [helper.make_tensor_value_info("pool", TensorProto.FLOAT, [1, 208, 1, 1])],
        [numpy_helper.from_array(np.ones((208, 4, 1, 1), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    runner = ProfiledRunner("wide", model.SerializeToString(), load_target("host"), 0)
    runner.run(1)
    runner.run(1)
    kernels, _ = runner.profile(1)
    tensor_bytes = 208 * 256 * 256 * 4
    first, always = arena_bytes(buffers(kernels, recycle=True), len(kernels))
    assert first == pytest.approx(tensor_bytes, rel=1e-3)
    assert always == pytest.approx(2 * tensor_bytes, rel=1e-3)
    assert peak_live_bytes(kernels) == pytest.approx(tensor_bytes + 4 * 4 * 256 * 256, rel=1e-3)


def test_what_lies_behind_the_last_is_a_gap_too() -> None:
    # KiB: a at 0-4, b at 4-6; when b is dead, c (2) takes its place behind a.
    found = [Buffer(4096, 0, 2), Buffer(2048, 0, 0), Buffer(2048, 1, 2)]
    assert pattern_bytes(found) == 6144
    # a at 0-4, b at 4-6, c at 6-8; then d (2) fits 0-4 and, tighter, 6-8: it goes there, and e (4) takes 0-4.
    found = [
        Buffer(4096, 0, 0),
        Buffer(2048, 0, 2),
        Buffer(2048, 0, 0),
        Buffer(2048, 1, 2),
        Buffer(4096, 2, 2),
    ]
    assert pattern_bytes(found) == 8192
