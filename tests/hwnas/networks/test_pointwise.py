"""No training step calls the convolution whose weight gradient corrupts the heap (oneDNN issue 6035)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from hwnas import supernets
from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.networks.pointwise import CHANNEL_BLOCK, Conv2d, conv2d
from hwnas.networks.wrappers import Partial, Wrapper
from hwnas.spaces import load_space


class Overruns(TorchDispatchMode):
    """Collects weight gradients of 1 × 1 convolutions with a stride and less than a block of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            weight, stride, mask = args[2], args[4], args[10]
            if (
                tuple(weight.shape[2:]) == (1, 1)
                and weight.shape[1] < CHANNEL_BLOCK
                and max(stride) > 1
                and mask[1]
            ):
                self.shapes.append(tuple(weight.shape))
        return func(*args, **(kwargs or {}))


def train_step(net: nn.Module, *inputs: Any) -> list[tuple[int, ...]]:
    with Overruns() as found:
        net(*inputs).sum().backward()
    return found.shapes


def images(size: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, size, size, generator=generator)
    return x.contiguous(memory_format=torch.channels_last)


def test_the_walk_finds_what_it_looks_for() -> None:
    # In float64 no kernel of oneDNN runs, so that looking is safe.
    plain = nn.Conv2d(3, 4, 1, 2, bias=False).double()
    assert train_step(plain, images().double()) == [(4, 3, 1, 1)]


def space_of(name: str) -> NetworkSpace:
    return load_space(name, image_size=16, in_channels=3, n_classes=4)


@pytest.mark.slow
@pytest.mark.parametrize("wrappers", [(), (Partial(4),)], ids=["whole", "partial"])
@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_supernets_of_few_channels(name: str, wrappers: tuple[Wrapper, ...]) -> None:
    space = space_of(name)
    scale = Scale(image_size=16, in_channels=3, n_classes=4, cells=3, channels=4, affine=False)
    net = supernets.make(space, scale, *wrappers)
    probs = tuple(torch.full((len(c.options),), 1 / len(c.options)) for c in space.choices)
    every = tuple(tuple(range(len(c.options))) for c in space.choices)
    assert train_step(net, images(), Mix(probs, active=every, probe=tuple(() for _ in every))) == []


@pytest.mark.parametrize("name", ["darts", "nasbench201", "mobile", "enas-macro"])
def test_deployed_networks_of_few_channels(name: str) -> None:
    space = space_of(name)
    scale = Scale(image_size=16, in_channels=3, n_classes=4, cells=3, channels=4)
    arch = next(space.enumerate()) if name == "nasbench201" else space.sample(np.random.default_rng(0))
    net = space.build(arch, None if name in ("mobile", "enas-macro") else scale)
    assert train_step(net.train(), images()) == []


@pytest.mark.parametrize("c_in", [1, 2, 5, 15, 16])
@pytest.mark.parametrize("size", [7, 8])
def test_it_is_the_same_function(c_in: int, size: int) -> None:
    """Against torch's own in float64, where oneDNN has no kernel."""
    x = torch.randn(2, c_in, size, size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, c_in, 1, 1, dtype=torch.float64, requires_grad=True)
    ours, theirs = conv2d(x, weight, 2), F.conv2d(x, weight, None, 2)
    torch.testing.assert_close(ours, theirs)
    flow = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, [x, weight], flow),
        torch.autograd.grad(theirs, [x, weight], flow),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_a_layer_that_is_exported_is_the_plain_convolution() -> None:
    layer = Conv2d(3, 4, 1, 2).eval()
    assert torch.equal(layer(images()), F.conv2d(images(), layer.weight, None, 2))
