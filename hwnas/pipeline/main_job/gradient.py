"""The gradient search from a copy of the shared weights, the expected latency in its objective."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwnas.core.budget import feasible
from hwnas.gradient.device_fronts import device_fronts
from hwnas.gradient.method_file import find_method
from hwnas.gradient.search import GradientSearch, SearchSettings
from hwnas.gradient.stage_supernets import search_start
from hwnas.pipeline.search_history import GENOTYPES, Recorder
from hwnas.pipeline.stages import Outcome, run_loop

from .run_context import RunContext, left_out

N_RAYS = 3
"""Architectures of the front of each device that join it, where a policy knows devices."""

N_SEEDS = 6
"""Decoded architectures that join the first generation of the front: the argmax and samples of the policy."""


def search_gradient(context: RunContext) -> Outcome:
    """Write the history of the search; the result holds the decoded architectures, the method's own first."""
    if not context.counts.search_steps:
        return left_out(context, "no gradient search: nothing in this run needs it (--search-steps)")
    train, val = context.batches("train", 2, augmented=True), context.batches("val", 2, augmented=True)
    n_steps = context.counts.search_steps
    settings = SearchSettings(
        steps=n_steps,
        epoch_steps=max(1, n_steps // 12),
        seed=context.config.seed,
        bf16=context.config.bf16,
        compile=context.config.compile,
        graphs=not context.config.no_graphs,
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
        task=context.data.task,
        device=context.config.device,
        warn=context.run.log.warn,
    )
    if search.how_on_gpu:
        context.run.log(search.how_on_gpu)
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
    fronts = _device_fronts(context, search)
    result = {"seeds": rows + _seeds_of(context, fronts, rows), "device_fronts": fronts}
    return Outcome(result, ("alphas.npz", "train_stats.csv", GENOTYPES))


def _device_fronts(context: RunContext, search: GradientSearch) -> dict[str, list[dict[str, Any]]]:
    """Per metric of a device what the policy decodes to, from latency alone to accuracy alone."""
    fronts: dict[str, list[dict[str, Any]]] = {}
    for metric, rays in device_fronts(search).items():
        costs = context.costs_of([ray.arch for ray in rays])
        fronts[metric] = [
            {"arch": context.space.key(ray.arch), "preference": ray.preference, **of_arch}
            for ray, of_arch in zip(rays, costs, strict=True)
        ]
        known = ", ".join(f"{row[metric]:.3g}" for row in fronts[metric])
        context.run.log(f"{context.config.method}: {metric} of its front: {known}")
    return fronts


def _seeds_of(
    context: RunContext, fronts: dict[str, list[dict[str, Any]]], seeds: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Up to N_RAYS of each front, evenly spread among those inside the budgets that are no seeds yet."""
    known = {row["arch"] for row in seeds}
    new = []
    for rows in fronts.values():
        inside = [row for row in rows if feasible(context.search_budgets, row) and row["arch"] not in known]
        places = np.unique(np.linspace(0, len(inside) - 1, N_RAYS).round().astype(int)) if inside else ()
        for place in places:
            row = inside[place]
            known.add(row["arch"])
            new.append({**row, "origin": "ray"})
    return new
