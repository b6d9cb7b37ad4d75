"""Synaptic flow: how much signal reaches the output when every weight counts with its size.

H. Tanaka, D. Kunin, D. Yamins, S. Ganguli. Pruning Neural Networks without Any Data by Iteratively Conserving
Synaptic Flow. NeurIPS 2020. As a proxy: M. Abdelfattah et al. Zero-Cost Proxies for Lightweight NAS. 2021.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn


def log_synflow(module: nn.Module, image_shape: Sequence[int]) -> float:
    """Log Σ |w · ∂R/∂w|, where R sums the outputs for an image of ones.

    In float64, with the sizes of all weights and without norms. image_shape: (c, h, w).
    """
    net = without_norms(copy.deepcopy(module).double()).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    net(torch.ones((1, *image_shape), dtype=torch.float64)).sum().backward()
    flow = sum(
        float((p.detach() * p.grad).abs().sum())
        for p in net.parameters()
        if p.ndim > 1 and p.grad is not None
    )
    return float(torch.tensor(flow, dtype=torch.float64).log())


def without_norms(net: nn.Module) -> nn.Module:
    """`net` itself, each batch norm replaced by nothing."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    return net
