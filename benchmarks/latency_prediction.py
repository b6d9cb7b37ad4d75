"""Predict networks that the profile has never seen, beside the ceiling, the noise and the simpler ways.

    python benchmarks/latency_prediction.py [--parts fp32 int8 threads transfer] [--zoo DIR]

One job per context measures the generated networks of the profile and the networks to judge, interleaved,
each whole and kernel by kernel. Judged is what `hwnas predict` says: with the kernels that the target ran,
and with those that its layout rule gives (the host treated as far away). The ceiling prices each network by
its own measured kernels; the noise floor is the difference of the halves of its samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import zoo
from peers import isolated_operators, macs_line, nearest_neighbour, nn_meter
from peers.common import Peer, calibrated

from lut.devices.device import run_rows
from lut.generate import generate
from lut.kernels import labels, profile, regress
from lut.kernels.features import kernels_of
from lut.kernels.fit import Fitted, fit_networks, pooled, summary
from lut.kernels.labels import Labelled
from lut.kernels.transfer import transferred
from lut.layout import LayoutRule, apply_rule, extended_kernels, learn_rule
from lut.models.quantise import quantised
from targets import Target, load_target
from targets.errors import HwnasError

GENERATED = 120
"""As many as `hwnas profile` measures in its five minutes."""

TARGETS = {"fp32": "host", "int8": "host-int8", "threads": "host-2-threads"}
TRANSFER = (0, 5, 10, 20)
FLOOR_PCT = 3.0

Line = dict[str, Any]


def log(text: str) -> None:
    """To stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def networks_to_judge(options: argparse.Namespace) -> dict[str, bytes]:
    """By name, the ONNX bytes of the networks of the list or of the folder."""
    if options.zoo:
        return {name: path.read_bytes() for name, path in zoo.folder(options.zoo).items()}
    chosen = zoo.entries(options.list, options.only)
    return {entry.name: zoo.exported(entry, options.cache).read_bytes() for entry in chosen}


