"""A run on data that grew: what every network was worth before and is now, on the same test images."""

from __future__ import annotations

from hwnas.core.words import number

from .facts import trained
from .figure_sections import section
from .markup import Html, el, percent, table
from .run_files import RunFiles


def growth_section(run: RunFiles) -> Html | None:
    """A row per network; None for a run whose data did not grow."""
    growth = run.part("growth")
    if not growth:
        return None
    networks, counts = growth.get("networks") or {}, growth.get("test_images") or {}
    added = sum(int(number(n) or 0) for n in (growth.get("added") or {}).values())
    told = (
        f"{growth.get('kept')} images of the earlier run keep their split, {added} are new, "
        f"{growth.get('changed')} changed, {growth.get('removed')} are gone, {growth.get('left_out')} were "
        "left out. Before: the file of the earlier run. Accuracies that the search predicted or observed are "
        "of the earlier images."
    )
    rows = [
        (
            f"{point.label} ({point.arch_id})",
            *(
                percent((networks[point.arch_id].get(when) or {}).get(f"test_accuracy_{part}"))
                for part in ("added", "kept")
                for when in ("before", "after")
            ),
        )
        for point in trained(run)
        if point.arch_id in networks
    ]
    label = run.metric.label
    heads = [
        f"{label}, {counts.get(part)} {what}, {when}"
        for part, what in (("added", "new test images"), ("kept", "earlier ones"))
        for when in ("before", "now")
    ]
    return section("growth", "On data that grew", el("p", told), table(("Network", *heads), rows))
