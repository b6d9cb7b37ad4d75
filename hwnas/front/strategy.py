"""What a strategy is, and the table of all of them.

A strategy is a function that proposes architectures from the history of the run (`Propose`).
`Generational` makes ask and tell of it. The functions stand in `hwnas/front/strategies`, a file each,
and enter the table with the decorator `add_strategy`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol, runtime_checkable

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

from hwnas.core.growing import GrowingSpace
from hwnas.core.registry import Part, Registry, check_options
from targets.errors import UsageError, did_you_mean

from .history import History, Trial
from .novelty import Novelty
from .objectives import Problem

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.space import Space
    from hwnas.evaluators import EvaluationFailed, Metrics

OneOrMore = Annotated[int, Interval(ge=1)]
TwoOrMore = Annotated[int, Interval(ge=2)]
"""Types of options, which are checked where they are read, before any work."""

CostsOf = Callable[[Sequence["Arch"]], Mapping[str, NDArray[np.float64]]]
"""Architectures -> per metric their exact costs (n,), such as `CostModel.of`."""

FeaturesOf = Callable[[Sequence["Arch"]], NDArray[np.float64]]
"""Architectures -> more columns for a surrogate (n, columns), finite: shared-weight accuracies, proxies, …"""

Propose = Callable[[History, int, Novelty], list[tuple["Arch", str]]]
"""(history, how many, source of new architectures) -> architectures, each with its origin.

The answer follows from the history, the number and the settings alone, so that a run that was killed goes on
with the same architectures. What is kept between calls may only save work. A strategy with a model of the
error is a `Forecaster` too.
"""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a strategy expects of an architecture: a normal distribution of the log error.

    log_error: its mean.
    deviation: of the true log error.
    observed_deviation: of what an evaluation will show, the noise of evaluations included.
    """

    log_error: float
    deviation: float
    observed_deviation: float

    @property
    def error(self) -> float:
        """The median of the error."""
        return float(np.exp(self.log_error))


@runtime_checkable
class Forecaster(Protocol):
    """A `Propose` that can say what it expects."""

    def forecast(self, history: History, archs: Sequence[Arch]) -> list[Forecast] | None:
        """One forecast per architecture; None as long as too few were evaluated."""
        ...


class Strategy(Protocol):
    """Proposes architectures and learns from what they turned out to be."""

    @property
    def history(self) -> History:
        """What was evaluated so far."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What decides this search, as JSON; a resumed run must have the same."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether the last `ask` ran out of new architectures."""
        ...

    def ask(self, n: int | None = None) -> list[Arch]:
        """The next architectures to evaluate, none of which comes twice in a run.

        n: so many more, beside those that were asked and not told yet. None: a generation, which takes the
            place of those.
        """
        ...

    def tell(self, archs: Sequence[Arch], metrics: Sequence[Metrics | EvaluationFailed]) -> list[Trial]:
        """Record what the evaluator answered for architectures that were asked."""
        ...

    def forecast(self, archs: Sequence[Arch]) -> list[Forecast] | None:
        """What is expected of architectures; None without a model, or too early for one."""
        ...

    def restore(self, stored: Sequence[Mapping[str, Any]]) -> None:
        """Go on after stored trials (`load_trials`) as if the run had never stopped."""
        ...


