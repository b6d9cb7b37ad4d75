"""The rows as the tables of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .jobs import Row, Rows

_EDGES = 6
_TRUTHS = ("c10_test", "c100_test", "in16_test")


def report(rows: Rows) -> str:
    """Markdown: one table per part that has rows, then what failed."""
    tables = (table_a(rows), table_bc(rows), table_d(rows), failures(rows))
    return "\n\n".join(filter(None, tables)) or f"{rows.path} has no rows yet"


def table_a(rows: Rows) -> str:
    """Per method, over its seeds: true accuracies, rank, skips; then what stands beside it."""
    done = _good(rows.of("a/"))
    searched: dict[str, list[Row]] = {}
    for row in done:
        method, *seed = row["job"].split("/")[1:]
        if seed:
            searched.setdefault(method, []).append(row)
    out = [
        _line(
            "a",
            "seeds",
            "CIFAR-10 test, %",
            "CIFAR-100",
            "ImageNet16-120",
            "rank of 15,625",
            "skips of 6",
            "CPU-s",
        ),
        _rule(8),
    ]
    for method, members in searched.items():
        cells = [_spread([r[k] for r in members]) for k in _TRUTHS]
        ranks = _list(f"{r['rank']:,}" for r in members)
        skips = _list(f"{r['skips']}{' (all)' if r['skips'] == _EDGES else ''}" for r in members)
        cpu_s = f"{np.mean([r['cpu_s'] for r in members]):.0f}"
        out.append(_line(f"`{method}`", len(members), *cells, ranks, skips, cpu_s))
    if "a/table" in rows:
        out += _references(rows["a/table"])
    return "\n".join(out) if done else ""


def _references(table: Row) -> list[str]:
    every = ["{:.2f} ± {:.2f}".format(*table["every"][d]) for d in table["every"]]
    best = [f"{v:.2f}" for v in table["best"].values()]
    lines = [_line("random cell (mean ± std of all)", "", *every, "", "", "")]
    for name, key in (("most parameters", "most_params"), ("all edges skip", "all_skip")):
        truth = table[key]
        lines.append(_line(name, "", *(f"{truth[k]:.2f}" for k in _TRUTHS), f"{truth['rank']:,}", "", ""))
    return [*lines, _line("optimum of each data set", "", *best, "", "", "")]


def table_bc(rows: Rows) -> str:
    """Every final cell: size, and accuracy on the classes of the search and on the others."""
    names = dict.fromkeys(r["job"].split("/")[1] for x in "bc" for r in _good(rows.of(f"{x}/")))
    out = [
        _line(
            "b, c",
            "skips of 16",
            "thousand params",
            "M MACs",
            "b: test",
            "c: test, other classes",
            "search CPU-s",
        ),
        _rule(7),
    ]
    for name in names:
        b, c = (rows[job] if (job := f"{x}/{name}") in rows else {} for x in "bc")
        any_of, search = b or c, f"search/{name}"
        size = [any_of["skips"], f"{any_of['params'] / 1e3:.0f}", f"{any_of['macs'] / 1e6:.1f}"]
        cpu_s = f"{rows[search]['cpu_s']:.0f}" if search in rows else ""
        out.append(_line(f"`{name}`", *size, _percent(b), _percent(c), cpu_s))
    return "\n".join(out) if names else ""


def table_d(rows: Rows) -> str:
    """Per budget the chosen pick beside the random architectures in the same budget."""
    out = [
        _line(
            "d",
            "budget ms",
            "p50 ms",
            "upper end",
            "inside",
            "test",
            "best random",
            "mean (n)",
            "picks inside",
        ),
        _rule(9),
    ]
    done = _good(rows.of("d/"))
    for row in done:
        budget_ms, models = row["budget_ms"], row["models"]
        chosen = next(m for m in models if m["arch_id"] == row["chosen"])
        picks = [m for m in models if m["pick"]]
        inside = sum(m["latency_ci_high_ms"] <= budget_ms for m in picks)
        random = [m["test_accuracy"] for m in models if m["origin"] == "random"]
        high_ms = chosen["latency_ci_high_ms"]
        out.append(
            _line(
                row["job"].removeprefix("d/"),
                f"{budget_ms:.3g}",
                f"{chosen['latency_p50_ms']:.4g}",
                f"{high_ms:.4g}",
                "yes" if high_ms <= budget_ms else "no",
                _percent(chosen),
                f"{100 * max(random):.1f} %",
                f"{100 * np.mean(random):.1f} % ({len(random)})",
                f"{inside} of {len(picks)}",
            )
        )
    return "\n".join(out) if done else ""


def failures(rows: Rows) -> str:
    """One line per job that failed."""
    return "\n".join(f"- `{r['job']}`: {r['failure']}" for r in rows.of("") if "failure" in r)


def _good(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "failure" not in row]


def _spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation (n - 1) of several, the value of one."""
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def _percent(row: Row) -> str:
    return f"{100 * row['test_accuracy']:.1f} %" if "test_accuracy" in row else ""


def _list(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def _rule(columns: int) -> str:
    return "|" + columns * "---|"


def _line(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"
