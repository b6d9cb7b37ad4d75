"""The stages of an export: one per variant, then the measurement of all, then manifest and page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.exporting.card import model_card
from hwnas.exporting.delivery import Delivery, Record, require_float
from hwnas.exporting.golden import golden_pair
from hwnas.exporting.manifest import MANIFEST, files_of, manifest_of, read_manifest
from hwnas.exporting.packaging import Packaging
from hwnas.exporting.snippets import app_facts, snippets
from hwnas.exporting.source import ExportSource, check_aware, check_packaging
from hwnas.exporting.text_app import text_files
from hwnas.exporting.variants import Variant, wanted_variants
from hwnas.pipeline.stages import Outcome, RunStage, run_stages
from hwnas.report.export_page import export_page
from hwnas.runs.identity import EXPORT, Identity
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from hwnas.tasks import outward
from lut.home import data_home
from targets import Target
from targets.errors import UsageError
from targets.files import sha256, write_atomic, write_json

from .options import ExportOptions
from .request import read_request
from .sources import open_source

PAGE, CARD = "export.html", "README.md"


@dataclass(frozen=True)
class PreparedExport:
    """An export whose source, target and variants are known to fit."""

    source: ExportSource
    target: Target
    variants: tuple[Variant, ...]
    max_drop: float
    packaging: Packaging
    home: Path
    licence: str | None = None
    aware: bool = False

    def document(self) -> dict[str, Any]:
        """What would be exported, as JSON values."""
        return {
            "name": self.source.name,
            "source": self.source.kind,
            "target": self.target.described,
            "variants": [variant.name for variant in self.variants],
            "data": self.source.data.name if self.source.data else None,
            "max_drop": self.max_drop,
            "packaging": {"layout": self.packaging.layout, "softmax": self.packaging.softmax},
            "licence": self.licence,
            **({"qat": True} if self.aware else {}),
        }

    def identity(self) -> Identity:
        """All that decides the files."""
        images = None if self.source.data is None else sha256(repr(self.source.data.splits_json()).encode())
        values = {
            **self.document(),
            "model_sha256": sha256(self.source.model),
            "images_sha256": images,
            "normalisation": {k: self.source.described.get(k) for k in ("mean", "std")},
        }
        return Identity(kind=EXPORT, values=values)


@dataclass(frozen=True)
class ExportContext:
    """What the stages of an export share."""

    run: RunDir
    prepared: PreparedExport

    @property
    def delivery(self) -> Delivery:
        """The making of files."""
        known = self.prepared
        return Delivery(
            source=known.source,
            folder=self.run.path,
            target=known.target,
            home=known.home,
            max_drop=known.max_drop,
            packaging=known.packaging,
            aware=known.aware,
        )


def prepare_export(options: ExportOptions, log: Log) -> PreparedExport:
    """Check everything that can be wrong before a folder is made."""
    request = read_request(options)
    source = open_source(options, log)
    packaging = request.packaging if source.data is None else request.packaging.of(source.data.task)
    check_packaging(source, packaging)
    if options.qat:
        check_aware(source)
    variants = wanted_variants(request.names, request.target, has_images=source.data is not None)
    if packaging.task.texts and any(variant.name == "int8" for variant in variants):
        raise UsageError(
            f"int8: {source.name} carries its state in float from call to call; leave it out, or give a "
            "target of precision fp32"
        )
    return PreparedExport(
        source=source,
        target=request.target,
        variants=variants,
        max_drop=options.max_drop,
        packaging=packaging,
        home=data_home(options.home),
        licence=options.licence,
        aware=options.qat,
    )


def export_network(options: ExportOptions) -> tuple[Path, dict[str, Any]]:
    """(folder, manifest). What an earlier call of the same export did is not done again."""
    log = Log(quiet=options.quiet)
    prepared = prepare_export(options, log)
    identity = prepared.identity()
    path = (
        Path("exports", identity.default_folder(prepared.source.name).name)
        if options.out is None
        else Path(options.out)
    )
    with RunDir.enter(path, identity, log=log) as run:
        log(f"exporting into {path}; the same command goes on there after a stop")
        run_stages(_stages(prepared), ExportContext(run, prepared))
    return path, read_manifest(path)


def _stages(prepared: PreparedExport) -> list[RunStage[ExportContext]]:
    """In order."""
    return [
        *(
            RunStage(
                name=variant.name,
                does=f"make, compare and score {variant.name}, {variant.does}",
                work=partial(_make, variant),
            )
            for variant in prepared.variants
        ),
        RunStage(name="measure", does=f"measure the files on {prepared.target.name}", work=_measure),
        RunStage(
            name="describe", does="write the manifest, the card and the code that calls it", work=_describe
        ),
    ]


def _make(variant: Variant, context: ExportContext) -> Outcome:
    base = None if variant.name == "fp32" else context.run.result("fp32")
    record = context.delivery.make(variant, base)
    if base is None:
        require_float(record)
    if record["rejected"]:
        context.run.log.warn(f"{variant.name} is rejected and kept as {record['file']}: {record['rejected']}")
    return Outcome(record, tuple(files_of(record)))


def _measure(context: ExportContext) -> Outcome:
    records = [context.run.result(variant.name) for variant in context.prepared.variants]
    delivery = context.delivery
    return Outcome({"records": delivery.measure(records, context.run.log), **delivery.conditions()})


def _describe(context: ExportContext) -> Outcome:
    measured = dict(context.run.result("measure"))
    records: list[Record] = measured.pop("records")
    delivery = context.delivery
    manifest = manifest_of(delivery, records, measured, licence=context.prepared.licence)
    files = _for_apps(delivery, manifest)
    manifest["files"] |= {name: sha256(content) for name, content in files.items()}
    for name, content in files.items():
        write_atomic(context.run.path / name, content)
    write_atomic(context.run.path / CARD, model_card(manifest))
    write_atomic(context.run.path / PAGE, export_page(manifest))
    write_json(context.run.path / MANIFEST, outward(manifest, delivery.packaging.task))
    return Outcome({}, (MANIFEST, PAGE, CARD, *files))


def _for_apps(delivery: Delivery, manifest: dict[str, Any]) -> dict[str, bytes]:
    """The golden pair and the snippets, by name; none where there are no images to check them by."""
    if delivery.source.data is None:
        return {}
    if delivery.packaging.task.texts:
        return text_files(delivery, manifest)
    golden = golden_pair(delivery, manifest["variants"])
    facts = app_facts(manifest, golden, manifest["recommended"])
    return {**golden, **{name: text.encode() for name, text in snippets(facts).items()}}
