"""Stage 10: every trained network exported, checked against torch, measured on the target, and scored.

For a target of precision int8 the quantised file is what counts; the float file is measured beside it.
The test split is read here and nowhere else, after all decisions: the chosen pick is the best on validation.
What fails (a training that diverged, a file that does not answer as torch does, a baseline on pixels) stays
in the table with its reason; the run ends only where no pick is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lut
from hwnas.data import eval_batches
from hwnas.evaluators.shared_weights import SharedWeights
from hwnas.exporting.export import Exported, export_model
from hwnas.exporting.int8 import export_int8, int8_path
from hwnas.exporting.onnx_score import LogitArray, onnx_accuracy
from hwnas.report.drawing import dot_text
from hwnas.training.pixel_models import PixelModel, linear_accuracy, svc_accuracy
from hwnas.training.train import eval_batch, logits_of
from hwnas.training.workers import Trained
from lut.devices.device import int8_form
from targets.errors import HwnasError

from .training import FOLDER, job, networks_to_train
from .work import Outcome, Work, measured_columns

_BESIDE = ("latency_p50_ms", "val_accuracy", "test_accuracy", "size_mb")
"""What the final table says of the float file too, where the target runs another."""


def evaluate_models(work: Work) -> Outcome:
    """Write models/<arch_id>/; the result holds the points of the final table, apart the failed ones."""
    rows, failed = _trained(work)
    rows, exported = _export_all(work, rows, failed)
    files = {r["arch_id"]: e.onnx for r, e in zip(rows, exported, strict=True)}
    files |= {_int8_key(r): p for r, e in zip(rows, exported, strict=True) if (p := int8_path(e)) is not None}
    found = lut.measure(work.target, files, home=work.home, log=work.run.log)
    points = []
    with work.run.progress("evaluation", len(rows)) as bar:
        for row, model in zip(rows, exported, strict=True):
            points.append(_point(work, row, model, found))
            bar.advance(1, row["arch_id"])
    picks = [p for p in points if p["pick"] and p["feasible"]]
    if not picks:
        raise HwnasError("no pick was trained and measured inside the budgets; see the warnings above")
    chosen = max(picks, key=lambda p: (p["measured"]["val_accuracy"], -p["predicted"]["latency_ms"]))
    svc, linear = _on_pixels(work, "svc", svc_accuracy), _on_pixels(work, "linear", linear_accuracy)
    work.run.log(
        f"chosen on validation: {chosen['arch_id']} ({chosen['pick']}), test accuracy "
        f"{chosen['measured']['test_accuracy']:.4f}, {chosen['measured']['latency_p50_ms']:.3g} ms; "
        f"SVC {_or_failed(svc)}, linear {_or_failed(linear)}"
    )
    result = {
        "models": points,
        "failed": [_failed_point(row, reason) for row, reason in failed],
        "chosen": chosen["arch_id"],
        "svc_test_accuracy": svc["test_accuracy"],
        "svc": svc,
        "linear_test_accuracy": linear["test_accuracy"],
        "linear": linear,
    }
    return Outcome(result, tuple(f"models/{r['arch_id']}" for r in rows))


FailedRows = list[tuple[dict[str, Any], str]]
"""Networks without a file that can be used, and why."""


def _on_pixels(work: Work, name: str, fit: Callable[..., PixelModel]) -> dict[str, Any]:
    """What the baseline came to; `failure` says why where it came to nothing."""
    try:
        return {**asdict(fit(work.data, seed=work.config.seed)), "failure": None}
    except Exception as error:  # whatever happens in a baseline is no reason to lose the search
        reason = _reason(error)
        work.run.log.warn(f"the baseline {name} failed: {reason}")
        return {"name": name, "val_accuracy": None, "test_accuracy": None, "failure": reason}


def _or_failed(model: dict[str, Any]) -> str:
    return "failed" if model["failure"] else f"{model['test_accuracy']:.4f}"


def _reason(error: Exception) -> str:
    """The first line: what goes into a table."""
    text = (str(error).splitlines() or [""])[0]
    return text if isinstance(error, HwnasError) else f"{type(error).__name__}: {text}".rstrip(": ")


def _trained(work: Work) -> tuple[list[dict[str, Any]], FailedRows]:
    """The networks that were trained and those that failed, with shared-weight accuracies where known."""
    reasons = {m["arch_id"]: m["failure"] for m in work.result("training")["models"] if m["failure"]}
    rows = [
        r if "val_accuracy_shared" in r else {**r, "val_accuracy_shared": _shared(work, r)}
        for r in networks_to_train(work)
    ]
    trained = [r for r in rows if r["arch_id"] not in reasons]
    return trained, [(r, reasons[r["arch_id"]]) for r in rows if r["arch_id"] in reasons]


def _export_all(
    work: Work, rows: list[dict[str, Any]], failed: FailedRows
) -> tuple[list[dict[str, Any]], list[Exported]]:
    """The networks whose file is good, and their files; those whose file is not join `failed`."""
    good, exported = [], []
    for row in rows:
        trained = _outcome(work, row)
        try:
            exported.append(_export(work, row, trained))
        except OSError:  # the disk, which the next attempt may find in order
            raise
        except Exception as error:  # one network, as a baseline on pixels
            failed.append((row, _reason(error)))
            work.run.log.warn(f"{row['arch_id']} is not exported: {_reason(error)}")
        else:
            good.append(row)
    return good, exported


def _failed_point(row: dict[str, Any], reason: str) -> dict[str, Any]:
    """The row of the final table of a network without a file; its latency is that of fresh weights."""
    return {
        "arch_id": row["arch_id"],
        "arch": row["arch"],
        "origin": row["origin"],
        "pick": row.get("pick"),
        "predicted": {**row["predicted"], "val_accuracy_shared": row["val_accuracy_shared"]},
        "measured": measured_columns(row["measured"]),
        "feasible": True,
        "failure": reason,
    }


def _shared(work: Work, row: dict[str, Any]) -> float | None:
    if "arch" not in row["network"]:
        return None
    evaluator: SharedWeights = work.evaluator
    (metrics,) = evaluator(work.archs([row["arch"]]))
    return float(metrics["val_accuracy"]) if isinstance(metrics, dict) else None


def _outcome(work: Work, row: dict[str, Any]) -> Trained:
    from hwnas.training.training_job import read_result

    found = read_result(job(work, row, work.config.seed), work.path / FOLDER)
    if found is None:
        raise HwnasError(f"the training of {row['arch_id']} left no result in {work.path / FOLDER}")
    return found


def _export(work: Work, row: dict[str, Any], trained: Trained) -> Exported:
    blocks = work.space.describe(work.space.from_string(row["arch"])) if "arch" in row["network"] else []
    model = export_model(
        trained.module(),
        work.data,
        work.path / "models" / row["arch_id"],
        arch_id=row["arch_id"],
        network=row["network"],
        dot=dot_text(blocks, row["arch_id"]),
        batch=work.config.batch,
        costs=row["predicted"],
        facts={"blocks": blocks, "origin": row["origin"], "pick": row.get("pick")},
    )
    if work.target.precision != "int8":
        return model
    return export_int8(model, work.data, int8_form(work.target))


def _point(
    work: Work, row: dict[str, Any], model: Exported, found: Mapping[str, lut.Measurement]
) -> dict[str, Any]:
    """A row of the final table, of the file that the target runs; the manifest of the model says the same."""
    logits, _ = logits_of(
        _outcome(work, row).module(), eval_batches(work.data, "test", eval_batch(work.data.image_size))
    )
    own = _columns(work, model.onnx, found[row["arch_id"]], logits)
    model = model.noted(**_facts(work, own))
    int8, columns = int8_path(model), own
    if int8 is not None:
        columns = _columns(work, int8, found[_int8_key(row)], logits)
        model.noted(int8={**model.manifest["int8"], **_facts(work, columns)})
        columns |= {f"fp32_{name}": own[name] for name in _BESIDE}
    costs = {**row["predicted"], "latency_ms": columns["latency_p50_ms"], "size_mb": columns["size_mb"]}
    inside = all(b.violation(costs) <= 0 for b in work.budgets if b.metric in costs)
    return {
        "arch_id": row["arch_id"],
        "arch": row["arch"],
        "origin": row["origin"],
        "pick": row.get("pick"),
        "predicted": {**row["predicted"], "val_accuracy_shared": row["val_accuracy_shared"]},
        "measured": columns,
        "feasible": inside,
        "failure": None,
    }


def _columns(work: Work, file: Path, measured: lut.Measurement, torch_logits: LogitArray) -> dict[str, Any]:
    """What is known of one file."""
    validation, test = (onnx_accuracy(file, work.data, split) for split in ("val", "test"))
    return {
        **measured_columns(asdict(measured)),
        "val_accuracy": validation.accuracy,
        "test_accuracy": test.accuracy,
        "size_mb": file.stat().st_size / 1e6,
        "label_disagreements": test.disagreements(torch_logits),
        "test_images": len(test.labels),
    }


def _facts(work: Work, columns: dict[str, Any]) -> dict[str, Any]:
    """The same for the manifest."""
    latency = {
        **{
            k: columns[k]
            for k in ("latency_p50_ms", "latency_ci_low_ms", "latency_ci_high_ms", "clock", "flag")
        },
        "target": work.target.described,
        "context": work.table["context"],
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {"latency": latency, **{k: columns[k] for k in ("val_accuracy", "test_accuracy")}}


def _int8_key(row: dict[str, Any]) -> str:
    return f"{row['arch_id']} int8"
