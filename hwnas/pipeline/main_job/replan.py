"""The plan kept up with the machine: what is left of `--minutes` decides how much more is done.

Each decision is written down before it takes effect (`clock`), so that a resumed run repeats those that were
taken. Without `--minutes` the plan stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwnas.core.words import counted
from hwnas.pipeline.counts import Counts, with_options
from hwnas.pipeline.forecast import (
    ENOUGH,
    LEVELS,
    MOST_EVALUATIONS,
    PlanLevel,
    Work,
    after_s,
    forecast_s,
    makespan_s,
)
from targets.errors import UsageError

from .run_context import RunContext

FEWEST_EVALUATIONS = 3
LONGER_EPOCHS = "longer_epochs"
"""Of `decisions`: epochs that all networks train on after their final training; 0 where there was no time."""
_SPARE_SHARE = 0.1
"""Of the time left then, which stays free."""


def require_in_time(context: RunContext) -> None:
    """Take other `--minutes` than the run was planned for; it keeps them when it is resumed again.

    UsageError once nothing is left to plan again.
    """
    plan = context.run.stage_done("plan")
    if plan is None:  # it will be made for them
        return context.run.identity.write(context.path)
    minutes, before = context.config.minutes, context.decisions.minutes(plan.get("minutes"))
    if minutes == before:
        return None
    planned, wanted = ("no limit" if m is None else f"--minutes {m:g}" for m in (before, minutes))
    if "train_epochs" in context.decisions.counts or context.run.stage_done("training") is not None:
        raise UsageError(
            f"{wanted} comes too late: the run was planned for {planned}, and its final trainings have "
            "begun. Leave it away to go on"
        )
    context.run.log(f"planned again for {wanted}; before: {planned}")
    context.decisions.limit(minutes)
    return context.run.identity.write(context.path)


def left_s(context: RunContext) -> float:
    """Of the time that the user gave; infinite where none was given."""
    minutes = context.config.minutes
    return float("inf") if minutes is None else minutes * 60 - context.clock.spent_s


def rest_s(context: RunContext, stage: str) -> float:
    """What the stages after this one are expected to take, at the speed of the front where that is known."""
    known = context.run.stage_done("front") is not None
    return after_s(forecast_s(context.counts, slowed(context) if known else context.work), stage)


def trainings_s(context: RunContext, epochs: Sequence[int]) -> float:
    """What trainings of so many epochs each take side by side, at the speed of the front."""
    work = slowed(context)
    return makespan_s([work.training_s(n) for n in epochs], work.speed.n_parallel)


class FrontPace:
    """How fast the evaluations of the front go, and how many more there is time for.

    A front that is resumed measures again from its first batch on.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._began_s = context.clock.spent_s
        self._n_done = 0

    def add(self, n: int) -> None:
        """`n` evaluations were paid for."""
        self._n_done += n
        self._context.clock.save()

    @property
    def evaluation_s(self) -> float | None:
        """Seconds by the clock of one; None before the first."""
        return (self._context.clock.spent_s - self._began_s) / self._n_done if self._n_done else None

    @property
    def slowdown(self) -> float:
        """How much slower the machine is than it was when the plan was made."""
        planned_s = forecast_s(self._context.counts, self._context.work)["front"]
        one_s = planned_s / max(1, self._context.counts.evaluations)
        return 1.0 if self.evaluation_s is None or one_s <= 0 else self.evaluation_s / one_s

    def rest_s(self, n_left: int) -> float:
        """What the stages after the front take, at the speed of now; what is left of `--minutes` where given.

        n_left: evaluations until then.
        """
        if self._context.config.minutes is not None and self.evaluation_s is not None:
            return max(0.0, left_s(self._context) - n_left * self.evaluation_s)
        return self._kept_s(self._context.counts)

    def affordable(self, n_paid: int) -> int:
        """Evaluations in all, `n_paid` of which are done, that leave the time of the final trainings."""
        context, counts = self._context, self._context.counts
        fixed = context.config.evaluations is not None or context.config.generations is not None
        if context.config.minutes is None or self.evaluation_s is None or fixed:
            return counts.evaluations
        fewest = n_paid + self._more(least_finals(context, counts))
        if fewest <= counts.evaluations:
            return max(FEWEST_EVALUATIONS, n_paid, fewest)
        # A faster machine than was thought: more than planned, where the final trainings keep their time.
        # Beyond what is enough a third of the time, as in the plan: the rest makes final trainings longer.
        enough = max(counts.evaluations, ENOUGH)
        beyond = n_paid + self._more(enough_finals(context, counts)) - enough
        wanted = enough + (beyond // 3 if beyond > 0 else beyond)
        return min(MOST_EVALUATIONS, max(counts.evaluations, wanted))

    def _more(self, counts: Counts) -> int:
        """Evaluations for which there is time before the final trainings of `counts`."""
        assert self.evaluation_s is not None
        return max(0, int((left_s(self._context) - self._kept_s(counts)) / self.evaluation_s))

    def _kept_s(self, counts: Counts) -> float:
        """What the stages after the front take with `counts`."""
        rest_s = after_s(forecast_s(counts, self._context.work), "front")
        return min(max(self.slowdown, 0.3), 4.0) * rest_s


def least_finals(context: RunContext, counts: Counts) -> Counts:
    """`counts` with final trainings that are two thirds as long as planned, where that is not too short."""
    if context.config.train_epochs is not None:
        return counts
    least = context.work.epochs_of(LEVELS[-1].final_steps)
    shorter = max(min(least, counts.train_epochs), counts.train_epochs * 2 // 3)
    return replace(counts, train_epochs=shorter)


def enough_finals(context: RunContext, counts: Counts) -> Counts:
    """`counts` with the final trainings of the best level, before which no more evaluations are worth it."""
    return _at_level(context, counts, LEVELS[0])


def _at_level(context: RunContext, counts: Counts, level: PlanLevel) -> Counts:
    """`counts` with the final trainings of a level, but what the user gave as it was given."""
    epochs = max(counts.train_epochs, context.work.epochs_of(level.final_steps))
    finals = replace(
        counts,
        picks=level.picks,
        random_baselines=level.random_baselines,
        train_epochs=epochs,
        repeats=min(level.repeats, counts.repeats),
    )
    return with_options(finals, context.config)


def enough_epochs(context: RunContext) -> int:
    """Of the final training of a search with time enough."""
    return context.work.epochs_of(LEVELS[0].final_steps)


def most_epochs(context: RunContext) -> int:
    """Of the final trainings, however much time there is: three times what is enough, or what was planned."""
    return 3 * max(int(context.result("plan")["counts"]["train_epochs"]), enough_epochs(context))


def plan_finals(context: RunContext) -> None:
    """Before the front is measured: how many picks and baselines there is still time to train."""
    if context.config.minutes is None:
        return
    work, planned, time_s = slowed(context), context.counts, left_s(context)
    for level in LEVELS:
        wanted = _at_level(context, replace(planned, train_epochs=1), level)
        if after_s(forecast_s(wanted, work), "front") <= time_s:
            break
    kept = ("picks", "random_baselines", "repeats")
    counts = replace(planned, **{name: getattr(wanted, name) for name in kept})
    if counts != planned:
        context.run.log(
            f"there is time for {counts.picks} picks and {counts.random_baselines} random networks beside"
        )
    context.decisions.fix(**{name: getattr(counts, name) for name in kept})


def plan_epochs(context: RunContext, n_short: int, n_final: int) -> None:
    """Before the final trainings: as many epochs as there is time for, up to three times what is enough.

    n_short: networks whose short training comes first. n_final: networks that are trained to the end.
    """
    if context.config.minutes is None or context.config.train_epochs is not None:
        return
    work, counts = slowed(context), context.counts
    repeats_s = forecast_s(counts, work)["repeats"]  # they are as long as the others
    n_short, n_final = n_short + counts.repeats * bool(counts.eval_epochs), n_final + counts.repeats
    shorts_s = work.training_s(counts.eval_epochs) * -(-n_short // work.speed.n_parallel)
    time_s = left_s(context) - rest_s(context, "training") + repeats_s - shorts_s - 4.0
    per_epoch_s = work.training_s(2) - work.training_s(1)
    rounds = n_final / work.speed.n_parallel * (1.15 if n_final % work.speed.n_parallel else 1.0)
    epochs = int((time_s / max(rounds, 1.0) - work.training_s(0)) / per_epoch_s)
    planned = counts.train_epochs
    most = most_epochs(context)
    why = "what the time left allows" if epochs <= most else "more are not worth the time that is left"
    epochs = max(1, min(epochs, most))
    if epochs != planned:
        context.run.log(f"final trainings of {counted(epochs, 'epoch')}, not {planned}: {why}")
    context.decisions.fix(train_epochs=epochs)


def plan_longer(context: RunContext, n: int, took_s: float | None) -> int:
    """After the final trainings of `n` networks: for how many epochs all of them train on; 0 for none.

    took_s: what they took by the clock; None where they were not all made in this session. A machine that was
    busy until then, or a forecast that was too careful, leaves time that nothing else would use: up to as
    much again as the most that final trainings are planned with.
    """
    config, epochs = context.config, context.counts.train_epochs
    is_free = config.minutes is not None and config.train_epochs is None
    if is_free and n and LONGER_EPOCHS not in context.decisions.counts:
        took_s = took_s or trainings_s(context, [epochs] * n)
        spare_s = (1 - _SPARE_SHARE) * left_s(context) - rest_s(context, "training")
        took_s *= 1 + context.counts.repeats / n  # which are then longer too
        longer = min(int(spare_s / took_s * epochs), 2 * most_epochs(context) - epochs)
        if longer < max(2, epochs // 6):  # not worth the start of so many processes
            longer = 0
        if longer:
            epochs_more = counted(longer, "epoch")
            context.run.log(f"time is left: all {n} networks train on for {epochs_more} from their weights")
        context.decisions.fix(**{LONGER_EPOCHS: longer})
    return longer_epochs(context)


def longer_epochs(context: RunContext) -> int:
    """What `plan_longer` decided; 0 before it."""
    return context.decisions.counts.get(LONGER_EPOCHS, 0)


def slowed(context: RunContext) -> Work:
    """The work at the speed that the evaluations of the front had."""
    work, front = context.work, context.result("front")
    slowdown = float(front.get("slowdown", 1.0))
    speed = replace(
        work.speed,
        image_s=work.speed.image_s * slowdown,
        slowness=max(1.0, work.speed.slowness * slowdown),
    )
    return replace(work, speed=speed)
