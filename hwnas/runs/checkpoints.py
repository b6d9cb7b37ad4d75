"""Checkpoints: tensors in safetensors, the rest in JSON, both hashed, two generations kept.

Each save goes to new files and the JSON is written last, so a save that dies on the way leaves the two
generations before it as they were. safetensors itself loads a flipped bit without a word, hence the hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import DamagedFileError
from targets.files import safe_name, sha256, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 2
DAMAGED = ".damaged"

Loaded = tuple[int, "dict[str, Tensor]", "dict[str, Any]"]


class Checkpoints:
    """The folder `checkpoints/` of one run."""

    def __init__(self, folder: Path, warn: Callable[[str], None]):
        self._folder = folder
        self._warn = warn

    def save(self, stage: str, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """A new generation; then all but the last two are deleted. `state` is JSON, without NaN."""
        from safetensors.torch import save

        numbers = self._generations(stage)
        json_path = self._path(stage, numbers[-1] + 1 if numbers else 1)
        # clone: safetensors refuses tensors that share memory, as tied or viewed weights do
        raw = save({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()})
        write_atomic(json_path.with_suffix(".safetensors"), raw)
        document = {"schema": 1, "stage": stage, "step": step, "tensors_sha256": sha256(raw)}
        write_checksummed(json_path, {**document, "state": dict(state)})
        for number in numbers[: -(KEPT - 1)]:
            self._delete(self._path(stage, number))

    def load(self, stage: str) -> Loaded | None:
        """(step, tensors, state) of the newest good generation, or None when nothing was saved yet.

        A damaged newest generation is set aside under the name `*.damaged`, with a warning; when no
        generation is good, DamagedFileError tells why each is not, and nothing is touched.
        """
        faults: list[tuple[Path, DamagedFileError]] = []
        for number in reversed(self._generations(stage)):
            path = self._path(stage, number)
            try:
                loaded = self._read(path, stage)
            except DamagedFileError as error:
                faults.append((path, error))
                continue
            for bad, fault in faults:
                self._warn(f"{fault}; going on from step {loaded[0]}, the checkpoint before it")
                for file in (bad, bad.with_suffix(".safetensors")):
                    if file.exists():
                        file.replace(file.with_name(file.name + DAMAGED))
            return loaded
        if faults:
            reasons = "".join(f"\n  {error}" for _, error in faults)
            raise DamagedFileError(
                f"no checkpoint of stage {stage!r} is whole:{reasons}\nRestore one of them, or delete both "
                f"to have the stage started again on --resume"
            )
        return None

    def delete(self, stage: str) -> None:
        """Frees the disk once nothing of the stage will be resumed."""
        for number in self._generations(stage):
            self._delete(self._path(stage, number))

    def steps(self) -> dict[str, int]:
        """Stage -> step of its newest generation that can be read, without loading tensors."""
        found: dict[str, int] = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                document = read_checksummed(path, "checkpoint")
            except DamagedFileError:
                continue  # `load` reports it to who needs it
            found[document["stage"]] = max(document["step"], found.get(document["stage"], 0))
        return found

    def _read(self, path: Path, stage: str) -> Loaded:
        from safetensors.torch import load

        what = f"checkpoint of stage {stage!r}"
        document = read_checksummed(path, what)
        tensor_path = path.with_suffix(".safetensors")
        try:
            raw = tensor_path.read_bytes()
        except OSError as error:
            raise DamagedFileError(f"{what}: {tensor_path}: {error.strerror}") from None
        if sha256(raw) != document["tensors_sha256"]:
            raise DamagedFileError(f"{what}: {tensor_path} does not match its checksum")
        return document["step"], load(raw), document["state"]

    def _generations(self, stage: str) -> list[int]:
        """Numbers of the finished generations, oldest first; tensors without their JSON do not count."""
        prefix = f"{safe_name(stage)}-"
        tails = (path.stem.removeprefix(prefix) for path in self._folder.glob(f"{prefix}*.json"))
        return sorted(int(tail) for tail in tails if tail.isdecimal())

    def _path(self, stage: str, generation: int) -> Path:
        return self._folder / f"{safe_name(stage)}-{generation:06d}.json"

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)  # the JSON first: without it the tensors do not count
        path.with_suffix(".safetensors").unlink(missing_ok=True)
