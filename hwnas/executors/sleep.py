"""Tasks that only wait: for measuring and testing executors."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from targets.files import write_json

from .task import TaskContext

_STEP_S = 0.05


def sleep(document: Mapping[str, Any], folder: Path, context: TaskContext) -> None:
    """Wait `document["seconds"]`, then write the process that did, and the text of a file where one is named.

    starts: a file that gets a line whenever the task begins. lacks: as often it then lacks memory.
    """
    if "starts" in document:
        with Path(document["starts"]).open("a") as file:
            file.write(f"{os.getpid()}\n")
        if len(Path(document["starts"]).read_text().split()) <= document.get("lacks", 0):
            raise MemoryError
    total = max(1, round(float(document["seconds"]) / _STEP_S))
    for step in range(1, total + 1):
        time.sleep(_STEP_S)
        context.on_step(step, total)
    answer: dict[str, Any] = {"pid": os.getpid(), "cards": os.environ.get("CUDA_VISIBLE_DEVICES", "")}
    if "read" in document:
        answer["text"] = Path(document["read"]).read_text(encoding="utf-8")
    write_json(folder / "result.json", answer)
