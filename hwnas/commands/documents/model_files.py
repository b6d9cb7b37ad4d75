"""ONNX files and folders of them, one after the other; a file that fails ends nothing but itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hwnas.core.words import counted
from lut.predictor.models.input_shapes import Shapes
from lut.predictor.models.input_values import Values
from lut.predictor.models.model_file import read_models
from targets.errors import DamagedFileError, HwnasError, UsageError

SUFFIX = ".onnx"

FailedFiles = dict[str, HwnasError]
"""Why a file has no result, by its name."""

R = TypeVar("R")


def find_models(paths: Sequence[Path], say: Callable[[str], None]) -> list[Path]:
    """The files as given, each folder replaced by the ONNX files in and below it, in order of their names.

    say: told of the other files of a folder. UsageError for a folder without an ONNX file.
    """
    files: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            files[path] = None
            continue
        inside = sorted(
            Path(folder) / name
            for folder, _, names in os.walk(path)
            for name in names
            if not name.startswith(".")
        )
        models = [file for file in inside if file.suffix.lower() == SUFFIX]
        rest = [file for file in inside if file.suffix.lower() != SUFFIX and not _is_data_of(file, models)]
        others = Counter(file.suffix.lower() or "no suffix" for file in rest)
        said = ", ".join(f"{suffix} x {n}" for suffix, n in others.most_common(4))
        if not models:
            raise UsageError(
                f"{path} is a folder without any {SUFFIX} file" + (f" ({said})" if said else "; it is empty")
            )
        if others:
            n = sum(others.values())
            say(f"note: {path}: {counted(n, 'other file')} {'is' if n == 1 else 'are'} left out ({said})")
        files |= dict.fromkeys(models)
    return list(files)


def _is_data_of(file: Path, models: Sequence[Path]) -> bool:
    """Whether a file holds the weights of a model beside it, as exporters call it: `model.onnx.data`."""
    return any(file.name.startswith(model.name) for model in models if model.parent == file.parent)


class ModelFiles:
    """The models of several files, each read when it is its turn."""

    def __init__(self, paths: Sequence[Path], shapes: Shapes, values: Values) -> None:
        """UsageError for shapes and values of inputs that no file has."""
        self._arguments = (paths, shapes, values)
        read_models(*self._arguments)  # checks them, and reads none yet
        self.names = tuple(map(str, paths))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, bytes | HwnasError]]:
        return read_models(*self._arguments)


def without_failures(
    models: Mapping[str, bytes], job: Callable[[Mapping[str, bytes]], Mapping[str, R]], failed: FailedFiles
) -> dict[str, R]:
    """The answers of a job for several models at once, less those that it fails for.

    An error that names a model puts it into `failed`, and the job is done again without it; any other is
    raised.
    """
    left = dict(models)
    while left:
        try:
            return dict(job(left))
        except HwnasError as error:
            named = [name for name in left if name in str(error)]
            if not named:
                raise
            worst = max(named, key=len)  # `a.onnx` is in `aa.onnx` too
            failed[worst] = error
            del left[worst]
    return {}


def failures_json(failed: FailedFiles) -> dict[str, dict[str, Any]]:
    """As `--json` has them."""
    return {name: {"error": str(error), "exit_code": error.exit_code} for name, error in failed.items()}


def exit_code_of(codes: Sequence[int]) -> int:
    """Of a command that has gone on after failures: theirs where it is one, else that of a bad file."""
    return codes[0] if len(set(codes)) == 1 else DamagedFileError.exit_code
