"""What picks are compared with in the same budgets: random and published architectures, MobileNetV3-small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hwnas.core.budget import feasible
from hwnas.core.choice import Arch
from hwnas.networks.flops import counter_macs
from hwnas.networks.front_blocks import FrontBlock
from hwnas.pipeline import networks
from hwnas.pipeline.counts import needs_latency
from hwnas.pipeline.stages import Outcome
from hwnas.training.mobilenet import WIDTHS, mobilenet_v3_small, widths_within

from .candidate import Candidate
from .devices import Measured, with_measured
from .run_context import RunContext

KINDS = ("random", "mobilenet_v3", "published")
"""In the order in which they are trained and shown."""

_SPARES = 2
"""Architectures measured per place, because the first may be measured outside."""

_MOST_WORK = 3.0
"""MobileNetV3 with more MACs than this many times the largest pick's is not measured."""


def choose_baselines(context: RunContext) -> Outcome:
    """Measure them on the target; the result lists those inside the budgets."""
    n = context.counts.random_baselines
    if n == 0:
        return Outcome({kind: [] for kind in KINDS})
    baselines = measured_baselines(context, n, n)
    return Outcome({kind: [c.to_json() for c in members] for kind, members in baselines.items()})


def measured_baselines(
    context: RunContext, n_random: int, n_widths: int, stream: int = 0
) -> dict[str, list[Candidate]]:
    """At most so many of each, all measured together. stream: other random architectures for another one."""
    random, widths = _random(context, n_random, stream), _mobilenets(context)
    published = _published(context, n_widths)
    files = {
        key: networks.arch_onnx(context.space, arch, context.config.batch)
        for place in (*random, *published)
        for key, (arch, _) in place.items()
    }
    files |= {f"{w:g}": file for w, (_, file) in widths.items()}
    costs = {key: of_arch for place in (*random, *published) for key, (_, of_arch) in place.items()}
    measured = context.measure(files, costs) if needs_latency(context.config) else {key: {} for key in files}
    costs_by_width = {w: costs for w, (costs, _) in widths.items()}
    return {
        "random": _inside(context, random, measured, "random"),
        "mobilenet_v3": _spread_widths(context, costs_by_width, measured, n_widths),
        "published": _inside(context, published, measured, "published"),
    }


ArchCosts = dict[str, tuple[Arch, dict[str, float]]]
"""Architectures by key, with their predicted costs."""


def _random(context: RunContext, n: int, stream: int) -> list[ArchCosts]:
    """For each of `n` places among the picks' latencies the nearest of 200 random ones, and a spare."""
    rng = np.random.default_rng([context.config.seed, 0xBA5E, stream])
    picks = context.picks
    burdens, taken = [context.burden(p.predicted) for p in picks], {p.arch for p in picks}
    places: list[ArchCosts] = []
    for wanted in np.quantile(burdens, np.linspace(1, 0, n) if n > 1 else [1.0]):
        pool = [context.space.sample(rng) for _ in range(200)]
        if wanted < min(map(context.burden, context.costs_of(pool))):
            fastest = context.costs.minimum(context.burdens[0])[1]
            pool = [networks.towards(context.space, a, fastest, rng) for a in pool]
        pool = [arch for arch in pool if context.space.reads_image(arch)]
        costs = context.costs_of(pool)
        near = sorted(range(len(pool)), key=lambda i: abs(np.log(context.burden(costs[i]) / wanted)))
        fits = [i for i in near if feasible(context.search_budgets, costs[i])]
        new = [i for i in fits if context.space.key(pool[i]) not in taken]
        places.append({context.space.key(pool[i]): (pool[i], costs[i]) for i in new[:_SPARES]})
    return places


def _published(context: RunContext, n: int) -> list[ArchCosts]:
    """The `n` largest that the budgets allow of the architectures that others found in the space."""
    taken = {pick.arch for pick in context.picks}
    archs = [arch for arch in context.space.published() if context.space.key(arch) not in taken]
    if not archs:
        return []
    costs = context.costs_of(archs)
    fits = [i for i in range(len(archs)) if feasible(context.search_budgets, costs[i])]
    largest = sorted(fits, key=lambda i: -costs[i]["macs"])[:n]
    return [{context.space.key(archs[i]): (archs[i], costs[i])} for i in largest]


def _inside(
    context: RunContext, places: Sequence[ArchCosts], measured: Mapping[str, Measured], origin: str
) -> list[Candidate]:
    """The first of each place that is measured inside the budgets."""
    inside: dict[str, Candidate] = {}
    for place in places:
        for key, (_, costs) in place.items():
            if key not in inside and feasible(context.budgets, with_measured(costs, measured[key])):
                inside[key] = Candidate(arch=key, origin=origin, predicted=costs, measured=measured[key])
                break
    return list(inside.values())


def _mobilenets(context: RunContext) -> dict[float, tuple[dict[str, float], bytes]]:
    """MobileNetV3-small by width: costs and file. Widths far above the picks are left out, all for texts."""
    if context.data.kind.dims == 0:
        return {}
    out_of_reach = [device.name for device in context.devices if not device.reached]
    if out_of_reach:
        context.run.log(f"MobileNetV3-small is no baseline: {', '.join(out_of_reach)} cannot measure it here")
        return {}
    shape, front = context.network_shape, context.data.front_key
    most_macs = _MOST_WORK * max(p.predicted["macs"] for p in context.picks)
    networks_by_width: dict[float, tuple[dict[str, float], bytes]] = {}
    for width in WIDTHS:
        module = mobilenet_v3_small(width, **shape)
        macs = counter_macs(module, context.input_shape[1:])
        costs = {
            "macs": float(macs + (FrontBlock.parse(front).macs if front else 0)),
            "params": float(sum(p.numel() for p in module.parameters())),
        }
        if networks_by_width and costs["macs"] > most_macs:
            break
        file = networks.network_onnx(module, context.input_shape, front)
        networks_by_width[width] = ({**costs, "size_mb": len(file) / 1e6}, file)
    return networks_by_width


def _spread_widths(
    context: RunContext,
    costs: Mapping[float, dict[str, float]],
    measured: Mapping[str, Measured],
    n: int,
) -> list[Candidate]:
    """At most `n` widths inside every budget, evenly spread in log MACs."""
    if not costs:
        return []
    latencies = {device.metric for device in context.devices}
    known = [b for b in context.budgets if b.metric in {*latencies, *next(iter(costs.values()))}]
    fits = [
        width
        for width, of_width in costs.items()
        if feasible(known, with_measured(of_width, measured[f"{width:g}"]))
    ]
    if not fits:
        context.run.log("MobileNetV3-small is outside the budgets at every width, so it is no baseline here")
        return []
    widths = widths_within(
        lambda ws: [costs[w]["macs"] for w in ws],
        float("inf"),
        n,
        distinct=lambda w: costs[w]["params"],
        grid=fits,
    )
    return [
        Candidate(width=w, origin="mobilenet_v3", predicted=costs[w], measured=measured[f"{w:g}"])
        for w in widths
    ]
