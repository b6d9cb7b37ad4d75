"""Search steps as graphs: the same search as step by step, and nothing that a graph would not repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hwnas.core.budget import Budget
from hwnas.core.registry import part
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.method import Method, TermSpec
from hwnas.gradient.methods import METHODS
from hwnas.gradient.recording import why_eager
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.stage import Stage
from hwnas.gradient.stage_supernets import stage_supernets
from hwnas.gradient.step.graphed import WARM_UPS, GraphedSteps, HeldBatches, StepNumbers
from hwnas.gradient.step.optim import DivergedError
from hwnas.gradient.step.protocols import RelaxContext
from hwnas.spaces import load_space
from hwnas.tasks import REGRESSION
from tests.support.captures import NotTheSameError, TraceCapture
from tests.support.step_contexts import make_context
from tests.support.toy import ToyBatches
from tests.support.toy_cell import ToyCellSpace, ToyCellSupernet, cell_costs

GRAPHED = [name for name in METHODS if why_eager(METHODS[name]) is None]
STEPS = {
    repr(
        (
            m.relax,
            m.policy,
            m.hypergradient,
            m.weight_rule,
            m.regularisers,
            [(s.edges, s.start) for s in m.stages],
        )
    ): n
    for n, m in reversed(list(METHODS.parts.items()))
    if n in GRAPHED
}
"""A row of each kind of step; others decode or watch otherwise."""
DRAWING = ("p-darts",)
"""Its dropout draws otherwise where the probability is a tensor."""


def one_cell(stage: Stage) -> ToyCellSupernet:
    return ToyCellSupernet(*stage.wrappers(0.0), cells=1, seed=None)


def toy_search(
    name: str | Method, steps: int, capture: TraceCapture | None, **settings: Any
) -> GradientSearch:
    space, row = ToyCellSpace(), METHODS[name] if isinstance(name, str) else name
    values = {"epoch_steps": 4, "seed": 1, "arch_every": 1, "ranked": 0} | settings
    return GradientSearch(
        space, one_cell, cell_costs(space), (Budget("latency_ms", 9.0),), row, ToyBatches(1), ToyBatches(2),
        SearchSettings(steps=steps, **values), capture=capture,
    )  # fmt: skip


def differences(a: GradientSearch, b: GradientSearch) -> dict[str, float]:
    """Per tensor of their states the largest difference, relative to its largest value."""
    ours, theirs = a.state()[0], b.state()[0]
    names = [n for n in ours if n.startswith(("supernet.", "policy.", "own.", "alphas"))]
    assert set(names) <= set(theirs)
    return {
        n: float((ours[n] - theirs[n]).abs().max() / theirs[n].abs().max().clamp_min(1e-3)) for n in names
    }


def test_the_rows_that_are_recorded_are_those_whose_topology_is_fixed() -> None:
    assert set(GRAPHED) == {
        "darts", "darts-2", "darts-2-exact", "darts-2-reuse", "darts-2-fast", "hyperdarts", "p-darts",
        "pc-darts", "dadarts-topk-on-alphas", "dadarts-topk-on-weights", "snas", "drnas", "fair-darts",
        "darts-minus", "beta-darts", "smooth-darts-rs", "smooth-darts-adv", "darts-pt", "robust-darts",
        "fbnet",
    }  # fmt: skip
    reasons = {name: why_eager(METHODS[name]) or "" for name in METHODS}
    assert "'gumbel_hard'" in reasons["gdas"]
    assert "'sampled'" in reasons["proxyless"] and "'sampled'" in reasons["enas"]
    assert "'uniform'" in reasons["elastic"]
    assert "'freeze_operations'" in reasons["oles"]
    assert "'dal'" in reasons["dadarts-dal-on-alphas"]
    assert "torch.compile" in (why_eager(METHODS["darts"], compiled=True) or "")
    assert "rescales" in (why_eager(replace(METHODS["darts"], policy=METHODS["proxyless"].policy)) or "")
    dropping = replace(METHODS["p-darts"], hypergradient=part("unrolled"))
    assert "repeats the draws" in (why_eager(dropping) or "")
    assert "the loss of the task regression" in (why_eager(METHODS["darts"], task=REGRESSION) or "")


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS.values())
def test_a_recorded_search_is_the_search_step_by_step(name: str) -> None:
    n = len(METHODS[name].stages)
    frozen = any(s.untrained.frozen for s in METHODS[name].stages)
    steps = n * (WARM_UPS + 2) * (1 + frozen)
    capture = TraceCapture()
    graphed, eager = toy_search(name, steps, capture), toy_search(name, steps, None)
    graphed.run()
    assert capture.recorded >= n and capture.replays >= 1, "nothing was replayed"
    if name not in DRAWING:
        eager.run()
        # fp32, another order of the same sums; Adam divides gradients near 0 by themselves
        assert {n: d for n, d in differences(graphed, eager).items() if d > 2e-3} == {}
        assert [r["train_loss"] for r in graphed.log] == pytest.approx(
            [r["train_loss"] for r in eager.log], 1e-4
        )


@pytest.mark.slow
def test_a_regulariser_that_begins_late_is_recorded_as_0() -> None:
    row = replace(METHODS["beta-darts"], regularisers=(TermSpec(part("beta_decay"), (5.0, 9.0), after=0.7),))
    graphed, eager = toy_search(row, 8, TraceCapture()), toy_search(row, 8, None)
    graphed.run()
    eager.run()
    assert max(differences(graphed, eager).values()) < 2e-3


@pytest.mark.slow
def test_a_resumed_search_is_recorded_anew_and_goes_on_to_the_bit() -> None:
    whole, first, second = (toy_search("fair-darts", 9, TraceCapture()) for _ in range(3))
    whole.run()
    first.run(until=4)
    tensors, state = first.state()
    second.load({k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(state, allow_nan=False)))
    second.run()
    ends = [search.state() for search in (whole, second)]
    assert [k for k, v in ends[0][0].items() if not torch.equal(v, ends[1][0][k])] == []
    assert ends[0][1]["objective"] == ends[1][1]["objective"]


class Noise:
    """Images of 16 px in 4 classes."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 * self.seed + step)
        x = torch.randn(4, 3, 16, 16, generator=generator).contiguous(memory_format=torch.channels_last)
        return x, torch.randint(4, (4,), generator=generator)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "space_name"),
    [("darts-2", "darts"), ("pc-darts", "darts"), ("p-darts", "nasbench201"),
     ("hyperdarts", "nasbench201"), ("fbnet", "mobile")],
)  # fmt: skip
def test_real_supernets_do_nothing_that_a_graph_would_not_repeat(name: str, space_name: str) -> None:
    space: Any = load_space(space_name, image_size=16, in_channels=3, n_classes=4)
    row = METHODS[name]
    if name == "p-darts":  # two stages: the second has fewer options
        row = replace(row, stages=tuple(replace(s, cells=None, share=1, frozen=0) for s in row.stages[:2]))
    scale = space.search_scale
    if space_name != "mobile":
        scale = replace(scale, cells=3 if space_name == "darts" else 1, channels=4)
    costs = CostModel(space)
    limit = 0.5 * (costs.minimum("macs")[0] + costs.maximum("macs"))
    capture, steps = TraceCapture(), 10 if name in ("p-darts", "pc-darts") else 5
    search = GradientSearch(
        space, stage_supernets(space, scale), costs, (Budget("macs", limit),), row, Noise(1), Noise(2),
        SearchSettings(steps=steps, epoch_steps=20, seed=1, arch_every=1, ranked=0), capture=capture,
    )  # fmt: skip
    search.run()
    assert capture.replays >= 1


