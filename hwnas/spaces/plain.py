"""Plain networks of layers: what a person writes down who does not search.

One operation everywhere, one depth in all stages, and the last so many stages at their greater width
(MobileNetV2 is such a network: Sandler et al. 2018, 1801.04381, table 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwnas.core.choice import Arch, Choice

from .mobile_definition import SKIP, MobileStage

USUAL = ("mb3e3", "mb3e6")
"""Inverted residuals of MobileNetV2, expansion 3 and 6. A space without them has its first operation."""


def plain_networks(choices: Sequence[Choice], stages: Sequence[MobileStage]) -> Iterator[Arch]:
    """Every operation of `USUAL` at every depth and number of wide stages; some come more than once.

    A stage that lacks the operation has its own first one, and one of fewer layers all of them.
    """
    names = {name: None for stage in stages for name in choices[stage.layers[-1]].options if name != SKIP}
    usual = [name for name in USUAL if name in names] or list(names)[:1]
    for operation in usual:
        for depth in range(1, 1 + max(len(stage.layers) for stage in stages)):
            for n_wide in range(len(stages) + 1):
                yield _plain(choices, stages, operation, depth, n_wide)


def _plain(
    choices: Sequence[Choice], stages: Sequence[MobileStage], operation: str, depth: int, n_wide: int
) -> Arch:
    arch = [0] * len(choices)
    for number, stage in enumerate(stages):
        wide = number >= len(stages) - n_wide
        arch[stage.width_choice] = len(stage.widths) - 1 if wide else 0
        for place, layer in enumerate(stage.layers):
            options = choices[layer].options
            name = operation if place < depth else SKIP
            arch[layer] = options.index(name) if name in options else 0
    return tuple(arch)
