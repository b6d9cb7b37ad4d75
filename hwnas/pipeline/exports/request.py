"""What an export is asked for, as far as its options alone say: read before torch, images and the network."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.exporting.packaging import Packaging
from hwnas.exporting.variants import wanted_variants
from hwnas.pipeline.spellings import target_named
from targets import Target
from targets.errors import UsageError

from .options import ExportOptions


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """Variants for a target. names: of the variants; empty for the default of the target."""

    target: Target
    names: tuple[str, ...]
    packaging: Packaging


def read_request(options: ExportOptions) -> ExportRequest:
    """What the options ask for; UsageError or TargetError where a target, variant or layout is not known."""
    target = target_named(options.target)
    names = tuple(name.strip() for text in options.variants for name in text.split(",") if name.strip())
    if options.variants and not names:
        raise UsageError("--as names no file; give some of fp32, fp16, int8, ort, separated by commas")
    wanted = wanted_variants(names, target, has_images=True)  # images are known with the source
    if options.qat and "int8" not in [variant.name for variant in wanted]:
        raise UsageError("--qat trains for 8 bits, and no int8 file is asked for; give --as with int8")
    packaging = Packaging(layout=options.with_preprocessing, softmax=options.softmax)
    return ExportRequest(target=target, names=names, packaging=packaging)
