"""Every row of the table on the toy cells: it learns, ends in a valid architecture, resumes to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas import supernets
from hwnas.core.budget import Budget
from hwnas.core.network_space import Scale
from hwnas.core.registry import Part, part
from hwnas.gradient.method import Method
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.starts import carry_over
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.stage import Stage
from hwnas.gradient.stage_supernets import published_scale, require_fit, stage_supernets
from hwnas.gradient.step.context import ArchPass
from hwnas.gradient.step.nodes import discretise
from hwnas.gradient.step.optim import DivergedError
from hwnas.gradient.step.passes import Pass, validation_pass
from hwnas.networks.wrappers import Wrapper, Wrapping
from hwnas.spaces import load_space
from hwnas.spaces.nasbench201 import NasBench201Space
from targets.errors import DamagedFileError, UsageError
from tests.support.toy import ToyBatches, ToySupernet, toy_costs, toy_space
from tests.support.toy_cell import OPERATIONS, ToyCellSpace, ToyCellSupernet, cell_costs, toy_cells

pytestmark = pytest.mark.slow


def cell_search(
    name: str | Method, steps: int, budgets: tuple[Budget, ...] = (), **settings: Any
) -> GradientSearch:
    space, row = ToyCellSpace(), METHODS[name] if isinstance(name, str) else name
    if row.decode.name == "perturbation":
        row = replace(row, decode=part("perturbation", tune=0.1))
    if row.policy.name == "controller":  # a draw takes longer than a pass
        row = replace(row, hypergradient=part("reinforce", samples=2, entropy=1e-4))
    values = {"epoch_steps": 3, "seed": 1, "arch_every": 1, "ranked": 2} | settings
    return GradientSearch(
        space,
        toy_cells,
        cell_costs(space),
        budgets,
        row,
        ToyBatches(1),
        ToyBatches(2),
        SearchSettings(steps=steps, **values),
    )


def without_seconds(state: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(state, allow_nan=False))
    for row in (*copy["log"], copy["sums"]):
        row.pop("seconds")
    return copy


@pytest.mark.parametrize("name", list(METHODS))
def test_it_resumes_to_the_bit_and_ends_in_a_valid_architecture_within_the_budget(name: str) -> None:
    budgets = (Budget("latency_ms", 9.0),)
    whole, first, second = (cell_search(name, 6, budgets) for _ in range(3))
    whole.run()
    first.run(until=3)
    tensors, state = first.state()
    second.load({k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(state, allow_nan=False)))
    second.run()
    (tensors, state), (tensors_2, state_2) = whole.state(), second.state()
    assert tensors.keys() == tensors_2.keys()
    assert [k for k in tensors if not torch.equal(tensors[k], tensors_2[k])] == []
    assert without_seconds(state) == without_seconds(state_2)
    seeds = whole.seeds(2)
    assert seeds == second.seeds(2)
    assert all(whole.space.valid(s.arch) for s in seeds)
    assert (whole.costs.of([s.arch for s in seeds])["latency_ms"] <= 9.0).all()


@pytest.mark.parametrize("name", list(METHODS))
def test_gradients_are_finite_on_every_active_alpha_and_the_loss_falls(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = cell_search(name, 18, epoch_steps=6, weight_lr=0.05)
    seen: list[bool] = []
    apply = search.step_policy

    def watch(arch: ArchPass) -> None:
        for p in search.policy.parameters():
            seen.append(p.grad is not None and bool(torch.isfinite(p.grad).all()))
        apply(arch)

    monkeypatch.setattr(search, "step_policy", watch)
    search.run()
    assert seen or METHODS[name].stages[0].arch_every is None
    # REINFORCE gives all of a controller but the heads of options that no draw asked for a gradient.
    assert all(seen) or search.policy.free_logits() == ()
    losses = [float(row["train_loss"] or 0) for row in search.log]
    assert losses[-1] < np.log(4) * 1.1  # chance is log 4
    if "stage" not in str(search.log[0]["stage"]):  # progressive rows begin anew
        assert losses[-1] < losses[0] * 1.02


@pytest.mark.parametrize("name", ["pc-darts", "p-darts", "drnas", "darts-minus"])
def test_a_method_that_wraps_edges_says_what_it_needs(name: str) -> None:
    space = toy_space()
    settings = SearchSettings(steps=2, epoch_steps=2, seed=0)
    with pytest.raises(UsageError, match=f"method {name} wraps the edges of cells.*choose a cell space"):
        GradientSearch(
            space,
            ToySupernet(),
            toy_costs(space),
            (),
            METHODS[name],
            ToyBatches(1),
            ToyBatches(2),
            settings,
        )


def test_partial_channels_that_do_not_divide_are_refused() -> None:
    row = replace(METHODS["pc-darts"], stages=(Stage("s", edges=(("partial", part("constant", value=5)),)),))
    with pytest.raises(UsageError, match="1 of 5 channels of a cell with 12 cannot be taken"):
        toy_cells(row.stages[0])


def test_a_budget_moves_every_kind_of_policy() -> None:
    """Expected costs after a search under a tight budget are below those after one without."""
    for name in ("darts", "pc-darts", "gdas"):
        found = []
        for budgets in ((), (Budget("latency_ms", 5.0),)):
            search = cell_search(name, 40, budgets, epoch_steps=40)
            search.run()
            found.append(float(search.log[-1]["expected_latency_ms"] or 0))
        assert found[1] < 0.8 * found[0], name


def test_a_nan_loss_is_one_clear_error() -> None:
    class Bad(ToyBatches):
        def at(self, step: int) -> tuple[Tensor, Tensor]:
            x, y = super().at(step)
            return x * float("nan"), y

    search = cell_search("darts-2", 4)
    search.val = Bad(2)
    with pytest.raises(DivergedError, match="search by darts-2, step 1 of 4: the loss is nan; lower"):
        search.run()


def test_an_early_stop_ends_the_search_and_goes_back() -> None:
    """l(i - k) / l(i) < ratio with k = 1: eigenvalues 1, 1, 1, 2 stop at the fourth epoch."""
    row = replace(METHODS["robust-darts"], callbacks=(part("stop_on_curvature", window=1, ratio=0.75),))
    search = cell_search("robust-darts", 12, epoch_steps=1)
    search.callbacks = row.make_callbacks()
    values = iter([1.0, 1.0, 1.0, 2.0, 2.0])
    policies: list[list[Tensor]] = []

    def measured(context: Any, iterations: int) -> float:
        policies.append([p.detach().clone() for p in context.policy.parameters()])
        return next(values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.gradient.parts.callbacks.largest_eigenvalue", measured)
        search.run()
    assert search.loop.step == 4 and search.loop.stopped
    for p, old in zip(search.policy.parameters(), policies[2], strict=True):
        assert torch.equal(p, old)
    # what is kept of the epoch is what it leaves: the policy that the search went back to
    for choice, old in zip(search.space.choices, policies[2], strict=True):
        assert search.alphas()[choice.name][-1] == pytest.approx(old.log_softmax(0).numpy(), abs=1e-5)
    search.run()
    assert search.loop.step == 4


FREEZE_ALL = part("freeze_operations", threshold=1.1, window=1)
"""No cosine is as large."""


@pytest.mark.parametrize("hypergradient", [part("single_level"), part("unrolled", reuse=True)])
def test_callbacks_are_asked_where_the_arch_step_makes_the_weight_step_too(hypergradient: Part) -> None:
    search = cell_search(replace(METHODS["darts"], hypergradient=hypergradient, callbacks=(FREEZE_ALL,)), 3)
    search.run(until=1)
    before = [p.detach().clone() for p in search.supernet.parameters()]
    (callback,) = search.callbacks
    frozen = set(callback.state["frozen"])
    assert frozen
    search.run(until=2)
    named = zip(search.supernet.named_parameters(), before, strict=True)
    stayed = {name for (name, p), old in named if torch.equal(p, old)}
    assert frozen & set(callback.state["frozen"]) == frozen and frozen <= stayed


def test_a_new_supernet_begins_with_nothing_frozen() -> None:
    search = cell_search(replace(METHODS["p-darts"], callbacks=(FREEZE_ALL,)), 6)
    (callback,) = search.callbacks
    second = search.timetable.bounds[1]
    search.run(until=second)
    assert callback.state["frozen"]
    search.enter(search.timetable.at(second))
    assert callback.state == {"frozen": [], "cosines": {}}


def test_a_resumed_stage_that_begins_anew_has_the_rate_of_the_options_it_began_with() -> None:
    """Two of the options of a choice are touched by a step, of all or of those that are left."""
    stages = (Stage("one"), Stage("two", start="fresh", options=0.75), Stage("three", options=0.5))
    row = replace(METHODS["proxyless"], stages=stages)
    whole, first, second = (cell_search(row, 6) for _ in range(3))
    whole.run()
    first.run(until=5)
    second.load(*first.state())
    rates = [s.arch_optimizer.param_groups[0]["lr"] for s in (whole, second)]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("name", ["p-darts", "darts-minus", "darts-pt"])
def test_the_end_of_a_search_does_not_depend_on_what_was_drawn_before_or_on_a_resume(name: str) -> None:
    search, loaded = cell_search(name, 6), cell_search(name, 6)
    search.run()
    loaded.load(*search.state())
    mix = search.policy.soft_mix()
    found = []
    for seed, one in enumerate((search, search, loaded)):
        torch.manual_seed(seed)
        expected = torch.random.get_rng_state()
        with patched_losses() as losses:
            seeds = one.seeds(3)
        assert torch.equal(torch.random.get_rng_state(), expected)
        found.append((seeds, losses))
    assert found[0][1] and found[0] == found[1] == found[2]
    assert all(torch.equal(a, b) for a, b in zip(mix.probs, loaded.policy.soft_mix().probs, strict=True))


@contextmanager
def patched_losses() -> Iterator[list[float]]:
    """All validation losses that proposals are ranked by."""
    losses: list[float] = []

    def watched(*arguments: Any) -> Pass:
        found = validation_pass(*arguments)
        losses.append(float(found.loss))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwnas.gradient.propose.validation_pass", watched)
        yield losses


def test_widening_carries_the_first_channels_over() -> None:
    old, new = nn.Linear(2, 3), nn.Linear(4, 3)
    before = new.weight.detach().clone()
    carry_over(old, new)
    assert torch.equal(new.weight[:, :2], old.weight) and torch.equal(new.bias, old.bias)
    assert torch.equal(new.weight[:, 2:], before[:, 2:])


def test_random_layers_do_not_disturb_the_global_generator() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    cell_search("p-darts", 3).run()
    assert torch.equal(torch.rand(3), expected)


def test_a_supernet_that_is_given_whole_is_copied() -> None:
    net, space = ToyCellSupernet(), ToyCellSpace()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    settings = SearchSettings(steps=3, epoch_steps=3, seed=0)
    search = GradientSearch(
        space, net, cell_costs(space), (), METHODS["darts"], ToyBatches(1), ToyBatches(2), settings
    )
    search.run()
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_the_log_counts_skips_and_every_cost() -> None:
    search = cell_search("pc-darts", 4, epoch_steps=4)
    search.run()
    row, soft = search.log[-1], search.policy.soft_mix()
    arch = discretise(soft.probs, soft.edge_weights, search.space.choices)
    assert row["skips"] == sum(OPERATIONS[i] == "skip_connect" for i in arch)
    assert float(row["expected_size_mb"] or 0) > 0 and row["expected_macs"] is None


def test_a_checkpoint_of_a_row_that_was_changed_is_refused() -> None:
    first, second = cell_search("darts-2", 4), cell_search("darts-2", 4)
    changed = replace(METHODS["darts-2"], hypergradient=part("unrolled", r=0.1))
    other = GradientSearch(
        second.space,
        toy_cells,
        cell_costs(second.space),
        (),
        changed,
        ToyBatches(1),
        ToyBatches(2),
        second.settings,
    )
    with pytest.raises(DamagedFileError, match="of another training: row = "):
        other.load(*first.state())


def test_a_stage_asks_its_space_for_depth_and_wrappers() -> None:
    class Toy(NasBench201Space):
        """Of eight cells when it is searched."""

    @supernets.make.register(Toy)
    def make_toy(space: Toy, scale: Scale, *wrappers: Wrapper) -> nn.Module:
        return ToyCellSupernet(*wrappers, cells=scale.cells)

    scale = Scale(image_size=32, in_channels=3, n_classes=10, cells=8, channels=4)
    make = stage_supernets(Toy(("none", "skip_connect"), nodes=4, scale=scale, search=scale))
    first, last = make(METHODS["darts"].stages[0]), make(METHODS["p-darts"].stages[2])
    assert isinstance(first, ToyCellSupernet) and isinstance(last, ToyCellSupernet)
    assert (len(first.cells), first.wrapping) == (8, Wrapping())
    assert (len(last.cells), last.wrapping.skip_dropout) == (17, 0.7)


def test_methods_are_searched_at_their_published_scale_in_the_space_they_were_published_for() -> None:
    """DrNAS: 20 cells of 36 channels, which six divides; ENAS: six cells and two reductions, 20 channels."""
    darts = load_space("darts", image_size=32, in_channels=3, n_classes=10)
    for name, expected in (("darts", (8, 16)), ("drnas", (20, 36)), ("enas", (8, 20)), ("fbnet", (8, 16))):
        scale = published_scale(darts, METHODS[name])
        assert (scale.cells, scale.channels, scale.affine) == (*expected, False)
        require_fit(darts, METHODS[name])
    nb201 = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10)
    assert published_scale(nb201, METHODS["drnas"]) == nb201.search_scale
    with pytest.raises(UsageError, match="1 of 6 channels of a cell with 16 cannot be taken"):
        require_fit(nb201, METHODS["drnas"])
    with pytest.raises(UsageError, match="1 of 4 channels of a cell with 2 cannot be taken"):
        require_fit(darts, METHODS["pc-darts"], replace(darts.search_scale, channels=2))
