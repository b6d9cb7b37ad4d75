"""Every trained network exported, checked against torch, measured on the target, and scored.

For a target of precision int8 the quantised file is what counts; the float file is measured beside it.
The test split is read here, after all decisions (the chosen pick is the best on validation), and once more
where the mistakes of the chosen network are shown (`mistakes`).
What fails (a training that diverged, a file that does not answer as torch does, a baseline on pixels) stays
in the table with its reason; the run ends only where no pick is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data import eval_batches
from hwnas.exporting.export import Exported, export_model
from hwnas.exporting.int8 import export_int8, int8_path
from hwnas.exporting.onnx_score import LogitArray, OnnxScore, onnx_accuracy
from hwnas.front import find_preference
from hwnas.pipeline.stages import Outcome
from hwnas.report.drawing import dot_text
from hwnas.runs.front_file import FrontPoint
from hwnas.runs.heartbeat import heartbeat
from hwnas.runs.intervals import bootstrap
from hwnas.runs.search_run import FINAL_FOLDER
from hwnas.tasks import outward
from hwnas.training.pixel_model import PixelModel
from hwnas.training.pixel_models import pixel_models
from hwnas.training.train import eval_batch, outputs_of
from hwnas.training.training_job import Trained
from targets.errors import HwnasError

from .candidate import Finalist
from .devices import Measured, columns_of, measure, with_measured
from .growth import test_parts
from .run_context import RunContext
from .training import finalists, read_final, require_a_pick

_MODELS = {"svc": "SVC", "linear": "linear"}

_BESIDE = ("latency_p50_ms", "val_accuracy", "test_accuracy", "size_mb")
"""What the final table says of the float file too, where the target runs another."""


def evaluate_models(context: RunContext) -> Outcome:
    """Write models/<arch_id>/; the result holds the points of the final table, apart the failed ones."""
    trained, failed = _trained(context)
    exported = _export_all(context, trained, failed)
    require_a_pick(context, finalists(context), {network.arch_id: why for network, why in failed})
    measurements = _measurements(context, exported)
    points = []
    with context.run.progress("evaluation", len(exported)) as bar:
        for network, model in exported:
            points.append(_point(context, network, model, measurements))
            bar.advance(1, network.arch_id)
    chosen = _chosen(context, [point for point in points if point.pick])
    known = [_on_pixels(context, name, fit) for name, fit in pixel_models(context.data.task).items()]
    svc, linear = (next((m for m in known if m["name"] == name), None) for name in ("svc", "linear"))
    tested = {model["name"]: model["test_accuracy"] for model in known}
    label = context.data.task.metric.label
    context.run.log(
        f"chosen on validation: {chosen.arch_id} ({chosen.pick}), test {label} "
        f"{_measured(chosen)['test_accuracy']:.4f}, {_measured(chosen)['latency_p50_ms']:.3g} ms"
        + "".join(f"; {_MODELS[m['name']]} {_or_failed(m)}" for m in known)
    )
    result = {
        "models": [point.to_json() for point in points],
        "failed": [n.candidate.point(n.arch_id, failure=why).to_json() for n, why in failed],
        "chosen": chosen.arch_id,
        "svc_test_accuracy": tested.get("svc"),
        "svc": svc,
        "linear_test_accuracy": tested.get("linear"),
        "linear": linear,
    }
    return Outcome(result, tuple(f"models/{network.arch_id}" for network, _ in exported))


def _chosen(context: RunContext, picks: list[FrontPoint]) -> FrontPoint:
    """The preferred one inside the budgets, unless told the most accurate one.

    Where a busy device measured all outside, the fastest.
    """
    inside = [pick for pick in picks if pick.feasible]
    if inside:
        latency = np.array([context.burden(p.predicted) for p in inside])
        accuracy = np.array([_measured(p)["val_accuracy"] for p in inside])
        return inside[find_preference(context.config.prefer or "accuracy").choose(latency, accuracy)]
    context.run.log.warn(
        f"no trained pick is measured inside {', '.join(map(str, context.budgets))}: a device busier "
        f"than before, or a file larger than predicted; the fastest counts. `hwnas bench` measures it again"
    )
    return min(picks, key=lambda p: float(_measured(p)["latency_p50_ms"]))


def _measurements(
    context: RunContext, exported: list[tuple[Finalist, Exported]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Of every file on the device that it is made for, and of every network on the others, per metric."""
    floats = {network.arch_id: model.onnx for network, model in exported}
    int8 = {_int8_key(network): p for network, model in exported if (p := int8_path(model)) is not None}
    costs = {network.arch_id: network.candidate.predicted for network, _ in exported}
    costs |= {_int8_key(network): network.candidate.predicted for network, _ in exported}
    first, *others = context.devices
    home, log = context.home, context.run.log
    measured = measure([first], {**floats, **int8}, costs, home=home, log=log, quantise=False)
    elsewhere = measure(others, floats, costs, home=home, log=log)
    for network, _ in exported:
        for key in (network.arch_id, _int8_key(network)):
            if key in measured:
                measured[key] |= elsewhere[network.arch_id]
    return measured