def interleaved(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> dict[str, bytes]:
    """Both in one order, spread evenly."""
    places = [(i / len(part), key) for part in (first, second) for i, key in enumerate(part)]
    both = {**first, **second}
    return {key: both[key] for _, key in sorted(places)}


def in_precision(models: Mapping[str, bytes], target: Target) -> dict[str, bytes]:
    """The models as the target runs them; what cannot be quantised is left out, and said."""
    if target.precision != "int8":
        return dict(models)
    out = {}
    for key, data in models.items():
        try:
            out[key] = quantised(data)
        except HwnasError as error:
            log(f"left out: {key}: {error}")
    return out


class Context:
    """One context of the machine: its rows, and what follows from them."""

    def __init__(self, part: str, judged: Mapping[str, bytes], options: argparse.Namespace) -> None:
        """Measure, or read what is measured already."""
        self.target = load_target(TARGETS[part])
        made = {one.key: one.onnx() for one in generate(options.networks, options.seed)}
        self.made = in_precision(made, self.target)
        self.judged = in_precision(judged, self.target)
        models = interleaved(self.made, self.judged)
        timing = replace(profile.timing(1.0, options.seed), seconds=3600.0)
        folder = options.out / f"{part}-{len(self.made)}-{len(self.judged)}"
        self.rows = run_rows(
            self.target, models, timing, log, kinds=dict.fromkeys(models, ("time", "kernels")), folder=folder
        )
        found = labels.labelled(self.rows)
        self.generated = [found[key] for key in self.made if key in found]
        self.zoo = [found[key] for key in self.judged if key in found]

    @property
    def truth(self) -> np.ndarray[Any, Any]:
        """(n,) measured milliseconds of the networks to judge."""
        return np.array([network.latency_ms for network in self.zoo])

    @property
    def floor_pct(self) -> float:
        """Mean difference of the halves of the samples of the networks to judge."""
        return float(100 * np.mean([network.half_split for network in self.zoo]))

    def device_s(self) -> float:
        """Seconds that the profile's own networks took on the device: loading, warming up, sampling."""
        return sum(spent_s(row) for row in self.rows if row["key"] in self.made)


def spent_s(row: Mapping[str, Any]) -> float:
    """What a row cost: loading, the runs that warm up, and two calls per sample."""
    wall_s = np.array(row["wall_ms"]) / 1e3
    warm = 4 + (6 if row["inner"] > 1 else 0)
    return float(row["load_s"] + wall_s.sum() * (1 + row["inner"]) + warm * wall_s.mean())


def line_of(name: str, predicted: np.ndarray[Any, Any], truth: np.ndarray[Any, Any], minutes: float) -> Line:
    """A row of the table."""
    return {"method": name, **summary(predicted, truth), "device_min": minutes}


def total(fitted: Fitted, parts: Iterable[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Latencies of networks from the times of their kernels."""
    return np.array([fitted.overhead.latency_ms(float(p.sum()), len(p)) for p in parts])


def peers_of(context: Context, seconds: float, seed: int) -> dict[str, tuple[Peer, float]]:
    """(peer, device minutes) by name; `seconds` for each that measures kernels alone, 0: without them."""
    ours, minutes = context.generated, context.device_s() / 60
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
    minutes, truth = context.device_s() / 60, context.truth
    rule = learnt_rule(context)
    by_rule = [
        kernels_of(apply_rule(extended_kernels(context.judged[n.key], n.key), rule)) for n in context.zoo
    ]
    kernels, times = pooled(context.generated)
    roof = regress.fit(kernels, times, seed).rooflines
    ours = total(fitted, [fitted.model.predict_ms(n.kernels) for n in context.zoo])
    table = [
        line_of(
            "ceiling: own measured kernels", total(fitted, [n.kernel_ms for n in context.zoo]), truth, 0.0
        ),
        line_of("hwnas, kernels from the target", ours, truth, minutes),
        line_of(
            "hwnas, kernels by layout rule",
            total(fitted, map(fitted.model.predict_ms, by_rule)),
            truth,
            minutes,
        ),
        line_of(
            "rooflines only",
            total(fitted, [regress.roof_ms(roof, n.kernels) for n in context.zoo]),
            truth,
            minutes,
        ),
    ]
    for name, (peer, spent) in peers_of(context, peer_seconds, seed).items():
        unknown = sum(peer.unknown(n) for n in context.zoo)
        log(f"{name}: {unknown} kernels without a price")
        table.append(line_of(name, np.array([peer(n) for n in context.zoo]), truth, spent))
    each = [
        {
            "network": n.key,
            "measured_ms": float(t),
            "predicted_ms": float(p),
            "error_pct": float(100 * (p / t - 1)),
        }
        for n, t, p in zip(context.zoo, truth, ours, strict=True)
    ]
    return fitted, table, each


def learnt_rule(context: Context) -> LayoutRule:
    """From the first generated networks, as `hwnas profile` learns it."""
    chosen = context.generated[: profile.RULE_NETWORKS]
    return learn_rule([(extended_kernels(context.made[n.key], n.key), list(n.described)) for n in chosen])


def transfers(base: Fitted, context: Context, seed: int) -> list[Line]:
    """Errors in another context, of the first one's predictor corrected with more and more networks of it."""
    table = []
    for n in TRANSFER:
        networks: Sequence[Labelled] = context.generated[:n]
        found = transferred(base.model, base.overhead, networks, seed)
        predicted = total(found, [found.model.predict_ms(one.kernels) for one in context.zoo])
        used = {one.key for one in networks}
        spent = sum(spent_s(row) for row in context.rows if row["key"] in used)
        table.append(line_of(f"{n} networks", predicted, context.truth, spent / 60))
    return table


def show(title: str, table: Sequence[Line], floor_pct: float) -> None:
    """Print a table."""
    print(f"\n{title}; noise floor {floor_pct:.1f} %")
    print(f"{'':34s} MAPE % median %  ±5 %  ±10 %  Spearman  device min")
    for line in table:
        print(
            f"{line['method']:34s} {line['mape_pct']:6.2f} {line['median_pct']:8.2f} "
            f"{line['within_5_pct']:5.0f} {line['within_10_pct']:6.0f} "
            f"{line['spearman']:9.4f} {line['device_min']:11.1f}"
        )


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
        if part == "threads" and context.floor_pct > FLOOR_PCT:
            refuse(context)
            document[part] = {"refused": True, "floor_pct": context.floor_pct}
            continue
        fitted[part], table, each = judge(
            context, options.peer_seconds if part == "fp32" else 0.0, options.seed
        )
        show(f"{part}: {len(context.zoo)} networks from {len(context.generated)}", table, context.floor_pct)
        document[part] = {
            "table": table,
            "networks": each,
            "floor_pct": context.floor_pct,
            "errors": dict(fitted[part].errors),
        }
    if "transfer" in options.parts:
        for part in [p for p in contexts if p != "fp32"]:
            table = transfers(fitted["fp32"], contexts[part], options.seed)
            show(f"transfer from fp32 to {part}", table, contexts[part].floor_pct)
            document[f"transfer to {part}"] = table
    if options.json:
        options.json.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def refuse(context: Context) -> None:
    """Show that the profile refuses what cannot be measured here."""
    try:
        profile.steady({n.key: n for n in context.generated}, log, "wall")
    except HwnasError as error:
        print(f"\nthreads: refused, noise floor {context.floor_pct:.1f} %: {error}")
        return
    print(f"\nthreads: noise floor {context.floor_pct:.1f} % is above {FLOOR_PCT} %, not judged")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=["fp32"], choices=[*TARGETS, "transfer"])
    parser.add_argument("--list", default="acceptance", choices=sorted(zoo.LISTS))
    parser.add_argument("--only", nargs="*", default=(), help="names of the list")
    parser.add_argument("--zoo", type=Path, help="a folder of ONNX files instead of the list")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/hwnas-zoo"), help="of exported networks")
    parser.add_argument("--networks", type=int, default=GENERATED, help="generated networks of the profile")
    parser.add_argument(
        "--peer-seconds", type=float, default=90.0, help="of device time for each peer that measures; 0: none"
    )
    parser.add_argument("--out", type=Path, default=Path("/tmp/hwnas-latency-prediction"), help="of the rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    _: Callable[[], None] = main
    main()
