"""Every task of the table: learned by shared weights and gradients, and looked at by zero-cost proxies.

A new row of `TASKS` needs a row here: the name of a set that comes with it.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from hwnas import supernets
from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.data import (
    Augment,
    Batches,
    Data,
    calls,
    gestures,
    load_data,
    markov,
    shape_boxes,
    shape_masks,
    shapes,
)
from hwnas.evaluators import EvaluationFailed
from hwnas.evaluators.proxies import PROXIES
from hwnas.evaluators.shared_weights import SharedWeights
from hwnas.front import Trial
from hwnas.gradient.methods import METHODS
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.step.passes import validation_pass
from hwnas.gradient.warmup import Warmup, WarmupSettings
from hwnas.pipeline.main_job import RunContext
from hwnas.pipeline.main_job.extra_features import proxy_correlations
from hwnas.spaces import load_space
from hwnas.tasks import TASKS
from hwnas.training.recipe import Recipe
from hwnas.training.train import changes_of

pytestmark = pytest.mark.slow

SETS = {
    "digits": "classification",
    "gestures": "classification",
    "calls": "classification",
    "shapes": "multi-label",
    "gauges": "regression",
    "shape-masks": "segmentation",
    "shape-boxes": "detection",
    "markov": "language",
    "tilted": "classification:digit+regression:tilt",
}
"""Sets that come with the package, every kind of samples and every task among them, and what is learned."""

STEPS, SIZES = 2, ("params", "macs")
CELL = 'space = "recurrent"\noperations = ["none", "tanh", "relu"]\nnodes = 3\nwidths = [16, 24]\n'


def test_every_task_has_a_row() -> None:
    assert set(TASKS) <= set(SETS.values())


@pytest.fixture(scope="module", params=SETS)
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Few of the samples of the set: most of the time would go into drawing them."""
    name, home = request.param, tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for module in (shapes, shape_masks, shape_boxes):
            patch.setattr(module, "N_PICTURES", 200)
        for module in (shape_masks, shape_boxes):
            patch.setattr(module, "N_VAL", 40)
            patch.setattr(module, "N_TEST", 40)
        patch.setattr(gestures, "N_PERSONS", 5)
        patch.setattr(calls, "N_ANIMALS", 5)
        patch.setattr(markov, "N_CHARACTERS", 8000)
        size = None if name in ("gestures", "calls", "markov") else 16
        return load_data(name, size, 0, root=home, task=SETS[name])


@pytest.fixture(scope="module")
def space(data: Data, tmp_path_factory: pytest.TempPathFactory) -> NetworkSpace:
    """Stages of one and of two widths, so that heads read maps of several."""
    file = tmp_path_factory.mktemp("space") / "tiny.toml"
    stages = [
        f"[[stages]]\nwidths = {widths}\ndepth = 5\nstride = 2\n" for widths in ("[16, 32]", "[32, 48]")
    ]
    head = 'operations = ["mb3e3", "fused3e3"]\n[stem]\nchannels = 16\nstride = 2\n[head]\nchannels = 32\n'
    file.write_text(CELL if data.task.texts else head + "".join(stages))
    return load_space(str(file), **data.network_shape)


def supernet(space: NetworkSpace) -> supernets.Supernet:
    torch.manual_seed(0)
    return supernets.make(space)


def batches(data: Data, split: str) -> Batches:
    return Batches(data, split, 16, 0, Augment.for_data(data) if split == "train" else None)


def test_texts_alone_are_learned_as_they_are(data: Data) -> None:
    assert (changes_of(Recipe.short(100), data) is None) == data.task.texts


def test_a_pass_has_the_loss_of_the_deployed_network(data: Data, space: NetworkSpace) -> None:
    net, batch = supernet(space), batches(data, "val").at(0)
    for seed in range(3):
        arch = space.sample(np.random.default_rng(seed))
        with torch.no_grad():
            expected = data.task.loss(net.extract(arch).train()(batch[0]), batch[1])
        found = validation_pass(net, Mix.one_hot(space.choices, arch), batch, data.task)
        torch.testing.assert_close(found.loss, expected, rtol=1e-4, atol=1e-5)
        assert 0 <= float(found.accuracy) <= 1


def test_a_trained_supernet_scores_architectures(data: Data, space: NetworkSpace) -> None:
    costs, settings = CostModel(space), WarmupSettings(steps=STEPS, epoch_steps=1, seed=0, paths="sandwich")
    net = supernet(space)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    warmup = Warmup(
        space, net, batches(data, "train"), settings, macs=lambda a: costs.of(a)["macs"], task=data.task
    )
    warmup.run()
    assert all(np.isfinite(float(row["train_loss"] or "nan")) for row in warmup.log)
    assert any(not torch.equal(before[name], p) for name, p in net.named_parameters())
    archs = [space.sample(np.random.default_rng(seed)) for seed in range(2)]
    evaluate = SharedWeights.on(data, net, costs, seed=0, calibration_images=32, validation_images=40)
    for metrics in evaluate(archs):
        assert not isinstance(metrics, EvaluationFailed)
        assert 0 <= metrics["val_accuracy"] <= 1 and np.isfinite(metrics["val_loss"])


def test_a_gradient_search_decodes_an_architecture(data: Data, space: NetworkSpace) -> None:
    """By DARTS, which mixes all widths, so that heads read mixed maps."""
    settings = SearchSettings(steps=STEPS, epoch_steps=1, seed=0, arch_every=1)
    train, val = batches(data, "train"), batches(data, "val")
    search = GradientSearch(
        space, supernet(space), CostModel(space), (), METHODS["darts"], train, val, settings,
        task=data.task,
    )  # fmt: skip
    before = [p.detach().clone() for p in search.policy.soft_mix().probs]
    search.run()
    after = [p.detach() for p in search.policy.soft_mix().probs]
    moved = [float((a - b).abs().max()) for a, b in zip(before, after, strict=True)]
    assert max(moved) > 0 and space.valid(search.seeds(1)[0].arch)


def test_the_front_says_what_proxies_were_worth(data: Data, space: NetworkSpace) -> None:
    """Of each architecture that was trained; those that do not know the networks of the task are named."""
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(5)]
    costs = CostModel(space).of(archs)
    sizes = [{name: float(costs[name][i]) for name in SIZES} for i in range(len(archs))]
    bar = SimpleNamespace(advance=lambda n: None)
    context = SimpleNamespace(
        trains=True,
        config=SimpleNamespace(seed=0),
        space=space,
        data=data,
        run=SimpleNamespace(progress=lambda name, n: nullcontext(bar)),
        archs=lambda chosen: chosen,
    )
    trials = [
        SimpleNamespace(failure=None, arch=arch, metrics={"val_accuracy": 0.1 * i, **sizes[i]})
        for i, arch in enumerate(archs)
    ]
    found = proxy_correlations(cast(RunContext, context), cast(list[Trial], trials))
    assert found is not None and json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["left_out"] == (["naswot", "log_synflow"] if data.task.texts else [])
    assert all(-1 <= found[name] <= 1 for name in {*PROXIES, *SIZES} - {*found["left_out"]})
