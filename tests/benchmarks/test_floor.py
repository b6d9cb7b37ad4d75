"""What the floor of a step counts, against products of shapes by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from benchmarks.floor import Rates, Work, count


@pytest.mark.slow
def test_a_dense_convolution_and_its_two_gradients() -> None:
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    weight = torch.randn(5, 3, 3, 3, requires_grad=True)
    macs = 2 * 5 * 8 * 8 * 3 * 9  # outputs times the kernel
    assert count(lambda: F.conv2d(x, weight, None, 1, 1)).dense_macs == macs
    both = count(lambda: F.conv2d(x, weight, None, 1, 1).backward(torch.ones(2, 5, 8, 8)))
    assert both.dense_macs == 3 * macs
    one = count(lambda: torch.autograd.grad(F.conv2d(x, weight, None, 1, 1).sum(), x))
    assert one.dense_macs == 2 * macs


def test_depthwise_convolutions_stand_apart_and_grouped_ones_count_their_groups() -> None:
    x = torch.randn(2, 6, 8, 8)
    assert count(lambda: F.conv2d(x, torch.ones(6, 1, 3, 3), None, 2, 1, groups=6)) == Work(
        0, 2 * 6 * 4 * 4 * 9, 4 * 6 * 9
    )  # the ones of the weight are written: 4 bytes each
    grouped = count(lambda: F.conv2d(x, torch.ones(6, 3, 1, 1), groups=2))
    assert (grouped.dense_macs, grouped.depthwise_macs) == (2 * 6 * 8 * 8 * 3, 0)


def test_products_and_what_is_read_and_written() -> None:
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    assert count(lambda: a @ b).dense_macs == 3 * 4 * 5
    assert count(lambda: F.relu(a)).moved_bytes == 2 * 4 * 12
    assert count(lambda: a.view(12)[:3]).moved_bytes == 0


def test_the_floor_divides_each_kind_by_its_own_rate() -> None:
    rates = Rates(dense_macs=1000.0, depthwise_macs=100.0, moved_bytes=10.0)
    flops_ms, roofline_ms = rates.floor_ms(Work(500.0, 100.0, 5.0))
    assert flops_ms == pytest.approx(600.0)
    assert roofline_ms == pytest.approx(500.0 + 1000.0 + 500.0)
