"""The shared record of a run (`--storage`), under a name that no other run has."""

from __future__ import annotations

import uuid

from hwnas.front import Problem
from hwnas.front.optuna_study import StudyWriter
from hwnas.front.shared_record import SharedRecord, storage_url
from targets.files import read_json, write_json

from .run_context import RunContext

_FILE = "record.json"


def shared_record(context: RunContext, problem: Problem) -> SharedRecord | None:
    """The record of this run; None where there is none."""
    url = context.config.storage
    if url is None:
        return None
    path = context.path / _FILE
    if not path.exists():
        write_json(path, {"schema": 1, "study": f"{context.path.name}-{uuid.uuid4().hex[:8]}"})
    name = str(read_json(path, "the name of the study in the shared record")["study"])
    seen_at = storage_url(url).render_as_string()  # with the driver, which optuna-dashboard needs
    context.run.log(f"trials are recorded as study {name!r}: optuna-dashboard {seen_at}")
    return SharedRecord(url, StudyWriter(name, context.space, problem), context.run.log.warn)