class MetaGenerator(torch.Generator):
    """Draws on `meta`, which torch has no generator for."""

    device = torch.device("meta")


META = ("darts-2", "hyperdarts", "pc-darts", "snas", "p-darts", "dadarts-topk-on-alphas")


@pytest.mark.slow
@pytest.mark.parametrize("name", META)
def test_all_of_a_step_is_on_its_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On `meta`, where nothing can be read and a tensor of the CPU beside others is refused, as on a GPU."""
    norm = torch.nn.utils.get_total_norm
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda gradients, foreach: norm(gradients))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no meta
    meta, row = torch.device("meta"), METHODS[name]
    space: Any = load_space("darts", image_size=16, in_channels=3, n_classes=4)
    costs, numbers = CostModel(space), StepNumbers(meta)
    scale = replace(space.search_scale, cells=1, channels=8)
    stage = replace(row.stages[-1], cells=None)
    net = stage_supernets(space, scale)(stage).to(meta).train()
    net.rewrap(*stage.wrappers(0.5, numbers))  # type: ignore[operator]
    generator = MetaGenerator()
    policy = row.make_policy(space.choices, generator)
    fewer = tuple(tuple(range(1 + i % 2, len(c.options))) for i, c in enumerate(space.choices))
    policy.restrict(fewer)
    hyper = row.make_hypergradient(net, policy, generator)
    batch = (torch.empty(4, 3, 16, 16, device=meta), torch.zeros(4, dtype=torch.int64, device=meta))
    context = make_context(
        row, space, net, policy, costs, lambda: batch, budgets=(Budget("macs", 1e6),), own=hyper.own
    )
    monkeypatch.setattr(context.weights, "step", lambda lr: None)
    context = replace(
        context,
        relax_context=RelaxContext(space.choices, generator, numbers("t", 0.7), numbers("progress", 0.5)),
        lr=numbers("lr", 0.1),
        recorded=True,
    )
    scored = hyper.arch_step(context).score
    assert scored.total.device == meta and all(p.grad is not None for p in policy.parameters())
    context.objective.after_step(scored)  # type: ignore[attr-defined]
    assert hyper.weight_step(context).loss.device == meta


def test_the_fake_capture_sees_what_a_graph_would_not_repeat() -> None:
    weight = torch.ones(3)
    rates = iter([0.1, 0.1, 0.2])

    def result(x: Tensor) -> Any:
        return type("Pass", (), {"loss": x.sum(), "accuracy": x.sum()})()

    def replay_twice(run: Callable[[], Any]) -> None:
        replay = TraceCapture().record(run)
        replay()
        replay()

    replay_twice(lambda: result(weight * 2))
    with pytest.raises(NotTheSameError, match=r"0\.2"):
        next(rates)
        replay_twice(lambda: result(weight * next(rates)))
    fresh = [torch.ones(3), torch.ones(3)]
    given = iter(fresh)
    with pytest.raises(NotTheSameError, match="at"):
        replay_twice(lambda: result(weight * next(given)))
    with pytest.raises(NotTheSameError):
        replay_twice(lambda: result(weight[[0, 2]]))
    with pytest.raises(RuntimeError, match="reads from the device"):
        replay_twice(lambda: result(weight * float(weight.sum())))


class Counted:
    """Batches of a step's number; of another size from step `grows` on."""

    def __init__(self, grows: int = 99) -> None:
        self.made: list[int] = []
        self._grows = grows

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        self.made.append(step)
        return torch.full((2 + (step >= self._grows), 1), float(step)), torch.zeros(2, dtype=torch.int64)


