"""The shared-weights evaluator against its definition, worked out with plain torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.data import Data, load_data
from hwnas.evaluators.shared_weights import SharedWeights, fold_norms, measure, recalibrate
from hwnas.front import Failed
from hwnas.spaces import load_space
from targets.errors import UsageError
from tests.support.strategies import DepthSpace, depth_metrics

SPACE = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
COSTS = CostModel(SPACE)
ARCHS = [SPACE.sample(np.random.default_rng(seed)) for seed in range(4)]
Batch = tuple[Tensor, Tensor]


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
def supernet() -> nn.Module:
    torch.manual_seed(0)
    net = SPACE.supernet()
    assert isinstance(net, nn.Module)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape))
    return net


def evaluator(supernet: nn.Module, **more: object) -> SharedWeights:
    options: dict[str, object] = {"calibration": batches(3, 16, 1), "validation": batches(2, 40, 2)}
    return SharedWeights(supernet, COSTS, **(options | more))


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


def test_folding_changes_the_arithmetic_and_not_the_function(supernet: nn.Module) -> None:
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
    accuracy, loss = measure(net, parts)
    assert accuracy == pytest.approx(float((logits.argmax(1) == y).float().mean()))
    assert loss == pytest.approx(float(nn.functional.cross_entropy(logits, y)), rel=1e-5)


def test_it_gives_the_accuracy_of_the_supernet_itself_on_one_large_batch(supernet: nn.Module) -> None:
    """The supernet normalises by the batch: calibrated on the validation batch, both agree."""
    x, y = batches(1, 200, 5)[0]
    found = evaluator(supernet, calibration=[(x, y)], validation=[(x, y)])(ARCHS)
    for arch, metrics in zip(ARCHS, found, strict=True):
        assert not isinstance(metrics, Failed)
        with torch.no_grad():
            logits = supernet(x, Mix.one_hot(SPACE.choices, arch))
        assert metrics["val_accuracy"] == pytest.approx(
            float((logits.argmax(1) == y).float().mean()), abs=0.011
        )
        assert metrics["val_loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, y)), rel=1e-2)


def test_all_costs_of_the_model_are_there(supernet: nn.Module) -> None:
    costs = COSTS.of(ARCHS)
    for i, metrics in enumerate(evaluator(supernet)(ARCHS)):
        assert not isinstance(metrics, Failed)
        assert set(metrics) == {"val_accuracy", "val_loss", *COSTS.metrics}
        assert all(metrics[m] == costs[m][i] for m in COSTS.metrics)
        assert 0 <= metrics["val_accuracy"] <= 1


def test_the_answer_depends_on_the_architecture_alone(supernet: nn.Module) -> None:
    """Not on order, company, earlier calls or the state of the global generator; nothing is left changed."""
    weights = {k: v.clone() for k, v in supernet.state_dict().items()}
    state = torch.get_rng_state()
    first = evaluator(supernet)(ARCHS)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    second = evaluator(supernet)
    assert [second([a])[0] for a in reversed(ARCHS)] == first[::-1]
    assert all(torch.equal(v, weights[k]) for k, v in supernet.state_dict().items())


class Failing:
    """A supernet that fails when a network is taken out of it."""

    def __init__(self, error: RuntimeError) -> None:
        self.error, self.taken = error, list[Arch]()

    def extract(self, arch: Arch) -> nn.Module:
        self.taken.append(arch)
        raise self.error


class Bar:
    def __init__(self) -> None:
        self.n = 0

    def advance(self, n: int = 1, note: str = "") -> None:
        self.n += n


class DepthCosts:
    """Costs of a space with dead parts."""

    space = DepthSpace()

    def of(self, archs: Sequence[Arch]) -> dict[str, NDArray[np.float64]]:
        return {"macs": np.array([depth_metrics(self.space, a)["macs"] for a in archs])}


class Linear:
    """One network for every architecture."""

    def extract(self, arch: Arch) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


def test_each_network_is_evaluated_once_whatever_its_dead_parts_say() -> None:
    twins: list[Arch] = [(0, 1, 2, 3, 0, 0), (0, 1, 2, 3, 3, 1), (0, 1, 2, 3, 0, 0)]
    bar = Bar()
    evaluate = SharedWeights(
        Linear(), DepthCosts(), calibration=batches(1, 8, 1), validation=batches(1, 8, 2), progress=bar
    )
    found = evaluate(twins)
    assert found[0] == found[1] == found[2] == evaluate(twins[1:2])[0] and bar.n == 1
    other = evaluate([(1, 1, 2, 3, 0, 0), twins[0]])
    assert other[1] == found[0] != other[0] and bar.n == 2
    assert evaluate([]) == []


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
    failing = Failing(error)
    evaluate = SharedWeights(failing, COSTS, calibration=batches(1, 8, 1), validation=batches(1, 8, 2))
    for _ in range(2):
        (answer,) = evaluate(ARCHS[:1])
        assert isinstance(answer, Failed) and "out of memory" in answer.reason and "\n" not in answer.reason
    assert len(failing.taken) == 1


def test_another_error_is_not_hidden() -> None:
    failing = Failing(RuntimeError("shape mismatch"))
    evaluate = SharedWeights(failing, COSTS, calibration=batches(1, 8, 1), validation=batches(1, 8, 2))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        evaluate(ARCHS)


@pytest.mark.parametrize("missing", ["calibration", "validation"])
def test_it_needs_batches(supernet: nn.Module, missing: str) -> None:
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
        data, space.supernet(), CostModel(space), seed=0, calibration_images=32, validation_images=50
    )
    (metrics,) = evaluate([space.sample(np.random.default_rng(0))])
    assert not isinstance(metrics, Failed)
    assert metrics["val_accuracy"] * 50 == pytest.approx(round(metrics["val_accuracy"] * 50))
    assert set(read) == {"train", "val"}


def test_a_network_that_ignores_its_image_is_not_evaluated() -> None:
    """It would have no input when it is exported."""
    space = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10, cells=1, channels=4)
    weights = space.supernet(space.scale)
    asked = SharedWeights(
        weights, CostModel(space), calibration=batches(1, 8, 1), validation=batches(1, 8, 2)
    )
    skip = space.operations.index("skip_connect")
    nothing, something = asked([(0,) * 6, (skip,) * 6])
    assert isinstance(nothing, Failed) and "does not reach the classifier" in nothing.reason
    assert isinstance(something, dict) and 0 <= something["val_accuracy"] <= 1
