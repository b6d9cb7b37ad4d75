"""`hwnas.search`: the main job as a function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwnas.runs.config import load_config
from hwnas.runs.log import Log
from hwnas.runs.search_run import continued, default_path, enter_search

from .found_front import Front
from .preflight import preflight


def search(
    data: str | Path = "scenes",
    target: str | Sequence[str] = "host",
    budgets: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    quiet: bool = False,
    **options: Any,
) -> Front:
    """Search for networks, train the best, and export them checked and measured.

    data: scenes, digits, cifar10 and the like, an image folder, or a zip of one.
    target: the device whose latency counts, a name of `hwnas targets list` or a TOML file; or several.
    budgets: upper limits, as `latency_ms<=12`, on a further device as `latency_ms@pi<=12`; none: the median
        latency of 200 random architectures.
    out: the run directory; None: the first free `runs/<data>-<target>-<n>`. The same search in the same
        folder goes on where it stopped, and is read where it is done; another one is refused.
    quiet: show warnings only.
    options: any other option of `hwnas search`, with underscores: `image_size=96, picks=3, minutes=60`.

    >>> import hwnas
    >>> front = hwnas.search("photos/", budgets=["latency_ms<=12"], minutes=60)  # doctest: +SKIP
    >>> front.to_pandas()[["pick", "measured_latency_p50_ms", "measured_test_accuracy"]]  # doctest: +SKIP
    >>> front.onnx(front.best)  # doctest: +SKIP
    """
    given = {"data": data, "target": target, "budgets": tuple(budgets), **options}
    if "continue_from" in options:  # images, devices and budgets are then those of that run
        defaults = {"data": "scenes", "target": "host", "budgets": ()}
        given = {k: v for k, v in given.items() if k not in defaults or v != defaults[k]}
    config, checked = load_config(
        None, {name: str(v) if isinstance(v, Path) else v for name, v in given.items()}, spell=str
    )
    config = continued(config, checked, spell=str)
    log = Log(quiet=quiet)
    preflight(config, log)
    path = default_path(config) if out is None else Path(out)
    with enter_search(path, config, given=checked, log=log) as run:
        log(f"run directory {path}")
        import torch

        from . import main_job

        threads = torch.get_num_threads()
        try:
            main_job.search(run)
        finally:
            torch.set_num_threads(threads)
    return Front.read(path)
