"""Training of the shared weights: what is trained when, and a resume that is exact to the bit."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.step.optim import DivergedError, SGDSettings
from hwnas.gradient.step.passes import BatchSource, weight_pass
from hwnas.gradient.warmup import SAMPLERS, Warmup, WarmupSettings, extremes, make_supernet
from hwnas.spaces import load_space
from targets.errors import DamagedFileError, UsageError
from tests.support.toy import ToyBatches, ToySupernet, all_archs, toy_space


def mobile() -> NetworkSpace:
    return load_space("mobile", image_size=16, in_channels=1, n_classes=3, width_mult=0.25)


class Stripes:
    """Three classes that differ in the direction of their stripes."""

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(step)
        y = rng.integers(3, size=16)
        ramp = np.arange(16)
        waves = [ramp[:, None] + 0 * ramp, ramp[None, :] + 0 * ramp[:, None], ramp[:, None] + ramp[None, :]]
        x = np.stack([np.sin(waves[k]) for k in y]) + 0.3 * rng.normal(size=(16, 16, 16))
        images = torch.from_numpy(x).float()[:, None].contiguous(memory_format=torch.channels_last)
        return images, torch.from_numpy(y)


def warmup(
    steps: int = 6,
    *,
    seed: int = 0,
    paths: str = "uniform",
    lr: float = 0.05,
    batches: BatchSource | None = None,
) -> Warmup:
    space = mobile()
    costs = CostModel(space)
    settings = WarmupSettings(steps, 2, seed, paths, sgd=SGDSettings(lr=lr))
    net, train = make_supernet(space, seed), batches or Stripes()
    return Warmup(space, net, train, settings, macs=lambda a: costs.of(a)["macs"])


@pytest.mark.slow
@pytest.mark.parametrize("paths", list(SAMPLERS))
def test_resume_is_bit_identical(paths: str) -> None:
    whole, first, second = (warmup(paths=paths) for _ in range(3))
    whole.run()
    first.run(until=3)
    tensors, state = first.state()
    second.load({k: v.contiguous() for k, v in tensors.items()}, json.loads(json.dumps(state)))
    second.run()
    a, b = whole.state()[0], second.state()[0]
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

    def rows(w: Warmup) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in w.log]

    assert rows(whole) == rows(second)
    assert [row["step"] for row in whole.log] == [2, 4, 6]


@pytest.mark.slow
def test_the_loss_falls() -> None:
    training = warmup(40)
    training.run()
    losses = [float(row["train_loss"] or 0) for row in training.log]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.15


def test_only_what_ran_is_updated() -> None:
    training = warmup(1)
    before = {k: v.clone() for k, v in training.supernet.state_dict().items()}
    training.run()
    after = training.supernet.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed and changed < set(before)


def test_fresh_weights_come_from_the_seed_and_leave_torchs_generator_alone() -> None:
    state = torch.random.get_rng_state()
    a, b, c = (make_supernet(mobile(), seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


def test_fair_paths_run_each_option_equally_often() -> None:
    space = toy_space()
    drawn = [SAMPLERS["fair"](space, 0, step, ((), ()))[0] for step in range(300)]
    for choice in range(3):
        assert Counter(a[choice] for a in drawn) == {0: 100, 1: 100, 2: 100}
    assert len(set(drawn)) == 27


def test_uniform_paths_are_canonical_and_depend_on_seed_and_step_alone() -> None:
    space = mobile()
    drawn = [SAMPLERS["uniform"](space, 3, step, ((), ()))[0] for step in range(20)]
    assert drawn == [SAMPLERS["uniform"](space, 3, step, ((), ()))[0] for step in range(20)]
    assert all(space.canonical(a) == a for a in drawn)
    assert len(set(drawn)) == 20


def test_extremes_are_those_of_brute_force() -> None:
    space = toy_space()
    table = np.array([[4.0, 2.0, 1.0], [1.0, 7.0, 3.0], [2.0, 2.5, 9.0]])

    def macs(archs: list[tuple[int, ...]]) -> np.ndarray:
        return np.array([sum(table[c, k] for c, k in enumerate(a)) for a in archs])

    archs = all_archs(space)
    values = macs(archs)
    assert extremes(space, macs, 0) == (archs[int(values.argmin())], archs[int(values.argmax())])


def test_the_smallest_of_the_mobile_space_is_its_exact_minimum() -> None:
    space = mobile()
    costs = CostModel(space)
    smallest, largest = extremes(space, lambda a: costs.of(a)["macs"], 0)
    assert costs.of([smallest])["macs"][0] == pytest.approx(costs.minimum("macs")[0])
    drawn = costs.of([space.sample(np.random.default_rng(i)) for i in range(200)])["macs"]
    assert costs.of([largest])["macs"][0] >= drawn.max()


def test_the_first_mix_of_a_step_teaches_the_others() -> None:
    """Gradient of the sum: cross entropy with the labels for the first, with its answers for the second."""
    space, net = toy_space(), ToySupernet()
    x, y = ToyBatches(1).at(0)
    mixes = [Mix.one_hot(space.choices, a) for a in ((0, 0, 0), (1, 0, 2))]
    weight_pass(net, mixes, (x, y), 0.0, "test")
    found = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    teacher = net(x, mixes[0])
    soft = -(teacher.detach().softmax(1) * net(x, mixes[1]).log_softmax(1)).sum(1).mean()
    (F.cross_entropy(teacher, y) + soft).backward()
    for a, b in zip(found, net.parameters(), strict=True):
        assert b.grad is not None
        torch.testing.assert_close(a, b.grad)


def test_a_diverging_training_says_so() -> None:
    class Bad(Stripes):
        def at(self, step: int) -> tuple[Tensor, Tensor]:
            x, y = super().at(step)
            return (x * float("inf") if step == 1 else x), y

    training = warmup(20, batches=Bad())
    with pytest.raises(DivergedError, match="training of the shared weights, step 2 of 20: the loss is nan"):
        training.run()


def test_a_checkpoint_of_another_training_is_refused() -> None:
    with pytest.raises(DamagedFileError, match="paths = 'fair' instead of 'uniform'"):
        warmup().load(*warmup(paths="fair").state())
    tensors, state = warmup().state()
    with pytest.raises(DamagedFileError, match="processes = 2 instead of None"):
        warmup().load(tensors, {**state, "identity": {**state["identity"], "processes": 2}})


def test_unknown_paths_list_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown path sampler 'sandwhich'; known: .*mean 'sandwich'"):
        warmup(paths="sandwhich")