Failures = list[tuple[Finalist, str]]
"""Networks without a file that can be used, and why."""


def _on_pixels(context: RunContext, name: str, fit: Callable[..., PixelModel]) -> dict[str, Any]:
    """What the baseline came to; `failure` says why where it came to nothing."""
    try:
        with heartbeat(context.run.log, f"fitting the baseline {name} on pixels"):
            return {**asdict(fit(context.data, seed=context.config.seed)), "failure": None}
    except Exception as error:  # whatever happens in a baseline is no reason to lose the search
        reason = _reason(error)
        context.run.log.warn(f"the baseline {name} failed: {reason}")
        return {"name": name, "val_accuracy": None, "test_accuracy": None, "failure": reason}


def _or_failed(model: dict[str, Any]) -> str:
    return "failed" if model["failure"] else f"{model['test_accuracy']:.4f}"


def _reason(error: Exception) -> str:
    """The first line: what goes into a table."""
    text = (str(error).splitlines() or [""])[0]
    return text if isinstance(error, HwnasError) else f"{type(error).__name__}: {text}".rstrip(": ")


def _measured(point: FrontPoint) -> Mapping[str, Any]:
    assert point.measured is not None  # of a trained network
    return point.measured


def _trained(context: RunContext) -> tuple[list[Finalist], Failures]:
    """The networks that were trained and those that failed, with what the search would say of each."""
    reasons = {m["arch_id"]: m["failure"] for m in context.result("training")["models"] if m["failure"]}
    networks = [_with_search_accuracy(context, network) for network in finalists(context)]
    trained = [network for network in networks if network.arch_id not in reasons]
    return trained, [(n, reasons[n.arch_id]) for n in networks if n.arch_id in reasons]


def _with_search_accuracy(context: RunContext, network: Finalist) -> Finalist:
    """The accuracy as the search saw it, and as it would have seen that of a baseline."""
    candidate = network.candidate
    if candidate.arch is None or candidate.val_accuracy_search is not None:
        return network
    accuracy = next(
        m.get("short_val_accuracy")
        for m in context.result("training")["models"]
        if m["arch_id"] == network.arch_id
    )
    if accuracy is None and not context.trains:
        (metrics,) = context.shared_weights(context.archs([candidate.arch]))
        accuracy = float(metrics["val_accuracy"]) if isinstance(metrics, dict) else None
    return replace(network, candidate=replace(candidate, val_accuracy_search=accuracy))


def _export_all(
    context: RunContext, networks: list[Finalist], failed: Failures
) -> list[tuple[Finalist, Exported]]:
    """The networks whose file is good, with it; those whose file is not join `failed`."""
    exported = []
    for network in networks:
        trained = read_trained(context, network)
        try:
            exported.append((network, _export(context, network, trained)))
        except OSError:  # the disk, which the next attempt may find in order
            raise
        except Exception as error:  # one network, as a baseline on pixels
            failed.append((network, _reason(error)))
            context.run.log.warn(f"{network.arch_id} is not exported: {_reason(error)}")
    return exported


