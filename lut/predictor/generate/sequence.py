"""The sequence of networks to profile that belongs to a seed.

A latency predictor needs coverage more than volume. Kinds are dealt from a shuffled deck, so that any prefix
of the sequence has seen all of them nearly equally often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count, islice
from random import Random
from typing import TypeVar

from targets.errors import UsageError

from .ends import STEMS, Stem
from .forms import FAVOUR, FORMS, TURNS, Form
from .graph import GraphBuilder
from .network import Generated, block_network
from .operators import OPERATORS, operators
from .rows import ROWS, BlockRow
from .small import SMALL_FORMS

T = TypeVar("T")

Maker = Callable[[str, Random], Generated]
"""Takes the key of a network and what it is drawn with."""


def generate(n: int, seed: int) -> list[Generated]:
    """The first n networks of the sequence that belongs to the seed."""
    if n < 0:
        raise UsageError(f"networks to generate: {n}, must be at least 0")
    return list(islice(sequence(seed), n))


def sequence(seed: int) -> Iterator[Generated]:
    """The networks that belong to the seed, without end, each made when it is asked for; forms in turn."""
    makers = _makers(seed)
    for index in count():
        make = makers[TURNS[index % len(TURNS)]]
        yield make(f"generated-{seed}-{index:04d}", Random(f"network {seed} {index}"))


def _makers(seed: int) -> Mapping[str, Maker]:
    """What makes a network, by form; each form deals the kinds of blocks from a deck of its own."""
    makers: dict[str, Maker] = {
        form.name: partial(
            _blocks,
            form,
            _dealt(_deck(form), f"rows {seed} {form.name}"),
            _dealt(STEMS, f"stems {seed} {form.name}"),
        )
        for form in FORMS
    }
    makers |= {name: partial(_small, name) for name in SMALL_FORMS}
    return {**makers, "operators": partial(_operators, _dealt(tuple(OPERATORS), f"operators {seed}"))}


def _deck(form: Form) -> tuple[BlockRow, ...]:
    return tuple(
        row for row in ROWS for _ in range(row.copies * (FAVOUR if row.name in form.favoured else 1))
    )


def _dealt(cards: tuple[T, ...], seed: str) -> Iterator[T]:
    """The cards, shuffled anew each time that all have been dealt."""
    rng = Random(seed)
    while True:
        yield from rng.sample(cards, len(cards))


def _blocks(
    form: Form, deck: Iterator[BlockRow], stem_deck: Iterator[Stem], key: str, rng: Random
) -> Generated:
    stages = rng.choice(form.blocks)
    rows = list(islice(deck, min(rng.choice(form.kinds), stages) if form.kinds else stages))
    rows += rng.choices(rows, k=stages - len(rows))
    return block_network(key, form, rows, list(islice(stem_deck, form.stems)), rng)


def _operators(names: Iterator[str], key: str, rng: Random) -> Generated:
    g = GraphBuilder()
    images, results = operators(g, rng, names)
    return Generated(
        key=key,
        form="operators",
        macs=g.macs,
        rows=(),
        onnx=lambda: g.onnx_bytes(images, results, typed=False),
    )


def _small(name: str, key: str, rng: Random) -> Generated:
    g = GraphBuilder()
    x, y = SMALL_FORMS[name](g, rng)
    return Generated(key=key, form=name, macs=g.macs, rows=(), onnx=lambda: g.onnx_bytes([x], [y]))
