"""Predict networks that the profile has never seen, beside the ceiling, the noise and the simpler ways.

    python -m benchmarks.latency_prediction [--parts fp32 int8 threads transfer] [--zoo DIR]

One job per context measures the generated networks of the profile and the networks to judge, interleaved,
each whole and kernel by kernel. Judged is what `hwnas predict` says: with the kernels that the target ran,
and with those that its layout rule gives (the host treated as far away). The ceiling prices each network
by its own measured kernels; the noise floor is the difference of the halves of its samples. `covered` is the
share of the judged networks that lie in the interval of their prediction (hwnas promises nine of ten).

Device minutes are no stop watch: they are what the runs of the profile's own networks took, added up from
the rows. The reference network, and the networks to judge, which run beside them, are not in them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import zoo
from benchmarks.peers import isolated_operators, macs_line, nearest_neighbour, nn_meter
from benchmarks.peers.common import Peer, calibrated
from benchmarks.profile_rows import TARGETS, Context, log, spent_s
from lut.predictor import profile
from lut.predictor.kernels import regress
from lut.predictor.kernels.features import KernelFeatures, features_of
from lut.predictor.kernels.fit import Fitted, fit_networks, summary, uncertainty_of
from lut.predictor.kernels.labels import Labelled
from lut.predictor.kernels.network import fit_profiler_cost, interval_ms, without_profiler
from lut.predictor.kernels.small import pooled
from lut.predictor.kernels.whole import total_ms
from lut.predictor.layout import LayoutRule, apply_rule, extended_kernels, learn_rule
from lut.predictor.transfer import transferred
from targets.errors import HwnasError

GENERATED = 330
"""As many as `hwnas profile` measures in its five minutes."""

TRANSFER = (0, 5, 10, 20)
FLOOR_PCT = 3.0
"""Noise floor above which the rows say as much of the machine as of a method; the table then says so."""

Line = dict[str, Any]
Floats = np.ndarray[Any, Any]


def networks_to_judge(options: argparse.Namespace) -> dict[str, bytes]:
    """By name, the ONNX bytes of the networks of the list or of the folder."""
    if options.zoo:
        return {name: path.read_bytes() for name, path in zoo.folder(options.zoo).items()}
    chosen = zoo.entries(options.list, options.only)
    return {f"{e.source}/{e.name}": zoo.exported(e, options.cache).read_bytes() for e in chosen}


def line_of(name: str, predicted: Floats, truth: Floats, minutes: float, covered: Any = None) -> Line:
    """A row of the table. covered: (n,) whether each network lies in its interval; None: there is none."""
    share = None if covered is None else float(100 * np.mean(covered))
    return {"method": name, **summary(predicted, truth), "covered_pct": share, "device_min": minutes}


def total(fitted: Fitted, parts: Iterable[Floats]) -> Floats:
    """Latencies of networks from the times of their kernels."""
    return np.array([fitted.overhead.latency_ms(float(p.sum()), len(p)) for p in parts])


def predicted(fitted: Fitted, networks: Sequence[Sequence[KernelFeatures]]) -> tuple[Floats, Floats]:
    """(n,) latencies of networks of these kernels, and (n, 2) their intervals, in ms."""
    times = [fitted.model.predict_ms(features) for features in networks]
    latency_ms = np.array(
        [
            total_ms(fitted.overhead, fitted.whole, features, of)[0]
            for features, of in zip(networks, times, strict=True)
        ]
    )
    intervals = [
        interval_ms(float(ms), uncertainty_of(fitted.model, features, of), fitted.quantiles)
        for ms, of, features in zip(latency_ms, times, networks, strict=True)
    ]
    return latency_ms, np.array(intervals)


def peers_of(context: Context, seconds: float, seed: int) -> dict[str, tuple[Peer, float]]:
    """(peer, device minutes) by name; `seconds` for each that measures kernels alone, 0: without them."""
    ours, minutes = context.generated, context.minutes
    found = {
        "nearest neighbour": (calibrated(nearest_neighbour.fit(ours), ours), minutes),
        "nn-Meter's forests, our kernels": (calibrated(nn_meter.fit(ours), ours), minutes),
        "MACs line": (macs_line.fit(ours), minutes),
    }
    if seconds:
        alone = {
            "isolated operators": isolated_operators.measured(
                context.zoo, context.target, seconds, log, seed
            ),
            "nn-Meter as shipped": nn_meter.as_shipped(ours, context.target, seconds, log, seed),
        }
        found |= {name: (peer, seconds / 60) for name, peer in alone.items()}
    return found


def judge(context: Context, peer_seconds: float, seed: int) -> tuple[Fitted, list[Line], list[Line]]:
    """(the predictor, the table, a line per network) of one context."""
    fitted = fit_networks(context.generated, seed)
    minutes, truth = context.minutes, context.truth
    own = [n.kernel_ms for n in without_profiler(context.zoo, fitted.profiler)]
    table = [line_of("ceiling: own measured kernels", total(fitted, own), truth, 0.0)]
    from_target = [n.features for n in context.zoo]
    for name, kernels in (("from the target", from_target), ("by layout rule", by_rule(context))):
        ours, intervals = predicted(fitted, kernels)
        covered = (intervals[:, 0] <= truth) & (truth <= intervals[:, 1])
        table.append(line_of(f"hwnas, kernels {name}", ours, truth, minutes, covered))
        if name == "from the target":
            table += strata(ours, truth, covered)
    roof = regress.fit(*pooled(without_profiler(context.generated, fitted.profiler)), seed).rooflines
    straight = total(fitted, [regress.roof_ms(roof, kernels) for kernels in from_target])
    table.append(line_of("rooflines only", straight, truth, minutes))
    for name, (peer, spent) in peers_of(context, peer_seconds, seed).items():
        unknown = sum(peer.unknown(n) for n in context.zoo)
        log(f"{name}: {unknown} kernels without an estimate")
        table.append(line_of(name, np.array([peer(n) for n in context.zoo]), truth, spent))
    return fitted, table, each_of(context, *predicted(fitted, from_target))


STRATA_MS = ((0.0, 0.1), (0.1, 1.0), (1.0, 10.0), (10.0, np.inf))


def strata(ours: Floats, truth: Floats, covered: Floats) -> list[Line]:
    """A row per class of measured latencies that has at least three networks."""
    rows = []
    for low, high in STRATA_MS:
        of = (truth >= low) & (truth < high)
        if of.sum() >= 3:
            title = f"  {of.sum()} of {low:g} to {high:g} ms"
            rows.append(line_of(title, ours[of], truth[of], 0.0, covered[of]))
    return rows


def each_of(context: Context, ours: Floats, intervals: Floats) -> list[Line]:
    """A line per network: measured, predicted with the kernels of the target, and its interval."""
    return [
        {
            "network": n.key,
            "measured_ms": float(t),
            "predicted_ms": float(p),
            "low_ms": float(low),
            "high_ms": float(high),
            "error_pct": float(100 * (p / t - 1)),
        }
        for n, t, p, (low, high) in zip(context.zoo, context.truth, ours, intervals, strict=True)
    ]


def by_rule(context: Context) -> list[list[KernelFeatures]]:
    """The kernels of the networks to judge, as the layout rule of the generated ones gives them."""
    rule = learnt_rule(context)
    files = {n.key: context.judged[n.key] for n in context.zoo}
    return [features_of(apply_rule(extended_kernels(data, key), rule)) for key, data in files.items()]


def learnt_rule(context: Context) -> LayoutRule:
    """From the first generated networks, as `hwnas profile` learns it."""
    chosen = context.generated[: profile.RULE_NETWORKS]
    return learn_rule([(extended_kernels(context.made[n.key], n.key), n.kernels) for n in chosen])


def transfers(base: Fitted, context: Context, seed: int) -> list[Line]:
    """Errors in another context, of the first one's predictor corrected with more and more networks of it."""
    table = []
    for n in TRANSFER:
        every = without_profiler(context.generated, fit_profiler_cost(context.generated))
        networks: Sequence[Labelled] = every[:n]
        found = transferred(base.model, base.overhead, networks, seed)
        moved = total(found, [found.model.predict_ms(n.features) for n in context.zoo])
        used = {one.key for one in networks}
        spent = sum(spent_s(row) for row in context.rows if row["key"] in used)
        table.append(line_of(f"{n} networks", moved, context.truth, spent / 60))
    return table