def read_trained(context: RunContext, network: Finalist) -> Trained:
    """What the training of the network left."""
    trained = read_final(context, network, context.config.seed)
    if trained is None:
        raise HwnasError(f"the training of {network.arch_id} left no result in {context.path / FINAL_FOLDER}")
    return trained


def _export(context: RunContext, network: Finalist, trained: Trained) -> Exported:
    candidate = network.candidate
    blocks = []
    if candidate.arch is not None:
        blocks = context.space.describe(context.space.from_string(candidate.arch))
    model = export_model(
        context.data.task.finish(trained.module()),
        context.data,
        context.path / "models" / network.arch_id,
        arch_id=network.arch_id,
        network=network.network,
        dot=dot_text(blocks, network.arch_id),
        batch=context.config.batch,
        costs=candidate.predicted,
        facts={"blocks": blocks, "origin": candidate.origin, "pick": candidate.pick},
    )
    if context.form is None:
        return model
    return export_int8(model, context.data, context.form)


def _point(
    context: RunContext, network: Finalist, model: Exported, measurements: Mapping[str, Measured]
) -> FrontPoint:
    """A row of the final table, of the file that the target runs; the manifest of the model says the same."""
    test_batches = eval_batches(context.data, "test", eval_batch(context.data.area))
    module = context.data.task.finish(read_trained(context, network).module())
    logits = outputs_of(module, test_batches, context.data.task).kept
    of_float = _columns(context, model.onnx, measurements[network.arch_id], logits)
    model = model.noted(**_facts(context, of_float))
    int8, columns = int8_path(model), of_float
    if int8 is not None:
        columns = _columns(context, int8, measurements[_int8_key(network)], logits)
        model.noted(int8={**model.manifest["int8"], **_facts(context, columns)})
        columns |= {f"fp32_{name}": of_float[name] for name in _BESIDE}
    predicted = network.candidate.predicted
    deployed = measurements[network.arch_id if int8 is None else _int8_key(network)]
    costs = {**with_measured(predicted, deployed), "size_mb": columns["size_mb"]}
    inside = all(b.violation(costs) <= 0 for b in context.budgets if b.metric in costs)
    return network.candidate.point(network.arch_id, measured=columns, feasible=inside)


def _columns(context: RunContext, file: Path, measured: Measured, torch_logits: LogitArray) -> dict[str, Any]:
    """What is known of one file."""
    validation, test = (onnx_accuracy(file, context.data, split) for split in ("val", "test"))
    return {
        **columns_of(measured),
        "val_accuracy": validation.accuracy,
        "test_accuracy": test.accuracy,
        **more_metrics(test),
        **test_parts(context, test),
        "size_mb": file.stat().st_size / 1e6,
        "label_disagreements": test.disagreements(torch_logits),
        "test_images": len(test.labels),
    }


def more_metrics(test: OnnxScore) -> dict[str, float]:
    """The other metrics of the task, and where the score is no share of samples, its 95 % interval."""
    task = test.task
    others = {
        f"test_{name}": value
        for name, value in task.metrics(test.logits, test.labels).items()
        if name != task.metric.name
    }
    if task.metric.counted:
        return others
    low, high = bootstrap(task.scorer(test.logits, test.labels), len(test.labels))
    return {**others, "test_accuracy_low": low, "test_accuracy_high": high}


def _facts(context: RunContext, columns: dict[str, Any]) -> dict[str, Any]:
    """The same for the manifest."""
    latency = {
        **{
            k: columns[k]
            for k in (
                "latency_p50_ms",
                "latency_ci_low_ms",
                "latency_ci_high_ms",
                "clock",
                "flag",
                "flag_reason",
            )
        },
        "target": context.device.described,
        "context": dict(context.device.context),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    scores = {k: columns[k] for k in ("val_accuracy", "test_accuracy")}
    return {"latency": latency, **outward(scores, context.data.task)}


def _int8_key(network: Finalist) -> str:
    return f"{network.arch_id} int8"
