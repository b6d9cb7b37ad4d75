"""The strategies of a discrete search, a file each; every file of this folder is in the table.

`make_strategy` makes one by name; `hwnas strategies` lists them. How to add one: docs/recipes/strategy.md.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hwnas.front.generational import Generational
from hwnas.front.strategy import STRATEGIES, CostsOf, FeaturesOf, StrategyContext
from targets.errors import UsageError

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space
    from hwnas.front.objectives import Problem

__all__ = ["STRATEGIES", "make_strategy"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def make_strategy(
    name: str,
    space: Space,
    problem: Problem,
    *,
    population: int,
    seed: int,
    seeds: Sequence[Arch] = (),
    costs_of: CostsOf | None = None,
    features_of: FeaturesOf | None = None,
    n_images: int | None = None,
    prices: Sequence[float] = (1,),
    max_failures: int = 10,
    **options: Any,
) -> Generational:
    """The strategy `name` of the table, ready to be asked.

    space: the architectures it may propose.
    problem: objectives and constraints.
    population: how many architectures it proposes at a time.
    seed: of every random draw.
    seeds: architectures that generation 0 holds before those that are proposed.
    costs_of: exact costs before an evaluation, for the strategies that use them.
    features_of: more features of architectures, for the strategies with a model.
    n_images: that an accuracy is a share of, for the strategies with a model of it.
    prices: what an evaluation takes at each fidelity, the cheapest first, in units of a whole one. Only for
        strategies with several fidelities.
    max_failures: how many evaluations in a row may fail before the search stops.
    options: of the strategy (`hwnas strategies`).
    """
    if seed < 0:
        raise UsageError(f"seed must be 0 or above, got {seed}")
    row = STRATEGIES[name]
    resolved = row.resolve(options)
    row.require_fit(space, population)
    if len(prices) > 1 and not row.several_fidelities:
        raise UsageError(f"strategy {name!r} evaluates at one fidelity, got prices of {len(prices)}")
    context = StrategyContext(
        space=space,
        problem=problem,
        population=population,
        seed=seed,
        costs_of=costs_of,
        features_of=features_of,
        n_images=n_images,
        prices=tuple(prices),
    )
    propose = row.make(context, **resolved)
    return Generational(name, propose, context, seeds=seeds, options=resolved, max_failures=max_failures)
