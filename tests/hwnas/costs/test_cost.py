"""Costs: exact for architectures, an expectation for mixes, and a true lower bound."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.core.budget import Budget, feasible
from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.costs.eliminate import eliminate
from hwnas.costs.joint import JointTables
from hwnas.gradient.step.nodes import with_kept_edges
from hwnas.spaces import load_space
from targets.errors import UsageError

SPACE = load_space("mobile", image_size=32, in_channels=1, n_classes=10)
KEYS = sorted(SPACE.blocks())
PRICES = dict(zip(KEYS, np.random.default_rng(1).uniform(0.001, 0.1, len(KEYS)), strict=True))
TABLE = SimpleNamespace(
    intercept_ms=0.05, latency_ms=PRICES.__getitem__, square_ms_per_mb2=0.0, weight_mb=lambda key: 0.0
)
COSTS = CostModel(SPACE, TABLE)


def random_mix(seed: int) -> Mix:
    generator = torch.Generator().manual_seed(seed)
    weights = tuple(torch.softmax(torch.randn(len(c.options), generator=generator), 0) for c in SPACE.choices)
    return Mix(weights, tuple(tuple(range(len(w))) for w in weights), tuple(() for _ in weights))


def test_the_cost_of_an_architecture_is_the_sum_of_its_blocks() -> None:
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(50)]
    costs = COSTS.of(archs)
    for i, arch in enumerate(archs):
        parts = SPACE.block_keys(arch)
        assert costs["latency_ms"][i] == pytest.approx(0.05 + sum(PRICES[k] for k in parts))
        assert costs["macs"][i] == sum(SPACE.blocks()[k].macs for k in parts)
        assert costs["peak_memory_mb"][i] == max(SPACE.blocks()[k].peak_bytes for k in parts) / 1e6
        one_hot = COSTS.expected(Mix.one_hot(SPACE.choices, arch))
        for metric in COSTS.metrics:
            assert float(one_hot[metric]) == pytest.approx(costs[metric][i], rel=1e-5)


@pytest.mark.parametrize("name", ["darts", "nasbench201", "mobile", "proxyless", "enas-macro", "pnas"])
def test_a_one_hot_mix_costs_in_every_metric_what_the_blocks_of_its_network_cost(name: str) -> None:
    """Also through `with_kept_edges`, which searches put in between."""
    space = load_space(name, image_size=32, in_channels=3, n_classes=10)
    blocks = space.blocks()
    prices = dict(zip(sorted(blocks), np.random.default_rng(2).uniform(0.001, 0.1, len(blocks)), strict=True))
    table = SimpleNamespace(
        intercept_ms=0.05, latency_ms=prices.__getitem__, square_ms_per_mb2=0.0, weight_mb=lambda key: 0.0
    )
    costs, rng = CostModel(space, table), np.random.default_rng(0)
    assert set(costs.metrics) == {"latency_ms", "macs", "params", "size_mb", "peak_memory_mb"}
    for arch in [space.sample(rng) for _ in range(3)]:
        parts, exact = space.block_keys(arch), costs.of([arch])
        assert exact["latency_ms"][0] == pytest.approx(0.05 + sum(prices[k] for k in parts))
        assert exact["macs"][0] == sum(blocks[k].macs for k in parts)
        assert exact["params"][0] == sum(blocks[k].params for k in parts)
        expected = costs.expected(with_kept_edges(Mix.one_hot(space.choices, arch), space.choices))
        for metric in costs.metrics:
            assert float(expected[metric]) == pytest.approx(exact[metric][0], rel=1e-5), metric


def test_the_expected_cost_is_the_mean_over_samples_of_the_mix() -> None:
    mix = random_mix(0)
    rng = np.random.default_rng(0)
    n = 20_000
    columns = [rng.choice(len(w), size=n, p=np.asarray(w) / float(w.sum())) for w in mix.probs]
    sampled = COSTS.of([tuple(int(i) for i in row) for row in np.stack(columns, 1)])
    expected = COSTS.expected(mix)
    for metric in ("latency_ms", "macs", "params", "size_mb"):
        standard_error = sampled[metric].std() / n**0.5
        assert abs(float(expected[metric]) - sampled[metric].mean()) < 5 * standard_error
    worst = COSTS.of([tuple(int(w.argmax()) for w in mix.probs)])["peak_memory_mb"][0]
    assert 0.3 * worst < float(expected["peak_memory_mb"]) < 3 * worst


def test_the_gradient_of_the_expected_cost_is_that_of_finite_differences() -> None:
    mix = random_mix(3)
    leaf = [w.clone().requires_grad_() for w in mix.probs]
    live = Mix(tuple(leaf), mix.active, mix.probe)
    COSTS.expected(live)["latency_ms"].backward()
    for choice, option in [(0, 0), (3, 5), (len(leaf) - 1, 2)]:
        moved = [w.clone() for w in mix.probs]
        moved[choice][option] += 1e-2
        ahead = float(COSTS.expected(Mix(tuple(moved), mix.active, mix.probe))["latency_ms"])
        behind = float(COSTS.expected(mix)["latency_ms"])
        gradient = leaf[choice].grad
        assert gradient is not None
        assert float(gradient[option]) == pytest.approx((ahead - behind) / 1e-2, rel=1e-2)


def test_without_a_table_there_is_no_latency() -> None:
    assert "latency_ms" not in CostModel(SPACE).metrics


@pytest.mark.parametrize("metric", COSTS.metrics)
def test_the_minimum_is_reached_and_never_undercut(metric: str) -> None:
    value, arch = COSTS.minimum(metric)
    assert COSTS.of([arch])[metric][0] == pytest.approx(value)
    rng = np.random.default_rng(2)
    assert COSTS.of([SPACE.sample(rng) for _ in range(2000)])[metric].min() >= value - 1e-12


@pytest.mark.parametrize("metric", COSTS.metrics)
def test_the_maximum_is_never_exceeded_and_nothing_to_climb_is_left(metric: str) -> None:
    """Oracle: random architectures, and hill climbing from the dearest of them, one choice at a time."""
    value = COSTS.maximum(metric)
    rng = np.random.default_rng(3)
    best = max((SPACE.sample(rng) for _ in range(500)), key=lambda a: COSTS.of([a])[metric][0])
    for _ in range(3):
        for choice, options in enumerate(SPACE.choices):
            near = [(*best[:choice], k, *best[choice + 1 :]) for k in range(len(options.options))]
            best = near[int(COSTS.of(near)[metric].argmax())]
    reached = float(COSTS.of([best])[metric][0])
    assert reached <= value * (1 + 1e-9)
    assert reached == pytest.approx(value, rel=0.05)  # widths of neighbours may be worth changing together


@pytest.mark.slow
@pytest.mark.parametrize("square", [0.01, 0.3, 10.0])
def test_the_square_of_the_weights_is_part_of_the_latency_everywhere(square: float) -> None:
    weights = {k: b.params * 4 / 1e6 for k, b in SPACE.blocks().items()}
    table = SimpleNamespace(
        intercept_ms=0.05,
        latency_ms=PRICES.__getitem__,
        square_ms_per_mb2=square,
        weight_mb=weights.__getitem__,
    )
    costs = CostModel(SPACE, table)
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(2000)]
    latency = costs.of(archs)["latency_ms"]
    for arch, found in zip(archs[:20], latency, strict=False):
        parts = SPACE.block_keys(arch)
        total = 0.05 + sum(PRICES[k] for k in parts) + square * sum(weights[k] for k in parts) ** 2
        assert found == pytest.approx(total)
        one_hot = costs.expected(Mix.one_hot(SPACE.choices, arch))
        assert float(one_hot["latency_ms"]) == pytest.approx(total, rel=1e-5)
    value, best = costs.minimum("latency_ms")
    assert costs.of([best])["latency_ms"][0] == pytest.approx(value)
    near = [SPACE.mutate(best, rng, 0.1) for _ in range(2000)]
    assert value <= min(latency.min(), costs.of(near)["latency_ms"].min()) + 1e-12


def _table(seed: int, square: float) -> SimpleNamespace:
    """A made-up table of the mobile space; int8 devices have other weights than float ones."""
    prices = dict(zip(KEYS, np.random.default_rng(seed).uniform(0.001, 0.1, len(KEYS)), strict=True))
    weights = {k: b.params * (4 if seed % 2 else 1) / 1e6 for k, b in SPACE.blocks().items()}
    return SimpleNamespace(
        intercept_ms=0.01 * seed,
        latency_ms=prices.__getitem__,
        square_ms_per_mb2=square,
        weight_mb=weights.__getitem__,
    )


def test_several_devices_cost_what_each_costs_alone() -> None:
    host, pi, phone = _table(1, 0.01), _table(2, 0.3), _table(3, 0.0)
    costs = CostModel(SPACE, host, others={"pi": pi, "phone": phone})
    assert costs.metrics[0] == "latency_ms" and costs.metrics[-2:] == ("latency_ms@pi", "latency_ms@phone")
    archs, mix = [SPACE.sample(np.random.default_rng(4)) for _ in range(30)], random_mix(5)
    together, expected = costs.of(archs), costs.expected(mix)
    for metric, table in (("latency_ms", host), ("latency_ms@pi", pi), ("latency_ms@phone", phone)):
        alone = CostModel(SPACE, table)
        assert together[metric] == pytest.approx(alone.of(archs)["latency_ms"])
        assert float(expected[metric]) == pytest.approx(float(alone.expected(mix)["latency_ms"]))
        assert costs.minimum(metric) == alone.minimum("latency_ms")
    for metric in CostModel(SPACE).metrics:
        assert together[metric] == pytest.approx(CostModel(SPACE).of(archs)[metric])


def test_the_worst_ratio_is_that_of_the_device_that_is_nearest_to_its_budget() -> None:
    costs = CostModel(SPACE, _table(1, 0.01), others={"pi": _table(2, 0.3)})
    archs = [SPACE.sample(np.random.default_rng(i)) for i in range(30)]
    values = costs.relative_to({"latency_ms": 0.5, "latency_ms@pi": 2.0}).of(archs)
    for i, ratio in enumerate(values["latency_ratio"]):
        assert ratio == max(values["latency_ms"][i] / 0.5, values["latency_ms@pi"][i] / 2.0)
    assert "latency_ratio" not in costs.of(archs)


def test_a_device_without_a_table_has_no_cost() -> None:
    with pytest.raises(UsageError, match=r"no costs of metric 'latency_ms@pi'; known: .*latency_ms"):
        COSTS.minimum("latency_ms@pi")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_elimination_equals_brute_force(seed: int, largest: bool) -> None:
    rng = np.random.default_rng(seed)
    n_options = rng.integers(1, 4, size=5)
    factors = []
    for _ in range(6):
        scope = tuple(int(c) for c in rng.choice(5, size=rng.integers(0, 4), replace=False))
        factors.append((scope, rng.uniform(0, 1, size=tuple(n_options[list(scope)]))))
    value, best = eliminate(factors, n_options, largest=largest)

    def total(arch: tuple[int, ...]) -> float:
        cells = [float(table[tuple(arch[c] for c in scope)]) for scope, table in factors]
        return max(cells) if largest else sum(cells)

    assert value == pytest.approx(min(total(a) for a in itertools.product(*map(range, n_options))))
    assert total(best) == pytest.approx(value)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_joint_tables_give_the_sums_and_maxima_of_their_parts(seed: int) -> None:
    """Scopes in any order of choices, some without a choice, some too large to be joined with another."""
    rng = np.random.default_rng(seed)
    n_options = rng.integers(1, 30, size=5)
    is_maximum = np.array([False, True, False])
    tables = []
    for _ in range(7):
        scope = tuple(int(c) for c in rng.choice(5, size=rng.integers(0, 4), replace=False))
        tables.append((scope, rng.uniform(0, 1, size=(3, *n_options[list(scope)]))))
    archs = np.column_stack([rng.integers(0, n, size=20) for n in n_options])
    values = JointTables.of(tables, n_options, is_maximum).values(archs)
    for arch, column in zip(archs.tolist(), values.T, strict=True):
        cells = np.array([table[(slice(None), *(arch[c] for c in scope))] for scope, table in tables])
        expected = np.where(is_maximum, cells.max(axis=0), cells.sum(axis=0))
        assert column == pytest.approx(expected, rel=1e-12)


def test_an_architecture_costs_the_same_alone_among_many_and_as_an_array() -> None:
    rng = np.random.default_rng(3)
    archs = [SPACE.sample(rng) for _ in range(5_000)]
    together, as_array = COSTS.of(archs), COSTS.of(np.array(archs))
    for i in (0, 17, 4_999):
        for metric, alone in COSTS.of([archs[i]]).items():
            assert alone[0] == together[metric][i] == as_array[metric][i]


def test_a_budget_reads_as_it_is_written() -> None:
    budget = Budget.parse(" latency_ms<= 12")
    assert budget == Budget("latency_ms", 12)
    assert Budget.parse(str(budget)) == budget
    assert feasible([budget], {"latency_ms": 12.0})
    assert not feasible([budget], {"latency_ms": 12.1})
    assert budget.violation({"latency_ms": 13.2}) == pytest.approx(0.1)


BAD = "latency_ms<=0 latency_ms<=-1 latency_ms<=nan latency_ms<=inf latency_ms<12 12 latency<=3 macs<=twelve"


@pytest.mark.parametrize("text", ["", *BAD.split()])
def test_a_bad_budget_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="budget"):
        Budget.parse(text)
