"""Stage 8: what picks are compared with in the same budgets: random architectures, MobileNetV3-small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

import lut

from ..baselines import WIDTHS, mobilenet_v3_small, widths_within
from ..budget import feasible
from ..flops import counter_macs
from . import networks
from .work import Outcome, Work


def choose_baselines(work: Work) -> Outcome:
    """Measure them on the target; the result lists those inside the budgets."""
    n = work.config.random_baselines
    if n == 0:
        return Outcome({"random": [], "mobilenet_v3": []})
    random = random_at(work, [p["measured"]["p50_ms"] for p in work.result("candidates")["picks"]], n)
    return Outcome({"random": random, "mobilenet_v3": mobilenets(work, n)})


def random_at(work: Work, latencies_ms: Sequence[float], n: int, stream: int = 0) -> list[dict[str, Any]]:
    """`n` random architectures, each the nearest of 200 to one of the latencies, inside the budgets."""
    rng = np.random.default_rng([work.config.seed, 0xBA5E, stream])
    places = np.quantile(latencies_ms, np.linspace(1, 0, n)) if n > 1 else [max(latencies_ms)]
    spare = 3
    chosen: dict[str, Any] = {}
    for place in places:
        pool = [work.space.sample(rng) for _ in range(200)]
        if place < min(work.costs.of(pool)["latency_ms"]):
            fastest = work.costs.minimum("latency_ms")[1]
            pool = [networks.towards(work.space, a, fastest, rng) for a in pool]
        prices = work.price(pool)
        near = sorted(range(len(pool)), key=lambda i: abs(np.log(prices[i]["latency_ms"] / place)))
        fits = [i for i in near if feasible(work.search_budgets, prices[i])][:spare]
        chosen[str(place)] = [(pool[i], prices[i]) for i in fits]
    files = {
        work.space.key(a): networks.arch_onnx(work.space, a, work.config.batch)
        for options in chosen.values()
        for a, _ in options
    }
    found = lut.measure(work.target, files, home=work.home, log=work.run.log) if files else {}
    out: dict[str, dict[str, Any]] = {}
    for options in chosen.values():
        for arch, price in options:
            key = work.space.key(arch)
            measured = asdict(found[key])
            if key not in out and feasible(work.budgets, {**price, "latency_ms": measured["p50_ms"]}):
                out[key] = {"arch": key, "origin": "random", "predicted": price, "measured": measured}
                break
    return list(out.values())


def mobilenets(work: Work, n: int) -> list[dict[str, Any]]:
    """MobileNetV3-small at up to `n` widths inside every budget, strides adapted to the image."""
    shape = {k: work.result("splits")[k] for k in ("image_size", "in_channels", "n_classes")}
    modules = {w: mobilenet_v3_small(w, **shape) for w in WIDTHS}
    files = {f"{w:g}": networks.module_onnx(m, work.input_shape) for w, m in modules.items()}
    found = lut.measure(work.target, files, home=work.home, log=work.run.log)
    prices = {
        w: {
            "macs": float(counter_macs(m, work.input_shape[1:])),
            "params": float(sum(p.numel() for p in m.parameters())),
            "size_mb": len(files[f"{w:g}"]) / 1e6,
            "latency_ms": found[f"{w:g}"].p50_ms,
        }
        for w, m in modules.items()
    }
    known = [b for b in work.budgets if b.metric in next(iter(prices.values()))]
    limit = max((b.limit for b in known if b.metric == "latency_ms"), default=np.inf)
    fits = [w for w in WIDTHS if feasible(known, prices[w])]
    if not fits:
        work.run.log("MobileNetV3-small is outside the budgets at every width, so it is no baseline here")
        return []
    widths = widths_within(
        lambda ws: [prices[w]["latency_ms"] for w in ws],
        float(limit),
        n,
        distinct=lambda w: prices[w]["params"],
        grid=fits,
    )
    return [
        {
            "width": w,
            "origin": "mobilenet_v3",
            "predicted": {k: v for k, v in prices[w].items() if k != "latency_ms"},
            "measured": asdict(found[f"{w:g}"]),
        }
        for w in widths
    ]
