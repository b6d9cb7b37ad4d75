"""The gradient search from a copy of the shared weights, the expected latency in its objective."""

from __future__ import annotations

from hwnas.gradient.method_file import find_method
from hwnas.gradient.search import GradientSearch, SearchSettings
from hwnas.gradient.stage_supernets import search_start
from hwnas.pipeline.search_history import GENOTYPES, Recorder
from hwnas.pipeline.stages import Outcome, run_loop

from .run_context import RunContext, left_out

N_SEEDS = 6
"""Decoded architectures that join the first generation of the front: the argmax and samples of the policy."""


def search_gradient(context: RunContext) -> Outcome:
    """Write the history of the search; the result holds the decoded architectures, the method's own first."""
    if not context.plan["search_steps"]:
        return left_out(context, "no gradient search: nothing in this run needs it (--search-steps)")
    train, val = context.batches("train", 2, augmented=True), context.batches("val", 2, augmented=True)
    n_steps = context.plan["search_steps"]
    settings = SearchSettings(
        steps=n_steps,
        epoch_steps=max(1, n_steps // 12),
        seed=context.config.seed,
        bf16=context.config.bf16,
        compile=context.config.compile,
    )
    method = find_method(context.config.method)
    search = GradientSearch(
        space=context.space,
        supernet=search_start(context.space, context.supernet, method),
        costs=context.costs,
        budgets=context.search_budgets,
        method=method,
        train=train,
        val=val,
        settings=settings,
        device=context.config.device,
    )
    before, facts = context.result("supernet")["log"], {"data": context.config.data}
    with Recorder(context.path, search, context.config, before=before, facts=facts) as recorder:
        run_loop(context.run, "gradient", search, recorder.on_step)
        recorder.write()
    seeds = search.seeds(N_SEEDS)
    rows = [
        {"arch": context.space.key(s.arch), "origin": s.origin, "log_prob": s.log_prob, **costs}
        for s, costs in zip(seeds, context.costs_of([s.arch for s in seeds]), strict=True)
    ]
    best = rows[0]
    context.run.log(
        f"{context.config.method}: {best['arch']} ({best['origin']}), predicted {best['latency_ms']:.3g} ms"
    )
    return Outcome({"seeds": rows}, ("alphas.npz", "train_stats.csv", GENOTYPES))
