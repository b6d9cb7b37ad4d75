"""Stage 5: the gradient search from a copy of the shared weights, the expected latency in its objective."""

from __future__ import annotations

import io

import numpy as np

from targets.files import write_atomic

from ..gradient.method_file import find_method
from ..gradient.search import GradientSearch, SearchSettings
from . import steps
from .work import Outcome, Work

N_SEEDS = 6
"""Decoded architectures that join the first generation of the front: the argmax and samples of the policy."""


def search_gradient(work: Work) -> Outcome:
    """Write alphas.npz; the result holds the decoded architectures, the method's own first."""
    train, val = work.batches("train", 2, augmented=True), work.batches("val", 2, augmented=True)
    n_steps = work.plan["search_steps"]
    settings = SearchSettings(n_steps, max(1, n_steps // 12), work.config.seed)
    search = GradientSearch(
        work.space,
        work.supernet,
        work.costs,
        work.search_budgets,
        find_method(work.config.method),
        train,
        val,
        settings,
        device=work.config.device,
    )
    steps.run(work, "gradient", search, n_steps)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **search.alphas())
    write_atomic(work.path / "alphas.npz", buffer.getvalue())
    steps.write_stats(work, [*work.result("supernet")["log"], *search.log])
    seeds = search.seeds(N_SEEDS)
    rows = [
        {"arch": work.space.key(s.arch), "origin": s.origin, "log_prob": s.log_prob, **price}
        for s, price in zip(seeds, work.price([s.arch for s in seeds]), strict=True)
    ]
    best = rows[0]
    work.run.log(
        f"{work.config.method}: {best['arch']} ({best['origin']}), predicted {best['latency_ms']:.3g} ms"
    )
    return Outcome({"seeds": rows}, ("alphas.npz", "train_stats.csv"))