def test_batches_keep_their_place_until_their_shape_changes() -> None:
    source = Counted(grows=2)
    held = HeldBatches(source)
    held.begin(0, wanted=False)
    assert source.made == [] and not held.asked
    x, _ = held.current()
    held.begin(1, wanted=True)
    y, _ = held.current()
    assert y is x and float(x[0]) == 1.0 and source.made == [0, 1] and held.moves == 0
    held.begin(2, wanted=True)
    assert held.current()[0].shape == (3, 1) and held.moves == 1


def test_numbers_are_floats_or_keep_their_place() -> None:
    assert StepNumbers(None)("lr", 0.5) == 0.5
    numbers = StepNumbers(torch.device("cpu"))
    first = numbers("lr", 0.5)
    assert numbers("lr", 0.25) is first and float(first) == 0.25


class Failing(TraceCapture):
    def record(self, run: Callable[[], Any]) -> Callable[[], Any]:
        raise RuntimeError("no such driver")


def test_what_cannot_be_recorded_runs_as_it_is_with_one_warning() -> None:
    warnings: list[str] = []
    space = ToyCellSpace()
    search = GradientSearch(
        space, one_cell, cell_costs(space), (), METHODS["darts"], ToyBatches(1), ToyBatches(2),
        SearchSettings(steps=6, epoch_steps=6, seed=1, arch_every=1), capture=Failing(), warn=warnings.append,
    )  # fmt: skip
    search.run()
    assert search.loop.step == 6
    assert len(warnings) == 1 and "no such driver" in warnings[0]


def test_a_step_asks_for_the_batches_that_its_kind_needs() -> None:
    train, val = Counted(), Counted()
    steps = GraphedSteps(train, val, TraceCapture())

    def make() -> Any:
        x = steps.train.current()[0]
        return type("Pass", (), {"loss": x.sum(), "accuracy": x.sum()})()

    for step in range(5):
        assert float(steps.run("weights", step, make, lambda: None).loss) == 2.0 * step
    assert train.made == [0, 1, 2, 3, 4] and val.made == []


def test_a_loss_that_is_no_number_is_told_when_it_is_read() -> None:
    search = toy_search("darts", 8, TraceCapture(), weight_lr=1e30, epoch_steps=3)
    with pytest.raises(DivergedError, match="loss is"):
        search.run()
