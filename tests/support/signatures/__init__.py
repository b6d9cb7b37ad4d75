"""What each gradient method is seen to do that plain DARTS is not: one signature per row of the table.

A signature takes a watched search (`Ran`) and fails where the row does not run its published algorithm. A row
that has the parts of another and differs in constants only shares its signature (`signature_of`). `swaps`
gives every row with one part of plain DARTS in the place of its own, for which the signature must fail.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from hwnas.gradient.method import Method, relax
from hwnas.gradient.methods import DARTS, METHODS
from hwnas.gradient.stage import Stage
from tests.support.signatures.dadarts import (
    dadarts,
    dal_on_alphas,
    hd_on_weights,
    topk_on_alphas,
    topk_on_weights,
)
from tests.support.signatures.darts import (
    darts,
    darts_2,
    darts_2_exact,
    hyperdarts,
    p_darts,
    pc_darts,
    reused,
)
from tests.support.signatures.elastic import elastic, ofa
from tests.support.signatures.sampled import (
    enas,
    enas_macro,
    enas_prior,
    fbnet,
    gdas,
    modnas,
    proxyless,
    proxyless_full,
    proxyless_rl,
    snas,
)
from tests.support.signatures.variants import (
    beta_darts,
    darts_minus,
    darts_pt,
    drnas,
    fair_darts,
    oles,
    robust_darts,
    smooth_adv,
    smooth_rs,
)
from tests.support.watched import Ran

__all__ = ["SIGNATURES", "algorithm", "signature_of", "swaps"]

SIGNATURES: dict[str, Callable[[Ran], None]] = {
    "darts": darts,
    "darts-2": darts_2,
    "darts-2-exact": darts_2_exact,
    "darts-2-reuse": lambda ran: reused(ran, "train", "val", "train", "train"),
    "darts-2-fast": lambda ran: reused(ran, "train", "val", "train"),
    "hyperdarts": hyperdarts,
    "p-darts": p_darts,
    "pc-darts": pc_darts,
    "dadarts": dadarts,
    "dadarts-hd-on-weights": hd_on_weights,
    "dadarts-topk-on-alphas": topk_on_alphas,
    "dadarts-topk-on-weights": topk_on_weights,
    "dadarts-dal-on-alphas": dal_on_alphas,
    "proxyless": proxyless,
    "proxyless-full": proxyless_full,
    "proxyless-rl": proxyless_rl,
    "enas": enas,
    "enas-prior": enas_prior,
    "enas-macro": enas_macro,
    "gdas": gdas,
    "snas": snas,
    "modnas": modnas,
    "drnas": drnas,
    "fair-darts": fair_darts,
    "darts-minus": darts_minus,
    "beta-darts": beta_darts,
    "smooth-darts-rs": smooth_rs,
    "smooth-darts-adv": smooth_adv,
    "oles": oles,
    "darts-pt": darts_pt,
    "robust-darts": robust_darts,
    "elastic": elastic,
    "ofa": ofa,
    "fbnet": fbnet,
}

_PARTS = ("policy", "hypergradient", "weight_rule", "regularisers", "decode", "callbacks")
_STAGE_PARTS = (
    "frozen",
    "warmup",
    "arch_every",
    "temperature",
    "start",
    "lr",
    "cells",
    "options",
    "elastic",
    "edges",
    "weight_rule",
)
"""What makes an algorithm; the other fields are constants and text."""


def algorithm(row: Method) -> tuple[Any, ...]:
    """The fields that make a row's algorithm: parts with their options, relaxations, stages without names."""
    parts = [getattr(row, field) for field in _PARTS]
    stages = [tuple(getattr(s, field) for field in ("share", *_STAGE_PARTS)) for s in row.stages]
    return (*parts, tuple(row.relax.parts.items()), tuple(stages))


def signature_of(row: Method) -> Callable[[Ran], None]:
    """The signature of a row: its own, or that of a row with the same algorithm."""
    if row.name in SIGNATURES:
        return SIGNATURES[row.name]
    for name, signature in SIGNATURES.items():
        if algorithm(METHODS[name]) == algorithm(row):
            return signature
    pytest.fail(
        f"method {row.name} has parts of its own, so it needs a signature: write a function that claims what "
        "the row does and plain DARTS does not (tests/support/signatures/), and add it to SIGNATURES"
    )


def swaps() -> list[Any]:
    """Each row with one distinguishing part swapped for plain DARTS's; places and stage fields one by one."""
    out: list[Any] = []
    plain_stage = Stage("search")
    for name in METHODS:
        row = METHODS[name]
        changes: list[tuple[str, dict[str, Any]]] = [
            (field, {field: getattr(DARTS, field)})
            for field in _PARTS
            if getattr(row, field) != getattr(DARTS, field)
        ]
        for place, own in row.relax.parts.items():
            if own != DARTS.relax.parts[place] and place != "virtual":
                all_places = row.relax.parts | {place: DARTS.relax.parts[place]}
                changes.append((f"relax.{place}", {"relax": relax(**all_places)}))
        for field in _STAGE_PARTS:
            plain = getattr(plain_stage, field)
            if any(getattr(s, field) != plain for s in row.stages):
                stages = tuple(dataclasses.replace(s, **{field: plain}) for s in row.stages)
                changes.append((f"stages.{field}", {"stages": stages}))
        for what, change in changes:
            out.append(pytest.param(name, dataclasses.replace(row, **change), id=f"{name}-{what}"))
    return out
