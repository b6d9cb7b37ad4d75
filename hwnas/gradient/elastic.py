"""The sizes that a stage of an elastic method searches: the largest, and smaller ones by so many steps.

[1] Cai et al. 2020, Once-for-all, 1908.09791, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.core.space import Space
from targets.errors import UsageError, did_you_mean

from .stage import Stage
from .step.active_options import ActiveOptions, all_options


def options_within(space: Space, limits: Sequence[tuple[str, int]] | None, where: str) -> ActiveOptions:
    """The options that are smaller than the largest by at most `limits` steps, 0 for other dimensions [1].

    Without limits all options. A choice without such an option has its nearest, as no operation has both
    the largest kernel and the largest expansion. UsageError where the space's options have no such dimension.
    """
    if limits is None:
        return all_options(space.choices)
    smaller = [[space.smaller_by(c, o) for o in range(int(n))] for c, n in enumerate(space.n_options)]
    dimensions = sorted({name for options in smaller for steps in options for name in steps})
    for name, _ in limits:
        if name not in dimensions:
            hint = did_you_mean(name, dimensions) if dimensions else "its options are no sizes of one another"
            raise UsageError(
                f"{where}: space {space.name} has no {name} that could shrink; {hint}. Choose space mobile "
                "or proxyless, or a method without such stages (elastic)"
            )
    most = dict(limits)
    beyond = [
        [sum(max(0, n - most.get(name, 0)) for name, n in steps.items()) for steps in options]
        for options in smaller
    ]
    return tuple(tuple(o for o, n in enumerate(options) if n == min(options)) for options in beyond)


def options_of_stages(space: Space, stages: Sequence[Stage], where: str) -> list[ActiveOptions]:
    """Per stage the options that its sizes leave; UsageError for stages that the space has no sizes for."""
    active = [options_within(space, stage.elastic, f"{where}, stage {stage.name}") for stage in stages]
    for stage in stages:
        if stage.start == "sorted":  # channels are sorted where operations share them
            options_within(space, (("expand", 0),), f"{where}, stage {stage.name}")
    return active
