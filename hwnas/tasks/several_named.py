"""The spelling of several tasks at once: `classification:digit+regression:tilt`.

Parts stand apart by `+`: TASK:COLUMN, with further columns behind commas where the task takes several;
`weights:2,1` of the heads in their order, or `weights:uncertainty`; `objective:COLUMN`, or `objective:mean`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from targets.errors import UsageError, did_you_mean

from .heads import TaskHead
from .several import Several
from .task import Task

_SPELLING = (
    "spell it as classification:digit+regression:tilt, with weights:2,1 or weights:uncertainty and "
    "objective:digit where wanted"
)
_POOLED = "pooled"
_WEIGHTS, _OBJECTIVE = "weights", "objective"
_MEAN, _UNCERTAINTY = "mean", "uncertainty"


def is_several(name: str) -> bool:
    """Whether the name is that of several tasks at once."""
    return ":" in name


def several_named(name: str, task_named: Callable[[str], Task]) -> Several:
    """The task of that name; UsageError says what is wrong with it. task_named: of the parts."""
    pairs = [_pair(name, part) for part in name.split("+")]
    heads = tuple(
        _head(name, key, value, task_named) for key, value in pairs if key not in (_WEIGHTS, _OBJECTIVE)
    )
    said = [key for key, _ in pairs if key in (_WEIGHTS, _OBJECTIVE)]
    if len(set(said)) < len(said):
        raise UsageError(f"--task {name}: says {said[0]} twice; {_SPELLING}")
    options = dict(pairs)
    names = [head.name for head in heads]
    twice = [column for head in heads for column in head.columns]
    if len(heads) < 2:
        raise UsageError(f"--task {name}: one head; give two or more, or the task alone; {_SPELLING}")
    if len(set(map(str.lower, twice))) < len(twice):
        raise UsageError(f"--task {name}: a column is learned twice; name each once")
    objective = options.get(_OBJECTIVE, _MEAN)
    if objective not in (*names, _MEAN):
        raise UsageError(
            f"--task {name}: objective {objective!r}; {did_you_mean(objective, (*names, _MEAN))}"
        )
    weights = options.get(_WEIGHTS, "")
    return Several(
        spelling=name,
        heads=heads if weights in ("", _UNCERTAINTY) else _weighted(name, heads, weights.split(",")),
        uncertain=weights == _UNCERTAINTY,
        objective="" if objective == _MEAN else objective,
    )


def _pair(name: str, part: str) -> tuple[str, str]:
    key, colon, value = (text.strip() for text in part.partition(":"))
    if not (key and colon and value):
        raise UsageError(f"--task {name}: {part!r} is no TASK:COLUMN; {_SPELLING}")
    return key, value


def _head(name: str, key: str, value: str, task_named: Callable[[str], Task]) -> TaskHead:
    task, columns = task_named(key), tuple(column.strip() for column in value.split(","))
    if task.head != _POOLED or task.texts:
        raise UsageError(f"--task {name}: {key} cannot be a head beside others; {_SPELLING}")
    if not all(columns) or (len(columns) > 1 and not task.many_columns):
        raise UsageError(f"--task {name}: {key} learns one column, {value!r} names others; {_SPELLING}")
    return TaskHead(name=columns[0], columns=columns, task=task)


def _weighted(name: str, heads: Sequence[TaskHead], texts: Sequence[str]) -> tuple[TaskHead, ...]:
    try:
        weights = [float(text) for text in texts]
    except ValueError:
        weights = []
    if len(weights) != len(heads) or not all(0 < weight <= 1e6 for weight in weights):
        raise UsageError(
            f"--task {name}: weights:{','.join(texts)}; allowed: {len(heads)} numbers above 0, one for each "
            f"head, or {_UNCERTAINTY}"
        )
    return tuple(replace(head, weight=weight) for head, weight in zip(heads, weights, strict=True))
