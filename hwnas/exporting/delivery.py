"""From a float network to a folder of files that are each compared, scored and measured.

A variant is good when it answers as the float file does and loses at most `max_drop` of the accuracy on
validation images. One that is not is kept as `*.rejected`, with the reason, and is never listed as good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import lut
from hwnas.runs.front_file import latency_columns
from lut.devices.device import device_context, int8_form
from targets import Target
from targets.errors import DamagedFileError
from targets.files import sha256, write_atomic

from .check import LAYER_CALLS, check_feeds, check_variant
from .int8 import calibration
from .onnx_score import OnnxScore, batch_of, onnx_logits, open_session
from .packaging import PLAIN, ROUNDING, Packaging
from .partitions import Partitions
from .promise import chosen, steps_to
from .source import ExportSource
from .variants import Making, Variant, tagged

Record = dict[str, Any]
"""What is known of one variant, as the manifest holds it."""

_EQUAL = 1e-12
"""Accuracies are quotients of counts: what differs less is the same."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One export.

    source: the float network. folder: where the files go. target: what they are for.
    home: the data home, with the reference speed of the target.
    max_drop: accuracy that a variant may lose against fp32, on validation images.
    packaging: what goes into the files beside the network.
    aware: whether an 8-bit file that loses too much is trained to lose less.
    """

    source: ExportSource
    folder: Path
    target: Target
    home: Path
    max_drop: float
    packaging: Packaging
    aware: bool = False

    @cached_property
    def reference(self) -> bytes:
        """The plain float network that all files are compared with."""
        return self.packaging.reference(self.source.model)

    @cached_property
    def plain_scores(self) -> dict[str, OnnxScore]:
        """What it answers on the whole validation and test split."""
        return self.scores(self.reference, PLAIN.of(self.packaging.task))

    def make(self, variant: Variant, float_record: Record | None) -> Record:
        """Write the file of a variant and say how good it is. float_record: that of fp32, made before."""
        data = self.source.data
        making = Making(
            model=self.source.model,
            form=int8_form(self.target) if variant.name == "int8" else None,
            calibration=None if data is None else self._calibration,
            target=self.target,
            aware=self._aware() if variant.keeps_promise and self.aware else None,
        )
        content, steps = self._made(variant, making, float_record)
        tolerance = variant.tolerance
        if tolerance is not None and self.packaging.layout is not None:
            tolerance = max(tolerance, ROUNDING)
        described = self.source.described
        normalisation = described.get("mean", ()), described.get("std", ())
        check = check_variant(
            content, self.reference, data, tolerance, variant.name, self.packaging, normalisation
        )
        scores = {} if check.reason or data is None else self.scores(content, self.packaging)
        reason = check.reason or self._lost(scores, float_record)
        file = f"{variant.file}.rejected" if reason else variant.file
        for stale in (variant.file, f"{variant.file}.rejected"):
            (self.folder / stale).unlink(missing_ok=True)
        write_atomic(self.folder / file, content)
        beside = {} if reason else variant.beside(content)
        for name, companion in beside.items():
            write_atomic(self.folder / name, companion)
        return {
            "name": variant.name,
            "does": variant.does,
            "file": file,
            "sha256": sha256(content),
            "size_bytes": len(content),
            "form": making.form.text if making.form else None,
            "check": check.to_json(),
            **{f"{split}_accuracy": score.accuracy for split, score in scores.items()},
            **{f"{split}_images": len(score.labels) for split, score in scores.items()},
            "label_disagreements": self._disagreements(scores),
            **self._agreement(scores),
            "steps": steps,
            "beside": {name: sha256(companion) for name, companion in beside.items()},
            "rejected": reason or None,
        }

    def measure(self, records: Sequence[Record], log: Callable[[str], None]) -> list[Record]:
        """The records of good files with what they cost on the target; all files side by side in one job."""
        files = {r["name"]: (self.folder / r["file"]).read_bytes() for r in records if not r["rejected"]}
        measured = lut.measure(self.target, files, home=self.home, log=log)
        memory: Mapping[str, Any] = {}
        if self.target.reach.transport != "adb":  # its runner does not tell
            memory = lut.measure_resources(self.target, files, ("memory",), log=log)
        return [
            {**r, **_costs(asdict(measured[r["name"]]), memory.get(r["name"]))} if r["name"] in files else r
            for r in records
        ]

    def conditions(self) -> dict[str, Any]:
        """What stands beside every latency."""
        context = device_context(self.target, "")
        return {
            "target": self.target.described,
            "context": context.to_json(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _aware(self) -> Callable[[], Iterator[bytes]]:
        """`check_aware` saw that there are a network and images."""
        from .aware import AwareTraining

        assert self.source.build is not None and self.source.data is not None
        form = int8_form(self.target)
        return AwareTraining(build=self.source.build, data=self.source.data, form=form).models

    def _calibration(self) -> Iterator[dict[str, Any]]:
        assert self.source.data is not None  # asked for where there are images
        session = open_session(self.source.model)
        return calibration(self.source.data, batch_of(session), session.get_inputs()[0].name)

    def _made(
        self, variant: Variant, making: Making, float_record: Record | None
    ) -> tuple[bytes, list[Record]]:
        """(the file, the steps that led to it), those measured side by side where there are several."""
        if not variant.keeps_promise or float_record is None or "val_accuracy" not in float_record:
            return self._packed(variant, making), []
        wanted = float_record["val_accuracy"] - self.max_drop - _EQUAL

        def accuracy(content: bytes) -> float:
            return self.scores(self._around(content), self.packaging, ("val",))["val"].accuracy

        _, calls = check_feeds(making.model, self.source.data, PLAIN)
        steps = steps_to(making, accuracy, wanted, calls[:LAYER_CALLS])
        content = chosen(steps, wanted).content
        if len(steps) == 1:
            return self._around(tagged(content, making.model, variant.name)), []
        files = {str(i): self._around(step.content) for i, step in enumerate(steps)}
        measured = lut.measure(self.target, files, home=self.home, log=lambda text: None)
        rows = [
            {
                "ranges": step.ranges,
                "aware_epochs": step.aware_epochs,
                "floats": list(step.floats),
                "float_share": step.float_share,
                "val_accuracy": step.val_accuracy,
                "size_bytes": len(step.content),
                "latency_p50_ms": measured[str(i)].p50_ms,
                "chosen": step.content == content,
            }
            for i, step in enumerate(steps)
        ]
        return self._around(tagged(content, making.model, variant.name)), rows

    def _around(self, content: bytes) -> bytes:
        """The packaging around a network; `check_packaging` saw that what it needs is known."""
        described = self.source.described
        return self.packaging.pack(content, described.get("mean", ()), described.get("std", ()))

    def _packed(self, variant: Variant, making: Making) -> bytes:
        """The file of the variant with the packaging: before it is converted, or around the 8-bit network."""
        if variant.packed_after:
            return self._around(variant.make(making))
        return variant.make(replace(making, model=self._around(self.source.model)))

    def _disagreements(self, scores: Mapping[str, OnnxScore]) -> int | None:
        """Test images that get another label than from the plain float network."""
        if "test" not in scores:
            return None
        return scores["test"].disagreements(self.plain_scores["test"].logits)

    def _agreement(self, scores: Mapping[str, OnnxScore]) -> Record:
        """How much of the answers is that of the plain float network, where more than a label can differ."""
        task = self.packaging.task
        if "test" not in scores or not task.planes:
            return {}
        share = task.agreement(scores["test"].logits, self.plain_scores["test"].logits)
        return {"pixel_agreement": share}

    def scores(
        self, content: bytes, packaging: Packaging, splits: Sequence[str] = ("val", "test")
    ) -> dict[str, OnnxScore]:
        """What a file with that packaging answers on every image of these splits."""
        data = self.source.data
        assert data is not None  # asked for where there are images
        session = open_session(content)
        size = batch_of(session)
        return {
            split: packaging.score(
                *onnx_logits(session, packaging.batches(data, split, size), packaging.task)
            )
            for split in splits
        }

    def _lost(self, scores: Mapping[str, OnnxScore], float_record: Record | None) -> str:
        """Why the accuracy is not good enough; '' where it is, or is not known."""
        if "val" not in scores or float_record is None:
            return ""
        before, after = float_record["val_accuracy"], scores["val"].accuracy
        if before - after <= self.max_drop + _EQUAL:
            return ""
        return (
            f"validation accuracy falls from {before:.4f} to {after:.4f}, by {before - after:.4f}; "
            f"allowed are {self.max_drop:g} (--max-drop)"
        )


def require_float(record: Record) -> Record:
    """The record of fp32; DamagedFileError where that is no good: then nothing else can be."""
    if record["rejected"]:
        raise DamagedFileError(f"the float network cannot be exported: {record['rejected']}")
    return record


def findings(records: Sequence[Record], partitions: Sequence[Partitions], provider: str) -> list[str]:
    """What a reader must not miss, a sentence each. provider: of the target."""
    good = {r["name"]: r for r in records if not r["rejected"]}
    sentences = [f"{r['name']} is rejected: {r['rejected']}." for r in records if r["rejected"]]
    base = good.get("fp32", {}).get("latency_p50_ms")
    for name, record in good.items():
        latency = record.get("latency_p50_ms")
        if name == "fp32" or latency is None or base is None:
            continue
        if latency > 1.02 * base:
            sentences.append(
                f"{name} is slower than fp32 on this target: {latency:.3g} against {base:.3g} ms; "
                "use fp32 there."
            )
    for cut in partitions:
        if cut.provider.startswith(provider) and not cut.whole:
            sentences.append(
                f"{cut.provider} runs {cut.supported_nodes} of {cut.nodes} nodes, in {cut.partitions} parts; "
                f"to the CPU go {cut.lost}."
            )
    sentences += [
        f"The latency of {name} is unstable: {record.get('flag_reason') or 'the machine was disturbed'}; "
        "measure again on a quiet device, with `hwnas bench`."
        for name, record in good.items()
        if record.get("flag") == "unstable"
    ]
    return sentences


def _costs(measurement: Mapping[str, Any], resources: Mapping[str, Any] | None) -> Record:
    row = latency_columns(measurement)
    if resources:
        memory = resources["memory"]
        row |= {key: memory[key] for key in ("load_ms", "first_run_ms", "peak_bytes")}
    return row
