"""Networks of torchvision, timm and hwnas's spaces as ONNX, with random weights, and folders of ONNX files.

    python -m benchmarks.zoo acceptance|development|small|small_development [--cache DIR] [--only NAME ...]

exports the networks of `zoo_acceptance.toml` into the cache and runs each once. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import tomllib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from targets.errors import DamagedFileError, UsageError, did_you_mean
from targets.files import safe_name, write_atomic

if TYPE_CHECKING:
    from torch import nn

LISTS = {"acceptance": "timm", "development": "torchvision", "small": "", "small_development": ""}
"""The lists, and where networks whose name holds no source come from."""
LIST_FILE = Path(__file__).with_name("zoo_acceptance.toml")
CACHE = Path(tempfile.gettempdir()) / "hwnas-zoo"
"""Where every benchmark keeps exported networks, unless told otherwise: the names tell versions apart."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A named architecture at its input size."""

    source: str
    name: str
    image_size: int


def entries(which: str, only: Sequence[str] = ()) -> list[Entry]:
    """The networks of a list, in its order."""
    table = tomllib.loads(LIST_FILE.read_text())
    if which not in LISTS:
        raise UsageError(f"zoo: no list {which!r}; {did_you_mean(which, LISTS)}")
    unknown = [name for name in only if name not in table[which]]
    if unknown:
        raise UsageError(f"zoo: {which} has no {unknown[0]!r}; {did_you_mean(unknown[0], table[which])}")
    chosen = [(n, size) for n, size in table[which].items() if not only or n in only]
    return [_entry(name if "/" in name else f"{LISTS[which]}/{name}", size) for name, size in chosen]


def _entry(name: str, size: int) -> Entry:
    source, _, short = name.partition("/")
    return Entry(source, short, size)


def exported(entry: Entry, cache: Path, *, batch: int = 1) -> Path:
    """The network as an ONNX file in the cache, made if it is not there; the same weights every time."""
    from hwnas.exporting.export import EXPORTER, onnx_bytes

    identity = (entry.source, _version(entry.source), entry.name, entry.image_size, batch, EXPORTER)
    digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
    prefix = "" if entry.source in ("timm", "torchvision") else f"{entry.source}-"
    path = cache / f"{prefix}{safe_name(entry.name)}-{digest}.onnx"
    if not path.is_file():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the tracer says about other people's control flow
            network, (n, *rest) = _network(entry)
            model = onnx_bytes(network, (n * batch, *rest))
        cache.mkdir(parents=True, exist_ok=True)
        write_atomic(path, model)
    return path


def folder(path: Path) -> dict[str, Path]:
    """Every ONNX file of a folder, by its name."""
    files = {file.stem: file for file in sorted(path.glob("*.onnx"))}
    if not files:
        raise UsageError(f"zoo: no .onnx file in {path}")
    return files


def run_once(path: Path) -> None:
    """Load and run the file; DamagedFileError when its output is not made of finite numbers."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    image = np.random.default_rng(0).standard_normal(wanted.shape, dtype=np.float32)
    if not np.isfinite(session.run(None, {wanted.name: image})[0]).all():
        raise DamagedFileError(f"{path}: its output holds NaN or infinity")


def _version(source: str) -> str:
    from importlib.metadata import version

    return version(source if source in ("timm", "torchvision") else "hwnas").split("+")[0]


def _network(entry: Entry) -> tuple[nn.Module, tuple[int, ...]]:
    """The network, and the shape of its input."""
    import torch

    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no ONNX form
    shape = (1, 3, entry.image_size, entry.image_size)
    if entry.source == "tiny":
        from benchmarks.tiny_networks import TINY

        return TINY[entry.name](entry.image_size)
    if entry.source == "timm":
        import timm

        return timm.create_model(entry.name, pretrained=False), shape
    if entry.source == "torchvision":
        import torchvision

        extra = {"init_weights": False} if entry.name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(entry.name, weights=None, **extra), shape
    from hwnas.spaces import load_space

    # Images of 16 px are grey: the space as the demo searches it.
    channels = 1 if entry.image_size == 16 else 3
    space = load_space(entry.source, image_size=entry.image_size, in_channels=channels, n_classes=10)
    rng = np.random.default_rng(int(entry.name))
    drawn = (space.canonical(space.sample(rng)) for _ in iter(int, 1))
    arch = next(
        arch for arch in drawn if space.reads_image(arch)
    )  # else the runtime folds it into a constant
    return space.build(arch), (1, channels, *shape[2:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("list", choices=LISTS)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--cache", type=Path, default=CACHE)
    options = parser.parse_args()
    for entry in entries(options.list, options.only):
        path = exported(entry, options.cache)
        run_once(path)
        name, size_mb = f"{entry.source}/{entry.name}", path.stat().st_size / 1e6
        print(f"{name:40s} {entry.image_size:4d} {size_mb:7.1f} MB", flush=True)


if __name__ == "__main__":
    main()