def show(title: str, table: Sequence[Line], context: Context, against: Sequence[str]) -> None:
    """Print a table, and what speaks against its rows."""
    print(f"\n{title}; noise floor {context.floor_pct:.1f} %")
    print(f"{'':34s} MAPE % median %  ±5 %  ±10 %  Spearman  covered %  device min")
    for line in table:
        covered = "" if line["covered_pct"] is None else f"{line['covered_pct']:.0f}"
        print(
            f"{line['method']:34s} {line['mape_pct']:6.2f} {line['median_pct']:8.2f} "
            f"{line['within_5_pct']:5.0f} {line['within_10_pct']:6.0f} "
            f"{line['spearman']:9.4f} {covered:>10s} {line['device_min']:11.1f}"
        )
    for text in against:
        print(text)


def objections(context: Context) -> list[str]:
    """Why the rows of a context are not to be trusted: a high noise floor, a profile that is refused."""
    out = []
    if context.floor_pct > FLOOR_PCT:
        out.append(f"the noise floor is above {FLOOR_PCT:g} %: measure again on a quieter machine")
    try:
        profile.steady({n.key: n for n in context.generated}, log, context.clock)
    except HwnasError as error:
        out.append(f"`hwnas profile` refuses these rows: {error}")
    return out


def main() -> None:
    """Measure, judge, print, write."""
    options = _options()
    judged = networks_to_judge(options)
    document: dict[str, Any] = {"networks": sorted(judged), "seed": options.seed}
    fitted: dict[str, Fitted] = {}
    contexts: dict[str, Context] = {}
    for part in [p for p in TARGETS if p in options.parts or (p == "fp32" and "transfer" in options.parts)]:
        log(f"{part}: measuring")
        contexts[part] = context = Context(part, judged, options)
        peer_seconds = options.peer_seconds if part == "fp32" else 0.0
        fitted[part], table, each = judge(context, peer_seconds, options.seed)
        against = objections(context)
        show(f"{part}: {len(context.zoo)} networks from {len(context.generated)}", table, context, against)
        document[part] = {
            "table": table,
            "networks": each,
            "floor_pct": context.floor_pct,
            "objections": against,
            "errors": dict(fitted[part].errors),
        }
    if "transfer" in options.parts:
        for part in [p for p in contexts if p != "fp32"]:
            table = transfers(fitted["fp32"], contexts[part], options.seed)
            against = document[part]["objections"]
            show(f"transfer from fp32 to {part}", table, contexts[part], against)
            document[f"transfer to {part}"] = table
    if options.json:
        options.json.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=["fp32"], choices=[*TARGETS, "transfer"])
    parser.add_argument("--list", default="acceptance", choices=sorted(zoo.LISTS))
    parser.add_argument("--only", nargs="*", default=(), help="names of the list")
    parser.add_argument("--zoo", type=Path, help="a folder of ONNX files instead of the list")
    parser.add_argument("--cache", type=Path, default=zoo.CACHE, help="of exported networks")
    parser.add_argument("--networks", type=int, default=GENERATED, help="generated networks of the profile")
    parser.add_argument(
        "--peer-seconds", type=float, default=90.0, help="of device time for each peer that measures; 0: none"
    )
    parser.add_argument("--out", type=Path, default=Path("/tmp/hwnas-latency-prediction"), help="of the rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