@dataclass(frozen=True, slots=True)
class StrategyContext:
    """What a strategy is made for.

    space: the architectures it may propose.
    problem: objectives and constraints.
    population: how many architectures it proposes at a time.
    seed: of every random draw.
    costs_of: exact costs before an evaluation; None where there are none.
    features_of: more features for a strategy with a model; None where there are none.
    n_images: that an accuracy is a share of, so that a model knows how far chance moves it; None: no chance.
    prices: what an evaluation takes at each fidelity, the cheapest first, in units of a whole one.
    """

    space: Space
    problem: Problem
    population: int
    seed: int
    costs_of: CostsOf | None = None
    features_of: FeaturesOf | None = None
    n_images: int | None = None
    prices: tuple[float, ...] = (1,)

    def rng(self, generation: int) -> np.random.Generator:
        """The random draws of a strategy for one generation."""
        return np.random.default_rng(self.sampler_seed(generation))

    def sampler_seed(self, generation: int) -> int:
        """The same as a seed of 32 bits, for samplers of other libraries."""
        return int(generation_entropy(self.seed, generation, 1).generate_state(1)[0])


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """A row of the table of strategies.

    name: what `make_strategy` takes.
    title: what it does, in one line.
    paper: where it was published.
    make: gives its `Propose` for a context; keyword-only parameters are the strategy's options, with the
        types and ranges that are allowed.
    several_fidelities: whether it evaluates architectures at several, one after the other.
    one_prediction: whether exactly one objective may be other than a known cost.
    least_population: of a context that it can be made for.
    grows: whether its space has to be one whose architectures grow (`GrowingSpace`).
    first: the option that says how many random evaluations come before it chooses; empty where none do.
    """

    name: str
    title: str
    paper: str
    make: Callable[..., Propose]
    several_fidelities: bool = False
    one_prediction: bool = False
    least_population: int = 1
    grows: bool = False
    first: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The options with their defaults."""
        parameters = inspect.signature(self.make).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    @property
    def about(self) -> str:
        """What it wants, and what its options mean."""
        return inspect.getdoc(self.make) or ""

    def read_options(self, texts: Sequence[str]) -> dict[str, Any]:
        """Options from `name=value`, as a command line gives them; UsageError for what cannot be read."""
        where, options = f"strategy {self.name!r}", dict[str, Any]()
        for text in texts:
            name, equals, value = text.partition("=")
            name = name.strip().replace("-", "_")
            if not equals or name in options:
                raise UsageError(f"{where}: option {text!r} must read NAME=VALUE, each name once")
            if name not in self.options:
                known = did_you_mean(name, self.options) if self.options else "it takes none"
                raise UsageError(f"{where} has no option {name!r}; {known}")
            kind = type(self.options[name])
            try:
                options[name] = kind(value.strip())
            except ValueError:
                what = {int: "a whole number", float: "a number"}[kind]
                raise UsageError(f"{where}: {name} must be {what}, got {value.strip()!r}") from None
        return self.resolve(options)

    def resolve(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options, those given over the defaults; UsageError for an unknown one or a wrong value."""
        check_options(self.make, Part(self.name, tuple(options.items())), f"strategy {self.name!r}")
        return self.options | dict(options)

    def require_fit(self, space: Space, population: int | None) -> None:
        """UsageError for a space or population it cannot be made for. population: None, not known yet."""
        if population is not None and population < self.least_population:
            raise UsageError(
                f"strategy {self.name!r}: population must be at least {self.least_population}, got "
                f"{population}"
            )
        if self.grows and not isinstance(space, GrowingSpace):
            raise UsageError(
                f"strategy {self.name!r} grows architectures, and those of space {space.name} do not grow; "
                f"choose the space 'pnas', or another strategy"
            )

    def too_few(self, options: Mapping[str, Any], evaluations: int) -> str | None:
        """What to tell a user whose evaluations end before it chooses anything; None where they do not."""
        n = options[self.first] if self.first else 0
        if n < evaluations:
            return None
        return (
            f"strategy {self.name!r} draws its first {n} architectures at random, and {evaluations} are "
            f"evaluated: give --strategy-option {self.first}={max(2, evaluations // 3)}, or more "
            f"--evaluations"
        )

    def describe(self) -> dict[str, Any]:
        """The row as JSON."""
        return {"name": self.name, "title": self.title, "options": self.options, "paper": self.paper}


STRATEGIES: Registry[StrategyRow] = Registry("strategy")


def add_strategy(
    name: str,
    *,
    title: str,
    paper: str,
    several_fidelities: bool = False,
    one_prediction: bool = False,
    least_population: int = 1,
    grows: bool = False,
    first: str = "",
) -> Callable[[Callable[..., Propose]], Callable[..., Propose]]:
    """Decorator that files the decorated function in the table (`StrategyRow` says what is what)."""

    def file(make: Callable[..., Propose]) -> Callable[..., Propose]:
        row = StrategyRow(
            name=name,
            title=title,
            paper=paper,
            make=make,
            several_fidelities=several_fidelities,
            one_prediction=one_prediction,
            least_population=least_population,
            grows=grows,
            first=first,
        )
        STRATEGIES.add(name)(row)
        return make

    return file


def generation_entropy(seed: int, generation: int, stream: int) -> np.random.SeedSequence:
    """The source of one stream of random numbers in one generation: 0 for novelty, 1 for the strategy."""
    return np.random.SeedSequence(seed, spawn_key=(generation, stream))
