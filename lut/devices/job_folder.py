"""The folder of a job whose caller names none; that of a remote device can be resumed."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from profilers import Timing
from profilers.store import forget_old
from targets import Target
from targets.files import sha256


@contextmanager
def job_folder(
    target: Target,
    models: Mapping[str, bytes],
    timing: Timing,
    kinds: Mapping[str, tuple[str, ...]] | None,
    facts: Mapping[str, Any],
) -> Iterator[Path]:
    """A folder that is removed in the end, unless a remote device failed: then the same job finds it again.

    The identity of a job: its models, kinds, timing but for the limit, target and the device's facts.
    """
    if target.reach.transport == "local":  # to measure again here costs no more than it did
        with tempfile.TemporaryDirectory(prefix="hwnas-job-") as temporary:
            yield Path(temporary)
        return
    import platformdirs

    identity = [
        target.to_json(),
        {key: sha256(data) for key, data in models.items()},
        dict(kinds or {}),
        {**dataclasses.asdict(timing), "seconds": None},
        dict(facts),
    ]
    name = f"{target.folder}-{sha256(json.dumps(identity, sort_keys=True).encode())[:16]}"
    jobs = Path(platformdirs.user_cache_dir("hwnas", appauthor=False)) / "jobs"
    forget_old(jobs)
    yield jobs / name
    shutil.rmtree(jobs / name, ignore_errors=True)
