"""Random search without repetition: the baseline that every strategy has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.front.history import History
from hwnas.front.novelty import Novelty
from hwnas.front.strategy import Propose, StrategyContext, add_strategy

if TYPE_CHECKING:
    from hwnas.core.choice import Arch


@add_strategy(
    "random",
    title="Random search without repetition, the baseline",
    paper="Li & Talwalkar 2019, Random Search and Reproducibility for Neural Architecture Search, "
    "arXiv 1902.07638",
)
def random_search(context: StrategyContext) -> Propose:
    """Architectures drawn from the space (`Space.sample`), whatever the history says."""

    def propose(history: History, n: int, novelty: Novelty) -> list[tuple[Arch, str]]:
        return novelty.at_random(n)

    return propose
