"""What images there are, before anything is trained on them: classes, splits, sizes, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from targets.errors import DamagedFileError, HwnasError, UsageError

from . import splits as splitting
from .dataset import MEMORY_CAP_MB
from .few import images_per_class
from .gather import broken_text, gather, open_pieces, open_source, size_mb
from .pixels import ImageCache, OpenBar
from .source import SPLITS, TRAIN, DataRequest, Listing, data_request

_NAMED_PAIRS = 20
_FEW = 20  # training images of a class: fewer teach a network little


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """A data set as a search will see it.

    name: of the data set.
    n_images: that can be read.
    image_size: side in pixels, or length, that networks are given.
    in_channels: 1 for grey, 3 for colour; of signals as many as there are.
    kind: of the samples, a name of `hwnas.core.samples.KINDS`.
    memory_mb: of the decoded images.
    n_outputs: that a network needs: classes, tags or targets.
    splits: images of each split; empty where the images cannot be split.
    classes: the same for each class (tag, range of targets).
    counted: what `classes` are.
    images_per_class: the median over them.
    given_splits: the splits that the data themselves have.
    told_by: how many values each column has by which results are told apart.
    cut: how the splits came about.
    broken: why an image cannot be read, by name.
    copies: images whose pixels another one has too.
    in_two_classes: names of equal images of different classes, the first 20 pairs.
    notes: what was ignored, dropped or scaled, and what to look at.
    problems: why a search refuses the data.
    """

    name: str
    n_images: int
    image_size: int
    in_channels: int
    kind: str
    memory_mb: float
    n_outputs: int
    splits: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    counted: str
    images_per_class: float
    given_splits: tuple[str, ...]
    told_by: Mapping[str, int]
    cut: str
    broken: Mapping[str, str]
    copies: int
    in_two_classes: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    problems: tuple[HwnasError, ...]

    def require_sound(self) -> None:
        """Raise the first of the problems."""
        if self.problems:
            raise self.problems[0]

    def to_json(self) -> dict[str, Any]:
        """The facts, the problems as text."""
        values = asdict(replace(self, problems=()))
        return {**values, "problems": [str(problem) for problem in self.problems]}


def inspect_data(
    spec: str,
    image_size: int | None = None,
    seed: int = 0,
    *,
    root: Path,
    labels_csv: str | Path | None = None,
    task: str | None = None,
    label_columns: Sequence[str] = (),
    group_column: str | None = None,
    report_by: Sequence[str] = (),
    download: bool = False,
    skip_broken: bool = False,
    window: int | None = None,
    hop: int | None = None,
    tokens: str | None = None,
    clip_seconds: float | None = None,
    val_share: float | None = None,
    memory_cap_mb: float = MEMORY_CAP_MB,
    log: Callable[[str], None] = lambda text: None,
    progress: OpenBar | None = None,
) -> DataFacts:
    """Look at every image of a data set, with the arguments of `load_data`, which then reads no image twice.

    UsageError or DamagedFileError where there are no labelled images at all; what else a search would refuse
    stands in `problems`.
    """
    request = data_request(
        spec,
        root=root,
        download=download,
        labels_csv=labels_csv,
        task=task,
        label_columns=label_columns,
        group_column=group_column,
        report_by=report_by,
        window=window,
        hop=hop,
        tokens=tokens,
        clip_seconds=clip_seconds,
    )
    if request.task.texts:
        return _inspect_text(request, image_size, val_share)
    source = open_source(request)
    gathered = gather(
        source,
        image_size,
        ImageCache(root / "cache" / "data", log, progress),
        memory_cap_mb=memory_cap_mb,
    )
    listing, groups = gathered.source.listing, gathered.known_groups
    told = listing.kind.told
    problems: list[HwnasError] = []
    if gathered.broken and not skip_broken:
        problems.append(DamagedFileError(told(broken_text(gathered.broken))))
    try:
        with listing.kind.speaking():
            split = splitting.make_split(listing, groups, seed, val_share)
    except UsageError as error:
        split = None
        problems.append(error)
    classes = {} if split is None else _per_class(listing, split)
    notes = (*(listing if skip_broken else source.listing).notes, *(split.notes if split else ()))
    if split is not None:
        trained = listing.labels[split.indices(TRAIN)]
        notes += tuple(listing.task.notes(listing.class_names, trained))
    given_splits = tuple(name for i, name in enumerate(SPLITS) if i in listing.given)
    given_splits = given_splits if (listing.given != TRAIN).any() else ()
    return DataFacts(
        name=listing.name,
        n_images=len(listing.names),
        image_size=gathered.image_size,
        in_channels=listing.in_channels,
        kind=listing.kind.name,
        memory_mb=size_mb(gathered.source, gathered.image_size),
        n_outputs=len(listing.class_names),
        splits={} if split is None else {name: len(split.indices(i)) for i, name in enumerate(SPLITS)},
        classes=classes,
        counted=listing.task.readable.each,
        images_per_class=0.0 if split is None else images_per_class(listing, split),
        given_splits=given_splits,
        told_by={column.name: len(np.unique(column.values)) for column in listing.columns},
        cut=f"{', '.join(given_splits)} as given" if given_splits else "drawn by --seed",
        broken=gathered.broken,
        copies=len(groups) - len(np.unique(groups)),
        in_two_classes=tuple(_in_two_classes(listing, groups)),
        notes=tuple(map(told, (*notes, *_few_images(classes)))),
        problems=tuple(problems),
    )


def _inspect_text(request: DataRequest, length: int | None, val_share: float | None) -> DataFacts:
    """The facts of a text, whose pieces are of one class."""
    source = open_pieces(request, length, val_share)
    listing = source.listing
    counts = {name: int((listing.given == number).sum()) for number, name in enumerate(SPLITS)}
    kinds = listing.task.outputs_in_words(len(listing.class_names))
    return DataFacts(
        name=listing.name,
        n_images=len(listing.names),
        image_size=source.natural_size(),
        in_channels=listing.in_channels,
        kind=listing.kind.name,
        memory_mb=source.pieces.nbytes / 1e6,
        n_outputs=len(listing.class_names),
        splits=counts,
        classes={kinds: counts},
        counted="text",
        images_per_class=float(len(listing.names)),
        given_splits=(),
        told_by={},
        cut="in the order of the text",
        broken={},
        copies=0,
        in_two_classes=(),
        notes=listing.notes,
        problems=(),
    )


def _per_class(listing: Listing, split: splitting.Split) -> dict[str, dict[str, int]]:
    counts = {}
    for name, members in listing.task.members(listing.class_names, listing.labels):
        here = split.assignment[members]
        counts[name] = {part: int((here == number).sum()) for number, part in enumerate(SPLITS)}
    return counts


def _in_two_classes(listing: Listing, groups: npt.NDArray[np.int64]) -> Iterator[tuple[str, str]]:
    """Pairs of names, at most 20."""
    order, codes = np.argsort(groups, kind="stable"), listing.label_codes
    left = _NAMED_PAIRS
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if len(np.unique(codes[members])) < 2:
            continue
        for a, b in combinations(members.tolist(), 2):
            if codes[a] != codes[b] and left:
                left -= 1
                yield listing.names[a], listing.names[b]


def _few_images(classes: Mapping[str, Mapping[str, int]]) -> list[str]:
    few = {name: counts["train"] for name, counts in classes.items() if counts["train"] < _FEW}
    if not few:
        return []
    named = ", ".join(f"{name} ({n})" for name, n in sorted(few.items(), key=lambda item: item[1])[:5])
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return [f"few training images: {named}{more}; a network learns little from under {_FEW} of a class"]
