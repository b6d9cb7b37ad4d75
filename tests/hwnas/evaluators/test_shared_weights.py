"""The shared-weights evaluator against its definition, worked out with plain torch."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwnas import supernets
from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.space import Space
from hwnas.costs.cost_model import CostModel
from hwnas.data import Data, load_data
from hwnas.data.batches import Batch
from hwnas.evaluators import EvaluationFailed, Evaluator
from hwnas.evaluators.shared_weights import SharedWeights, fold_norms, measure, recalibrate
from hwnas.spaces import load_space
from hwnas.supernets import Supernet
from targets.errors import UsageError
from tests.support.evaluators import EvaluatorContract
from tests.support.spaces import cell_space

SPACE = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
COSTS = CostModel(SPACE)
ARCHS = [SPACE.sample(np.random.default_rng(seed)) for seed in range(4)]


def batches(n: int, size: int, seed: int) -> list[Batch]:
    g = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(size, 3, 32, 32, generator=g), torch.randint(0, 10, (size,), generator=g))
        for _ in range(n)
    ]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    net = supernets.make(SPACE)
    assert isinstance(net, Supernet)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape))
    return net


def evaluator(supernet: Supernet, **more: Any) -> SharedWeights:
    options: dict[str, Any] = {"calibration": batches(3, 16, 1), "validation": batches(2, 40, 2)}
    return SharedWeights(supernet, COSTS, **(options | more))


class TestSharedWeights(EvaluatorContract):
    objectives = ("val_accuracy", "val_loss", "macs")

    @pytest.fixture
    def evaluator(self, supernet: Supernet) -> Evaluator:
        return evaluator(supernet)

    @pytest.fixture
    def space(self) -> Space:
        return SPACE


def small_net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.1), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm2d(4)
    )


def test_statistics_are_the_plain_mean_over_the_batches() -> None:
    net = small_net()
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.fill_(99.0)
    images = [x for x, _ in batches(3, 8, 0)]
    recalibrate(net, images)
    with torch.no_grad():
        features = [net[0](x) for x in images]
    mean = torch.stack([f.mean((0, 2, 3)) for f in features]).mean(0)
    variance = torch.stack([f.var((0, 2, 3), correction=1) for f in features]).mean(0)
    assert torch.allclose(norm.running_mean, mean, atol=1e-6)
    assert torch.allclose(norm.running_var, variance, atol=1e-6)
    assert norm.momentum == 0.1 and not any(m.training for m in net.modules())


def test_dropout_stays_off_while_statistics_are_measured() -> None:
    net = small_net()
    images = [x for x, _ in batches(1, 8, 0)]
    recalibrate(net, images)
    with torch.no_grad():
        seen = torch.relu(net[1](net[0](images[0])))
    last = net[4]
    assert isinstance(last, nn.BatchNorm2d) and last.running_mean is not None
    # Up to what the first norm makes of itself in evaluation mode: n / (n - 1) of its variance.
    assert torch.allclose(last.running_mean, seen.mean((0, 2, 3)), rtol=1e-3)


def test_folding_changes_the_arithmetic_and_not_the_function(supernet: Supernet) -> None:
    x = batches(1, 8, 3)[0][0]
    for arch in ARCHS:
        net = supernet.extract(arch)
        recalibrate(net, [b for b, _ in batches(2, 16, 1)])
        with torch.no_grad():
            before = net(x)
            fold_norms(net)
            after = net(x)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
        assert (before - after).abs().max() < 1e-4 * before.abs().max().clamp(min=1)


def test_accuracy_and_loss_are_those_over_all_images_together() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    parts = [(x[:n], y[:n]) for (x, y), n in zip(batches(3, 8, 4), (8, 5, 1), strict=True)]
    x, y = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
    with torch.no_grad():
        logits = net(x)
    scores = measure(net, parts)
    accuracy, loss = scores["val_accuracy"], scores["val_loss"]
    assert accuracy == pytest.approx(float((logits.argmax(1) == y).float().mean()))
    assert loss == pytest.approx(float(nn.functional.cross_entropy(logits, y)), rel=1e-5)


@pytest.mark.slow
def test_it_gives_the_accuracy_of_the_supernet_itself_on_one_large_batch(supernet: Supernet) -> None:
    """The supernet normalises by the batch: calibrated on the validation batch, both agree."""
    x, y = batches(1, 200, 5)[0]
    found = evaluator(supernet, calibration=[(x, y)], validation=[(x, y)])(ARCHS)
    for arch, metrics in zip(ARCHS, found, strict=True):
        assert not isinstance(metrics, EvaluationFailed)
        with torch.no_grad():
            logits = supernet(x, Mix.one_hot(SPACE.choices, arch))
        assert metrics["val_accuracy"] == pytest.approx(
            float((logits.argmax(1) == y).float().mean()), abs=0.011
        )
        assert metrics["val_loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, y)), rel=1e-2)


def test_all_costs_of_the_model_are_there(supernet: Supernet) -> None:
    costs = COSTS.of(ARCHS)
    for i, metrics in enumerate(evaluator(supernet)(ARCHS)):
        assert not isinstance(metrics, EvaluationFailed)
        assert set(metrics) == {"val_accuracy", "val_top5_accuracy", "val_loss", *COSTS.metrics}
        assert all(metrics[m] == costs[m][i] for m in COSTS.metrics)
        assert 0 <= metrics["val_accuracy"] <= 1


@pytest.mark.slow
def test_another_evaluator_answers_the_same_and_the_weights_are_left_alone(supernet: Supernet) -> None:
    """The answer depends on neither order nor the state of the global generator."""
    weights = {k: v.clone() for k, v in supernet.state_dict().items()}
    first = evaluator(supernet)(ARCHS)
    torch.manual_seed(123)
    second = evaluator(supernet)
    assert [second([a])[0] for a in reversed(ARCHS)] == first[::-1]
    assert all(torch.equal(v, weights[k]) for k, v in supernet.state_dict().items())


class FakeSupernet(Supernet):
    """Gives one linear network for every architecture, or raises, and records what was taken."""

    def __init__(self, error: RuntimeError | None = None) -> None:
        super().__init__()
        self.error, self.taken = error, list[Arch]()

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        raise AssertionError("an evaluator takes networks out of a supernet and never runs it")

    def extract(self, arch: Arch) -> nn.Module:
        self.taken.append(arch)
        if self.error is not None:
            raise self.error
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


def test_each_network_is_evaluated_once_whatever_its_dead_parts_say() -> None:
    """In a cell of NAS-Bench-201 an edge is dead where nothing enters the node that it leaves."""
    space = cell_space("nasbench201", cells=1, channels=4)
    by_key: dict[str, list[Arch]] = {}
    for arch in itertools.product(range(len(space.operations)), repeat=6):
        if space.reads_image(arch):
            by_key.setdefault(space.key(arch), []).append(arch)
    first, second = next(archs for archs in by_key.values() if len(archs) > 1)[:2]
    third = (space.operations.index("nor_conv_3x3"),) * 6
    assert space.key(third) != space.key(first)
    supernet = FakeSupernet()
    evaluate = SharedWeights(
        supernet, CostModel(space), calibration=batches(1, 8, 1), validation=batches(1, 8, 2)
    )
    answers = evaluate([first, second, first])
    assert answers[0] == answers[1] == answers[2] == evaluate([second])[0]
    assert supernet.taken == [space.canonical(first)]
    other = evaluate([third, first])
    assert other[1] == answers[0] != other[0] and len(supernet.taken) == 2


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
)
def test_out_of_memory_fails_the_architecture_and_is_not_tried_again(error: RuntimeError) -> None:
    failing = FakeSupernet(error)
    evaluate = SharedWeights(failing, COSTS, calibration=batches(1, 8, 1), validation=batches(1, 8, 2))
    for _ in range(2):
        (answer,) = evaluate(ARCHS[:1])
        assert (
            isinstance(answer, EvaluationFailed)
            and "out of memory" in answer.reason
            and "\n" not in answer.reason
        )
    assert len(failing.taken) == 1


def test_another_error_is_not_hidden() -> None:
    failing = FakeSupernet(RuntimeError("shape mismatch"))
    evaluate = SharedWeights(failing, COSTS, calibration=batches(1, 8, 1), validation=batches(1, 8, 2))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        evaluate(ARCHS)


@pytest.mark.parametrize("missing", ["calibration", "validation"])
def test_it_needs_batches(supernet: Supernet, missing: str) -> None:
    with pytest.raises(UsageError, match="at least one batch"):
        evaluator(supernet, **{missing: []})


def test_on_a_data_set_it_never_reads_the_test_split(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = load_data("digits", None, 0, root=tmp_path)
    read: list[str] = []
    whole = Data.split

    def split(self: Data, name: str) -> NDArray[np.int64]:
        read.append(name)
        return whole(self, name)

    monkeypatch.setattr(Data, "split", split)
    space = load_space("mobile", image_size=data.image_size, in_channels=data.in_channels, n_classes=10)
    evaluate = SharedWeights.on(
        data, supernets.make(space), CostModel(space), seed=0, calibration_images=32, validation_images=50
    )
    (metrics,) = evaluate([space.sample(np.random.default_rng(0))])
    assert not isinstance(metrics, EvaluationFailed)
    assert metrics["val_accuracy"] * 50 == pytest.approx(round(metrics["val_accuracy"] * 50))
    assert set(read) == {"train", "val"}


def test_a_network_that_ignores_its_image_is_not_evaluated() -> None:
    """It would have no input when it is exported."""
    space = cell_space("nasbench201", cells=1, channels=4)
    weights = supernets.make(space, space.scale)
    asked = SharedWeights(
        weights, CostModel(space), calibration=batches(1, 8, 1), validation=batches(1, 8, 2)
    )
    skip = space.operations.index("skip_connect")
    nothing, something = asked([(0,) * 6, (skip,) * 6])
    assert isinstance(nothing, EvaluationFailed) and "does not reach the classifier" in nothing.reason
    assert isinstance(something, dict) and 0 <= something["val_accuracy"] <= 1
