"""The fast depthwise backward against torch's own, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hwnas.networks.depthwise import depthwise_conv2d, fast_depthwise


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 4), (5, 7), (8, 8), (9, 9)], ids=str)
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_output_and_gradients_are_those_of_conv2d(
    size: tuple[int, int], kernel: int, stride: int, dilation: int, memory_format: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, *size, generator=generator, dtype=torch.float64)
    x = x.contiguous(memory_format=memory_format).requires_grad_()
    weight = torch.randn(6, 1, kernel, kernel, generator=generator, dtype=torch.float64).requires_grad_()
    expected = F.conv2d(x, weight, None, stride, dilation * (kernel // 2), dilation, groups=6)
    found = depthwise_conv2d(x, weight, stride, dilation)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    flow = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    ours = torch.autograd.grad(found, [x, weight], flow)
    torchs = torch.autograd.grad(expected, [x, weight], flow)
    for a, b in zip(ours, torchs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), [(4, 5, 1, 1), (6, 5, 2, 1), (6, 5, 1, 2)])
def test_it_can_be_differentiated_twice(size: int, kernel: int, stride: int, dilation: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, size, size, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 1, kernel, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda a, b: depthwise_conv2d(a, b, stride, dilation), (x, weight))


def test_a_sliced_weight_gets_its_gradient_in_the_whole() -> None:
    whole = torch.randn(8, 1, 7, 7, requires_grad=True)
    x = torch.randn(2, 4, 4, 4)
    depthwise_conv2d(x, whole[:4, :, 1:6, 1:6]).sum().backward()
    assert whole.grad is not None
    assert bool((whole.grad[4:] == 0).all()) and bool((whole.grad[:4, :, 0] == 0).all())
    assert bool((whole.grad[:4, :, 1:6, 1:6] != 0).any())


def test_a_network_trains_the_same_inside_the_block_and_is_itself_again_after() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 8, 1), nn.Conv2d(8, 8, 7, padding=3, groups=8, bias=False), nn.BatchNorm2d(8)
    )
    x = torch.randn(4, 2, 4, 4)
    net(x).square().sum().backward()
    expected = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    with fast_depthwise(net):
        out = net(x)
        assert "_Fast" in str(net[1](torch.randn(1, 8, 4, 4)).grad_fn)
        out.square().sum().backward()
    for a, b in zip(expected, net.parameters(), strict=True):
        assert b.grad is not None
        torch.testing.assert_close(a, b.grad, rtol=1e-4, atol=1e-5)
    assert "_Fast" not in str(net[1](torch.randn(1, 8, 4, 4)).grad_fn)
    assert list(net.state_dict())[:2] == ["0.weight", "0.bias"]


def test_without_gradient_it_is_plain_conv2d() -> None:
    weight = torch.randn(4, 1, 5, 5, requires_grad=True)
    with torch.no_grad():
        assert depthwise_conv2d(torch.randn(1, 4, 4, 4), weight).grad_fn is None
