"""Stage 8: what picks are compared with in the same budgets: random architectures, MobileNetV3-small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hwnas.core.budget import feasible
from hwnas.core.choice import Arch
from hwnas.networks.flops import counter_macs
from hwnas.training.mobilenet import WIDTHS, mobilenet_v3_small, widths_within

from . import networks
from .work import Outcome, Work

_SPARES = 2
"""Architectures measured per place, because the first may be measured outside."""

_MOST_WORK = 3.0
"""MobileNetV3 with more MACs than this many times the largest pick's is not measured."""


def choose_baselines(work: Work) -> Outcome:
    """Measure them on the target; the result lists those inside the budgets."""
    n = work.config.random_baselines
    if n == 0:
        return Outcome({"random": [], "mobilenet_v3": []})
    return Outcome(dict(measured_baselines(work, n, n)))


def measured_baselines(
    work: Work, n_random: int, n_widths: int, stream: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """At most so many of each, all measured together. stream: other random architectures for another one."""
    random, widths = _random(work, n_random, stream), _mobilenets(work)
    files = {
        key: networks.arch_onnx(work.space, arch, work.config.batch)
        for options in random
        for key, (arch, _) in options.items()
    }
    files |= {f"{w:g}": file for w, (_, file) in widths.items()}
    found = {key: asdict(measured) for key, measured in work.measure(files).items()}
    return {
        "random": _inside(work, random, found),
        "mobilenet_v3": _spread_widths(work, {w: price for w, (price, _) in widths.items()}, found, n_widths),
    }


Priced = dict[str, tuple[Arch, dict[str, float]]]
"""Architectures by key, with their predicted costs."""


def _random(work: Work, n: int, stream: int) -> list[Priced]:
    """For each of `n` places among the picks' latencies the nearest of 200 random ones, and a spare."""
    rng = np.random.default_rng([work.config.seed, 0xBA5E, stream])
    picks = work.result("candidates")["picks"]
    latencies_ms, taken = [p["predicted"]["latency_ms"] for p in picks], {p["arch"] for p in picks}
    out: list[Priced] = []
    for place in np.quantile(latencies_ms, np.linspace(1, 0, n) if n > 1 else [1.0]):
        pool = [work.space.sample(rng) for _ in range(200)]
        if place < min(work.costs.of(pool)["latency_ms"]):
            fastest = work.costs.minimum("latency_ms")[1]
            pool = [networks.towards(work.space, a, fastest, rng) for a in pool]
        pool = [arch for arch in pool if work.space.reads_image(arch)]
        prices = work.price(pool)
        near = sorted(range(len(pool)), key=lambda i: abs(np.log(prices[i]["latency_ms"] / place)))
        fits = [i for i in near if feasible(work.search_budgets, prices[i])]
        new = [i for i in fits if work.space.key(pool[i]) not in taken]
        out.append({work.space.key(pool[i]): (pool[i], prices[i]) for i in new[:_SPARES]})
    return out


def _inside(
    work: Work, groups: Sequence[Priced], found: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The first of each group that is measured inside the budgets."""
    out: dict[str, dict[str, Any]] = {}
    for options in groups:
        for key, (_, price) in options.items():
            if key not in out and feasible(work.budgets, {**price, "latency_ms": found[key]["p50_ms"]}):
                out[key] = {"arch": key, "origin": "random", "predicted": price, "measured": found[key]}
                break
    return list(out.values())


def _mobilenets(work: Work) -> dict[float, tuple[dict[str, float], bytes]]:
    """MobileNetV3-small by width: its costs and its file. Widths far above the picks' work are left out."""
    shape = {k: work.result("splits")[k] for k in ("image_size", "in_channels", "n_classes")}
    most_macs = _MOST_WORK * max(p["predicted"]["macs"] for p in work.result("candidates")["picks"])
    out: dict[float, tuple[dict[str, float], bytes]] = {}
    for width in WIDTHS:
        module = mobilenet_v3_small(width, **shape)
        price = {
            "macs": float(counter_macs(module, work.input_shape[1:])),
            "params": float(sum(p.numel() for p in module.parameters())),
        }
        if out and price["macs"] > most_macs:
            break
        file = networks.module_onnx(module, work.input_shape)
        out[width] = ({**price, "size_mb": len(file) / 1e6}, file)
    return out


def _spread_widths(
    work: Work, prices: Mapping[float, dict[str, float]], found: Mapping[str, dict[str, Any]], n: int
) -> list[dict[str, Any]]:
    """At most `n` widths inside every budget, evenly spread in log MACs."""
    known = [b for b in work.budgets if b.metric in {"latency_ms", *next(iter(prices.values()))}]
    fits = [
        w
        for w, price in prices.items()
        if feasible(known, {**price, "latency_ms": found[f"{w:g}"]["p50_ms"]})
    ]
    if not fits:
        work.run.log("MobileNetV3-small is outside the budgets at every width, so it is no baseline here")
        return []
    widths = widths_within(
        lambda ws: [prices[w]["macs"] for w in ws],
        float("inf"),
        n,
        distinct=lambda w: prices[w]["params"],
        grid=fits,
    )
    return [
        {"width": w, "origin": "mobilenet_v3", "predicted": prices[w], "measured": found[f"{w:g}"]}
        for w in widths
    ]
