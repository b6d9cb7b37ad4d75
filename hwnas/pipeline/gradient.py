"""Stage 5: the gradient search from a copy of the shared weights, the expected latency in its objective."""

from __future__ import annotations

from hwnas.gradient.method_file import find_method
from hwnas.gradient.search import GradientSearch, SearchSettings
from hwnas.gradient.stage_supernets import search_start

from . import steps
from .search_history import GENOTYPES, Recorder, Traces
from .work import Outcome, Work

N_SEEDS = 6
"""Decoded architectures that join the first generation of the front: the argmax and samples of the policy."""


def search_gradient(work: Work) -> Outcome:
    """Write the traces; the result holds the decoded architectures, the method's own first."""
    train, val = work.batches("train", 2, augmented=True), work.batches("val", 2, augmented=True)
    n_steps = work.plan["search_steps"]
    settings = SearchSettings(
        n_steps,
        max(1, n_steps // 12),
        work.config.seed,
        bf16=work.config.bf16,
        compile=work.config.compile,
    )
    method = find_method(work.config.method)
    search = GradientSearch(
        work.space,
        search_start(work.space, work.supernet, method),
        work.costs,
        work.search_budgets,
        method,
        train,
        val,
        settings,
        device=work.config.device,
    )
    traces = Traces(histories=work.config.alpha_history, trackers=work.config.trackers)
    before = work.result("supernet")["log"]
    with Recorder(work.path, search, traces, before=before, facts={"data": work.config.data}) as recorder:
        steps.run(work, "gradient", search, n_steps, on_step=recorder.on_step)
        recorder.write()
    seeds = search.seeds(N_SEEDS)
    rows = [
        {"arch": work.space.key(s.arch), "origin": s.origin, "log_prob": s.log_prob, **price}
        for s, price in zip(seeds, work.price([s.arch for s in seeds]), strict=True)
    ]
    best = rows[0]
    work.run.log(
        f"{work.config.method}: {best['arch']} ({best['origin']}), predicted {best['latency_ms']:.3g} ms"
    )
    return Outcome({"seeds": rows}, ("alphas.npz", "train_stats.csv", GENOTYPES))
