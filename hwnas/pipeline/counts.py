"""How much of everything a search does, where neither the user nor the time says it.

What the options leave open is decided here for a search without `--minutes`, and by `plan` with them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

from hwnas.core.budget import LATENCY, RATIO, Budget, base_metric, latency_metrics, metric_on_devices
from hwnas.core.samples import FEW_PER_CLASS
from hwnas.runs.config import SearchConfig
from hwnas.tasks import task_named
from hwnas.training.presets import REGULARISED
from hwnas.training.recipe import Recipe
from targets.errors import UsageError

from .scores import asked_score, task_of

ETA, MOST_FIDELITIES = 3, 3
"""Trainings of successive halving are three times as long from one fidelity to the next, of three at most."""
EVALUATED = ("val_accuracy", "val_loss")
"""What every evaluator finds out; the rest is known before."""
REPEATS = 5
"""Of the chosen network where there are few images and nobody says how many."""
_GIVEN_ALONE = (
    "supernet_steps", "search_steps", "evaluations", "eval_epochs", "picks", "train_epochs", "repeats",
)  # fmt: skip
"""Counts that are options of the same name, None where the plan chooses."""
PER_WORKER = 2
"""Trainings per process and batch of proposals: none waits long for the last of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The work of a search.

    supernet_steps, search_steps: of the shared weights, of the gradient search over them; 0 leaves it out.
    evaluations: architectures that are scored, those that earlier searches left not counted.
    batch: how many the strategy proposes at a time.
    eval_epochs: of the training that scores one; 0 with shared weights.
    picks, random_baselines: networks of the front that are trained to the end, random ones beside them.
    train_epochs: of that training, which goes on from the short one where there is one.
    repeats: splits drawn anew on which the chosen network is trained again; 0 for none.
    """

    supernet_steps: int
    search_steps: int
    evaluations: int
    batch: int
    eval_epochs: int
    picks: int
    random_baselines: int
    train_epochs: int
    repeats: int = 0

    def to_json(self) -> dict[str, int]:
        """By name."""
        return asdict(self)

    @classmethod
    def from_json(cls, counts: Mapping[str, int]) -> Counts:
        """The inverse of `to_json`."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: counts[name] for name in names if name in counts})  # older runs know no repeats

    @property
    def n_candidates(self) -> int:
        """Architectures of the front that are measured on the target."""
        return min(16, 2 * self.picks + 6)

    @property
    def n_finalists(self) -> int:
        """Networks that are trained to the end, at most: MobileNetV3 stands beside the random ones."""
        return self.picks + 2 * self.random_baselines + (1 if self.search_steps else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorRow:
    """What a search does by the evaluator, where the options leave it open.

    trains: whether an evaluation is a training, which the final one goes on from.
    strategy: that searches the front.
    objectives: of the front, beside accuracy and latency.
    counts: (training images, training processes) -> how much of everything.
    """

    trains: bool
    strategy: str
    objectives: tuple[str, ...]
    counts: Callable[[int, int], Counts]


def evaluator_of(config: SearchConfig) -> EvaluatorRow:
    """The row of the evaluator of a search."""
    return EVALUATORS[config.evaluator]


def search_batch_size(config: SearchConfig) -> int:
    """Images per step of the shared weights and of a gradient search."""
    return config.batch_size or 64


def strategy_of(config: SearchConfig) -> str:
    """The strategy that searches the front."""
    return config.strategy or evaluator_of(config).strategy


def epochs_by_fidelity(config: SearchConfig, eval_epochs: int) -> tuple[int, ...]:
    """After how many epochs an architecture is scored: on the way too where the strategy asks for it.

    Each training goes on from the one before. UsageError for a strategy that needs several and has one.
    """
    from hwnas.front.strategies import STRATEGIES

    name = strategy_of(config)
    if not STRATEGIES[name].several_fidelities:
        return (eval_epochs,)
    epochs = tuple(sorted({-(-eval_epochs // ETA**k) for k in range(MOST_FIDELITIES)}))
    if not evaluator_of(config).trains or len(epochs) < 2:
        raise UsageError(
            f"strategy {name!r} needs trainings of several lengths; give --evaluator short-training and "
            f"--eval-epochs of 2 or more"
        )
    return epochs


def prices_of(epochs: Sequence[int]) -> tuple[float, ...]:
    """What the training to each of these epochs takes after the one before, in units of the whole."""
    return tuple((b - a) / epochs[-1] for a, b in itertools.pairwise((0, *epochs)))


def objectives_of(config: SearchConfig, devices: Sequence[str]) -> tuple[str, ...]:
    """What the front is of.

    devices: names; with several, the latency on each is an objective.
    """
    if config.objectives:
        latencies = [b for b in config.budgets if base_metric(Budget.parse(b).metric) == LATENCY]
        if RATIO in config.objectives and config.budgets and not latencies:
            raise UsageError(f"objective {RATIO} is a share of budgets on latencies, and none is given")
        score = task_of(config).metric.name
        named = ["val_accuracy" if asked_score(o) == score else o for o in config.objectives]
        return tuple(metric_on_devices(o, devices, f"objective {o}") for o in named)
    return ("val_accuracy", *latency_metrics(devices), *evaluator_of(config).objectives)


def needs_latency(config: SearchConfig) -> bool:
    """Whether the search has to know what a network takes on a device, which needs a table of it.

    The default objectives do, and so does the budget that there is without any. A gradient search learns
    under a latency.
    """
    named = [*config.objectives, *config.budgets]
    default_steps = 0 if evaluator_of(config).trains or config.federated is not None else None
    gradient = (default_steps if config.search_steps is None else config.search_steps) != 0
    return not config.objectives or gradient or any(name.startswith((LATENCY, RATIO)) for name in named)


def default_counts(
    config: SearchConfig, n_train: int, n_workers: int, images_per_class: float = FEW_PER_CLASS
) -> Counts:
    """The counts of a search without a limit on time. n_train: training images."""
    counts = evaluator_of(config).counts(n_train, n_workers)
    repeats = REPEATS if images_per_class < FEW_PER_CLASS and not task_named(config.task).texts else 0
    longer = REGULARISED[config.recipe].longer
    counts = replace(counts, train_epochs=longer * counts.train_epochs, repeats=repeats)
    if config.federated is not None:  # both learn from the images of whoever leads alone
        counts = replace(counts, search_steps=0, repeats=0)
    return with_options(counts, config)


def with_options(counts: Counts, config: SearchConfig) -> Counts:
    """`counts`, but what the user gave is as given."""
    given = {name: value for name in _GIVEN_ALONE if (value := getattr(config, name)) is not None}
    if config.random_baselines is not None:
        given["random_baselines"] = config.random_baselines
    if config.population is not None:
        given["batch"] = config.population
    if config.generations is not None:
        given["evaluations"] = config.generations * given.get("batch", counts.batch)
    if not evaluator_of(config).trains:
        given["eval_epochs"] = 0
    return replace(counts, **given)


def _of_short_trainings(n_train: int, n_workers: int) -> Counts:
    return Counts(
        supernet_steps=0,
        search_steps=0,
        evaluations=14,
        batch=max(n_workers, min(8, max(2, PER_WORKER * n_workers))),  # a cluster has work for all
        eval_epochs=Recipe.short(n_train).epochs,
        picks=7,
        random_baselines=2,
        train_epochs=Recipe.going_on(n_train).epochs,
    )


def _of_shared_weights(n_train: int, n_workers: int) -> Counts:
    return Counts(
        supernet_steps=500,
        search_steps=100,
        evaluations=240,
        batch=24,
        eval_epochs=0,
        picks=6,
        random_baselines=2,
        train_epochs=12,
    )


EVALUATORS: Mapping[str, EvaluatorRow] = {
    # Few evaluations are spent on accuracy and latency, which the picks go by.
    "short-training": EvaluatorRow(trains=True, strategy="bo", objectives=(), counts=_of_short_trainings),
    "shared-weights": EvaluatorRow(
        trains=False,
        strategy="nsga2",
        objectives=("macs", "peak_memory_mb"),
        counts=_of_shared_weights,
    ),
}
"""By the name that `--evaluator` takes."""
