"""What a search has to beat: MobileNetV3-small at several widths.

The network is torchvision's, trained by the recipe of the picks at a rate that suits it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from hwnas.core.network_space import POOLED
from hwnas.networks.conv import sides
from hwnas.networks.head_shapes import HeadShapes
from hwnas.networks.heads import HEADS
from hwnas.networks.mobile_layers import MobileNetwork
from hwnas.networks.modules import module_of
from targets.errors import UsageError

from .recipe import Recipe

MOST_LR = 0.2
"""Peak learning rate. Width 0.35 on `scenes`, 8 epochs, validation: 74.4 % at 0.5, 67.5 % at 0.5 with the
gradient clipped to 1, 82.4 % at 0.2. On photos of 96 px it diverged at 0.5."""

WIDTHS = (0.25, 0.35, 0.5, 0.65, 0.75, 0.9, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)


def mobilenet_v3_small(
    width: float,
    image_size: int,
    in_channels: int,
    n_classes: int,
    head: str = POOLED,
    dims: int = 2,
) -> nn.Module:
    """MobileNetV3-small [1] × `width`, adapted to small images: (b, c, h, w) -> (b, n_classes).

    head: what it ends with instead of its own classifier, a name of `hwnas.networks.heads.HEADS`.
    dims: 1 for signals; kernels and strides are then 1 high, as those of the spaces.

    Of the five strides of 2 in torchvision's network the first `n_down(image_size)` are kept, which is the
    rule of the `mobile` space: the last map is 4 to 7 pixels wide. Its batch normalisation uses torch's
    momentum of 0.1 in place of 0.01: in a short training the slow averages never arrive at the statistics
    of the final weights.

    [1] Howard et al. 2019, Searching for MobileNetV3, table 2.
    """
    from torchvision.models import mobilenet_v3_small as torchvision_mobilenet

    from hwnas.spaces.mobile import n_down

    if not (math.isfinite(width) and 0.05 <= width <= 8):
        raise UsageError(f"mobilenet_v3_small: width {width} is outside 0.05 to 8")
    module: nn.Module = torchvision_mobilenet(
        weights=None, width_mult=width, num_classes=n_classes, norm_layer=nn.BatchNorm2d
    )
    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    strided = [conv for conv in convs if conv.stride == (2, 2)]
    for conv in strided[n_down(image_size) :]:
        conv.stride = (1, 1)
    if in_channels != convs[0].in_channels:
        old = convs[0]
        new = nn.Conv2d(in_channels, old.out_channels, 3, old.stride[0], 1, bias=False)
        module.get_submodule("features.0").register_module("0", new)
    if dims == 1:
        for conv in (m for m in module.modules() if isinstance(m, nn.Conv2d)):
            _flatten(conv)
    features = module.get_submodule("features")
    assert isinstance(features, nn.Sequential)  # torchvision's
    return module if head == POOLED else _with_head(features, head, (in_channels, image_size), n_classes)


def _with_head(features: nn.Sequential, head: str, image: tuple[int, int], n_classes: int) -> nn.Module:
    """The features and a head, which reads the last map and one of an inner stride.

    image: channels and side.
    """
    x, maps = torch.zeros((1, image[0], image[1], image[1]), device="meta"), []
    for stage in copy.deepcopy(features).to("meta").eval():
        x = stage(x)
        maps.append((int(x.shape[1]), int(x.shape[-1])))
    row = HEADS[head]
    assert row.inner is not None  # every head but the pooled one
    (c_in, size), wanted = maps[-1], row.inner(image[1] // maps[-1][1])
    inner = max(i for i, (_, side) in enumerate(maps) if side * wanted >= image[1])
    block = row.block(
        HeadShapes(
            c_in=c_in,
            size=size,
            width=max(8, round(_HEAD_WIDTH * c_in)),
            n_classes=n_classes,
            image_size=image[1],
            inner_c=maps[inner][0],
            inner_size=maps[inner][1],
        )
    )
    blocks = list(features.children())
    return MobileNetwork(blocks[0], blocks[1:], module_of(block), inner)


_HEAD_WIDTH = 128 / 576
"""Features of the head per channel of the last map: 128 at width 1, as in the paper."""


def _flatten(conv: nn.Conv2d) -> None:
    """A square kernel becomes its middle row; weights are drawn later."""
    length, stride = conv.kernel_size[1], conv.stride[1]
    conv.kernel_size, conv.stride = sides(length, 1), sides(stride, 1)
    conv.padding = sides(length // 2, 1, rest=0)  # as the square one had
    conv.weight = nn.Parameter(conv.weight.detach()[:, :, length // 2 : length // 2 + 1].clone())


def suited_recipe(network: Mapping[str, object], recipe: Recipe) -> Recipe:
    """`recipe`, for MobileNetV3 at no more than the rate that it bears; unchanged for other networks.

    network: what `build_network` reads.
    """
    if "baseline" not in network or recipe.lr <= MOST_LR:
        return recipe
    return replace(recipe, lr=MOST_LR)


def widths_within(
    latency_ms: Callable[[Sequence[float]], Sequence[float]],
    budget_ms: float,
    n: int,
    *,
    distinct: Callable[[float], object] = lambda width: width,
    grid: Sequence[float] = WIDTHS,
) -> list[float]:
    """At most `n` widths whose latency is inside the budget, evenly spread in log latency.

    latency_ms: widths -> latencies, measured together. distinct: what two widths share that are the same
    network (channels are rounded to 8). Fewer than `n`, down to none, where the grid has no more.
    """
    first: dict[object, float] = {}
    for width in sorted(grid):
        first.setdefault(distinct(width), width)
    widths = list(first.values())
    measured = zip(widths, latency_ms(widths), strict=True)
    inside = sorted((latency, width) for width, latency in measured if latency <= budget_ms)
    if len(inside) <= n:
        return sorted(width for _, width in inside)
    logs = np.log([latency for latency, _ in inside])
    chosen: set[int] = {len(inside) - 1}
    for wanted in np.linspace(logs[-1], logs[0], n)[1:]:
        free = [i for i in range(len(inside)) if i not in chosen]
        chosen.add(min(free, key=lambda i: abs(logs[i] - wanted)))
    return sorted(inside[i][1] for i in chosen)
