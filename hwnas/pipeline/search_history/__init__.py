"""What a search leaves while it runs: statistics and logits of every epoch, drawings, trackers.

`Recorder` writes all of it after each epoch; `alphas.py` also reads the logits back, so that the architecture
of any epoch can be trained later. Nothing here decides anything in a search.
"""

from .alphas import alphas_npz, arch_at, read_alphas
from .recorder import GENOTYPES, Recorder
from .stats import stats_csv, write_stats
from .trackers import TRACKERS, check_trackers

__all__ = [
    "GENOTYPES",
    "TRACKERS",
    "Recorder",
    "alphas_npz",
    "arch_at",
    "check_trackers",
    "read_alphas",
    "stats_csv",
    "write_stats",
]
