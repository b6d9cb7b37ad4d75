"""The gradient loop: it finds what brute force finds, leaves its start alone and resumes to the bit."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.core.budget import Budget
from hwnas.core.mix import Mix
from hwnas.core.registry import part
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.loop import COLUMNS
from hwnas.gradient.methods import METHODS
from hwnas.gradient.propose import validation_loss
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.stage import Stage
from hwnas.gradient.step.optim import AdamSettings, DivergedError, SGDSettings
from hwnas.gradient.step.passes import BatchSource, validation_pass
from hwnas.gradient.warmup import make_supernet
from hwnas.spaces import load_space
from targets.errors import DamagedFileError, InfeasibleError, UsageError
from tests.support.toy import ToyBatches, ToySupernet, all_archs, toy_costs, toy_space


def toy_search(
    method: str = "proxyless", steps: int = 30, budgets: tuple[Budget, ...] = (), **settings: Any
) -> GradientSearch:
    space = toy_space()
    values = {"epoch_steps": 10, "seed": 1, "arch_every": 1} | settings
    return GradientSearch(
        space,
        settings.pop("net", None) or ToySupernet(),
        toy_costs(space),
        budgets,
        METHODS[method],
        ToyBatches(1),
        ToyBatches(2),
        SearchSettings(steps=steps, **{k: v for k, v in values.items() if k != "net"}),
    )


class ImageBatches:
    """Random images of one channel, 16 px."""

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(4, 1, 16, 16, generator=generator).contiguous(memory_format=torch.channels_last)
        return x, torch.randint(3, (4,), generator=generator)


def mobile_search(method: str) -> GradientSearch:
    space = load_space("mobile", image_size=16, in_channels=1, n_classes=3, width_mult=0.25)
    costs = CostModel(space)
    middle = float(np.median(costs.of([space.sample(np.random.default_rng(i)) for i in range(50)])["macs"]))
    return GradientSearch(
        space,
        make_supernet(space, 0),
        costs,
        [Budget("macs", middle)],
        METHODS[method],
        ImageBatches(),
        ImageBatches(),
        SearchSettings(steps=4, epoch_steps=2, seed=5, arch_every=1),
    )


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def without_seconds(state: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(state, allow_nan=False))
    for row in (*copy["log"], copy["sums"]):
        row.pop("seconds")
    return copy


CONVOLUTIONAL = ("darts", "darts-2-fast", "hyperdarts", "proxyless", "proxyless-full", "proxyless-rl", "gdas")
"""One row of every kind of estimator; all rows resume in tests/hwnas/test_method_runs.py."""

BASIC = ("darts", "proxyless", "proxyless-full")


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize("stop", [1, 2])
def test_resume_is_bit_identical_on_convolutions(name: str, stop: int) -> None:
    whole = mobile_search(name)
    whole.run()
    first = mobile_search(name)
    first.run(until=stop)
    tensors, state = first.state()
    state = json.loads(json.dumps(state, allow_nan=False))
    second = mobile_search(name)
    second.load({k: v.contiguous() for k, v in tensors.items()}, state)
    second.run()
    (tensors, state), (tensors_2, state_2) = whole.state(), second.state()
    assert same(tensors, tensors_2)
    assert without_seconds(state) == without_seconds(state_2)
    assert whole.seeds(4) == second.seeds(4)


@pytest.mark.slow
@pytest.mark.parametrize("name", BASIC)
def test_the_loss_falls_and_the_best_architecture_of_brute_force_is_found(name: str) -> None:
    search = toy_search(name, steps=150, epoch_steps=30)
    search.run()
    losses = [float(row["train_loss"] or 0) for row in search.log]
    assert losses[-1] < losses[0]
    x, y = zip(*(ToyBatches(3).at(i) for i in range(8)), strict=True)
    batch = torch.cat(x), torch.cat(y)
    archs = all_archs(search.space)
    ranked = sorted(
        archs,
        key=lambda a: validation_pass(search.supernet, Mix.one_hot(search.space.choices, a), batch).loss,
    )
    assert ranked.index(search.seeds(1)[0].arch) < 3


@pytest.mark.slow
@pytest.mark.parametrize("name", BASIC)
@pytest.mark.parametrize("limit", [4.0, 6.0, 9.0])
def test_seeds_and_expected_costs_respect_the_budgets(name: str, limit: float) -> None:
    budgets = (Budget("latency_ms", limit), Budget("size_mb", 7.0))
    search = toy_search(name, steps=120, budgets=budgets)
    search.run()
    seeds = search.seeds(3)
    found = search.costs.of([s.arch for s in seeds])
    assert (found["latency_ms"] <= limit).all() and (found["size_mb"] <= 7.0).all()
    assert float(search.log[-1]["expected_latency_ms"] or 0) <= limit * 1.05
    assert len({s.arch for s in seeds}) == len(seeds)


def test_the_start_is_never_written_to() -> None:
    net = ToySupernet()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    search = toy_search(net=net)
    search.run()
    assert same(before, dict(net.state_dict()))
    assert not same(before, dict(search.supernet.state_dict()))


def test_rows_and_alphas_of_every_epoch() -> None:
    search = toy_search(steps=25, budgets=(Budget("latency_ms", 6.0),))
    search.run()
    assert [row["step"] for row in search.log] == [10, 20, 25]
    assert all(tuple(row) == COLUMNS for row in search.log)
    assert all(row["train_loss"] and row["val_loss"] and row["expected_latency_ms"] for row in search.log)
    alphas = search.alphas()
    assert {name: a.shape for name, a in alphas.items()} == dict.fromkeys(
        ("layer0", "layer1", "layer2"), (3, 3)
    )
    assert np.exp(alphas["layer0"]).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    last = np.concatenate([a[-1] for a in alphas.values()])
    assert not np.allclose(last, np.log(1 / 3), atol=1e-2)


def test_entropy_starts_at_the_logarithm_of_the_options_and_falls() -> None:
    search = toy_search("darts", steps=60, epoch_steps=1)
    search.run()
    entropies = [float(row["entropy"] or 0) for row in search.log]
    assert entropies[0] == pytest.approx(np.log(3), abs=0.01)
    assert entropies[-1] < entropies[0] - 0.1


def test_checkpoints_are_asked_for_at_the_interval_and_at_the_end() -> None:
    saved: list[int] = []
    toy_search(steps=25).run(save=lambda step, tensors, state: saved.append(step), save_every=10)
    assert saved == [10, 20, 25]


def test_an_interrupt_between_steps_leaves_a_state_to_go_on_from() -> None:
    def interrupt(step: int) -> None:
        if step == 7:
            raise KeyboardInterrupt

    whole, stopped = toy_search(), toy_search()
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        stopped.run(on_step=interrupt)
    fresh = toy_search()
    fresh.load(*stopped.state())
    fresh.run()
    assert same(whole.state()[0], fresh.state()[0])


def test_a_nan_loss_stops_with_one_clear_error() -> None:
    class Bad(ToyBatches):
        def at(self, step: int) -> tuple[Tensor, Tensor]:
            x, y = super().at(step)
            return x * (float("nan") if step == 3 else 1.0), y

    search = toy_search()
    search.train = Bad(1)
    saved: list[int] = []
    with pytest.raises(DivergedError, match="search by proxyless, step 4 of 30: the loss is nan; lower"):
        search.run(save=lambda step, tensors, state: saved.append(step), save_every=1)
    assert saved == [1, 2, 3]


def test_a_checkpoint_of_another_search_is_refused() -> None:
    with pytest.raises(DamagedFileError, match=r"seed = 2 instead of 1"):
        toy_search().load(*toy_search(seed=2).state())


def test_an_unreachable_budget_is_refused_before_the_first_step() -> None:
    with pytest.raises(InfeasibleError, match="nearest feasible budget is latency_ms<=3"):
        toy_search(budgets=(Budget("latency_ms", 1.0),))


@pytest.mark.parametrize("bad", [{"steps": 0}, {"epoch_steps": 0}, {"arch_every": 0}, {"weight_lr": -1.0}])
def test_bad_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        toy_search(**bad)


def test_stages_share_the_steps_and_a_frozen_one_leaves_the_policy_alone() -> None:
    from dataclasses import replace

    warm = Stage("warm", share=0.4, arch_every=None)
    cooling = Stage("search", share=0.6, temperature=(5.0, 1.0))
    row = replace(METHODS["darts"], stages=(warm, cooling))
    space = toy_space()
    search = GradientSearch(
        space,
        ToySupernet(),
        toy_costs(space),
        (),
        row,
        ToyBatches(1),
        ToyBatches(2),
        SearchSettings(steps=10, epoch_steps=2, seed=0),
    )
    assert [search.timetable.at(s).stage.name for s in range(10)] == ["warm"] * 4 + ["search"] * 6
    assert [search.step_context(s).relax_context.t for s in (4, 9)] == [5.0, 1.0]
    search.run()
    assert [row["stage"] for row in search.log] == ["warm"] * 2 + ["search"] * 3
    alphas = search.alphas()["layer0"]
    assert np.array_equal(alphas[0], alphas[1])
    assert not np.array_equal(alphas[1], alphas[2])


def test_a_short_search_gets_a_rate_that_lets_logits_move_and_a_long_one_the_published() -> None:
    def rate(search: GradientSearch) -> float:
        return float(search.arch_optimizer.param_groups[0]["lr"])

    assert rate(toy_search("darts", steps=100)) == pytest.approx(0.05)
    # two of three options are touched by a step
    assert rate(toy_search("proxyless", steps=100)) == pytest.approx(0.075)
    assert rate(toy_search(steps=100_000, epoch_steps=100_000)) == 1e-3
    assert rate(toy_search(arch_lr=0.3)) == 0.3


def test_another_cost_objective_can_be_asked_for() -> None:
    search = toy_search(budgets=(Budget("latency_ms", 6.0),), objective=part("multiply_log"), steps=2)
    search.run()
    assert search.objective.term.state == {}


def test_a_cost_objective_with_a_wrong_option_is_one_clear_error() -> None:
    budgets = (Budget("latency_ms", 6.0),)
    with pytest.raises(
        UsageError, match=r"the objective: cost objective 'add' has no option 'wait'; .*weight"
    ):
        toy_search(budgets=budgets, objective=part("add", wait=1.0))
    with pytest.raises(UsageError, match="'add': weight must be a finite number, got 'much'"):
        toy_search(budgets=budgets, objective=part("add", weight="much"))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"momentum": 0.0}, "nesterov needs a momentum above 0"),
        ({"min_lr": -0.1}, "min_lr must be finite and at least 0"),
        ({"weight_decay": math.nan}, "weight_decay must be finite and at least 0"),
        ({"clip": 0.0}, "clip must be finite and above 0"),
    ],
)
def test_settings_of_the_weights_are_checked(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SGDSettings(**{"lr": 0.1, **bad})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"lr": 0.0}, "learning rate must be finite and above 0"),
        ({"betas": (-0.1, 0.9)}, r"betas must be in \[0, 1\), got -0.1"),
        ({"weight_decay": math.inf}, "weight_decay must be finite and at least 0"),
        ({"clip": -1.0}, "clip must be finite and at least 0"),
    ],
)
def test_settings_of_the_policy_are_checked(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AdamSettings(**{"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.0, **bad})


def test_learning_rates_that_are_no_rates_are_refused() -> None:
    for lr in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="learning rate must be finite and above 0"):
            SGDSettings(lr=lr)


def test_a_toy_is_a_batch_source_and_a_module() -> None:
    source: BatchSource = ToyBatches(1)
    assert torch.equal(source.at(3)[0], source.at(3)[0])
    assert isinstance(ToySupernet(), nn.Module)


def test_a_short_search_makes_an_arch_step_at_each_step_and_a_long_one_as_published() -> None:
    stage = METHODS["proxyless"].stages[0]
    for steps, every in ((100, 1), (450, 2), (5000, 5)):
        assert toy_search(steps=steps, arch_every=None).timetable.every(stage) == every
    assert toy_search(steps=100, arch_every=7).timetable.every(stage) == 7


def test_trained_weights_need_no_warm_up_and_fresh_ones_do() -> None:
    trained = toy_search(steps=100)
    batches = ToyBatches(1), ToyBatches(2)
    parts = trained.space, lambda stage: ToySupernet(), trained.costs, (), trained.method, *batches
    fresh = GradientSearch(*parts, trained.settings)
    assert trained.timetable.due(0)
    assert [step for step in range(100) if not fresh.timetable.due(step)] == list(range(25))


def test_samples_compete_with_the_decoded_architecture_unless_told_not_to() -> None:
    """The budget forces one layer to `none`; a policy that has hardly moved does not know which is best."""
    budgets = (Budget("latency_ms", 9.0),)
    plain = toy_search(steps=5, budgets=budgets, ranked=0)
    ranked = toy_search(steps=5, budgets=budgets)
    for search in (plain, ranked):
        search.run()
    assert plain.seeds(3)[0].origin in ("argmax", "repaired")
    losses = [validation_loss(ranked, Mix.one_hot(ranked.space.choices, d.arch)) for d in ranked.seeds(10)]
    assert losses == sorted(losses)
    assert losses[0] <= validation_loss(ranked, Mix.one_hot(ranked.space.choices, plain.seeds(1)[0].arch))
