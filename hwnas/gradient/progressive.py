"""The stages of the methods that grow or shrink what they search.

[1] Chen et al. 2019, P-DARTS, 1904.12760, section 3. [2] Cai et al. 2020, Once-for-all, 1908.09791,
section 3.3, and its code (`train_ofa_net.py`).
"""

from __future__ import annotations

from hwnas.core.registry import part

from .stage import Stage


def _deeper(n: int, *, cells: int, options: float, p0: float) -> Stage:
    """Stage n of P-DARTS; p0: dropout after skips at its beginning."""
    return Stage(
        f"stage {n}",
        frozen=0.4,
        start="fresh",
        cells=cells,
        options=options,
        edges=(("skip_dropout", part("skip_dropout", p0=p0)),),
    )


P_DARTS_STAGES = (
    _deeper(1, cells=5, options=1.0, p0=0.0),
    _deeper(2, cells=11, options=5 / 8, p0=0.4),
    _deeper(3, cells=17, options=3 / 8, p0=0.7),
)
"""Options per edge: 8, 5, 3. Dropout as in the paper for CIFAR-10; its code's README: 0.1, 0.4, 0.7 [1]."""

OFA_LR = 2.6 / 32
"""Rate of the largest network. Published: 2.6 for 2,048 images on 32 devices; this and the rates below are
for 64 images [2]."""


def _shrinking(name: str, epochs: int, lr: float, n: int, start: str = "widened", **elastic: int) -> Stage:
    """A stage of Once-for-all.

    epochs, lr: as published.
    n: sub-networks that the largest network teaches per step.
    elastic: by how many steps options may be smaller, per dimension.
    """
    return Stage(
        name,
        share=epochs,
        arch_every=None,
        start=start,
        lr=lr / OFA_LR,
        elastic=tuple(elastic.items()),
        weight_rule=part("distilled", n=n),
    )


OFA_STAGES = (
    Stage("largest", share=180, arch_every=None, elastic=()),
    _shrinking("kernel", 120, 3e-2, 1, kernel=2),
    _shrinking("depth 1", 25, 2.5e-3, 2, kernel=2, depth=1),
    _shrinking("depth 2", 120, 7.5e-3, 2, kernel=2, depth=2),
    _shrinking("width 1", 25, 2.5e-3, 4, "sorted", kernel=2, depth=2, expand=1, width=1),
    _shrinking("width 2", 120, 7.5e-3, 4, kernel=2, depth=2, expand=2, width=2),
)
"""Kernels 7, 5, 3; depths 4, 3, 2; expansions 6, 4, 3 [2]. The paper keeps the widths of its stages."""
