"""Samples to learn from: where they come from, how they are split, how they reach a network.

One file per source (scenes, digits, folder, table, torchvision) behind the protocol of `source`; `dataset`
joins source, pixels and splits, which `growth` extends; `inspection` says beforehand what is there; `batches`
serves them. Not here:
models, training, the accuracy of anything.
"""

from . import calls as _calls  # noqa: F401  (registers its name)
from . import digits as _digits  # noqa: F401  (registers its name)
from . import gestures as _gestures  # noqa: F401  (registers its name)
from . import markov as _markov  # noqa: F401  (registers its name)
from . import scenes as _scenes  # noqa: F401  (registers its name)
from . import shape_boxes as _shape_boxes  # noqa: F401  (registers its name)
from . import shape_masks as _shape_masks  # noqa: F401  (registers its name)
from . import shapes as _shapes  # noqa: F401  (registers its names)
from . import tilted as _tilted  # noqa: F401  (registers its name)
from . import torchvision as _torchvision  # noqa: F401  (registers its names)
from .augment import Augment
from .batches import Batches, eval_batches, file_batches
from .dataset import Data, load_data
from .growth import GrowthCounts, grown_splits
from .inspection import DataFacts, inspect_data
from .source import known_sources

__all__ = [
    "Augment",
    "Batches",
    "Data",
    "DataFacts",
    "GrowthCounts",
    "eval_batches",
    "file_batches",
    "grown_splits",
    "inspect_data",
    "known_sources",
    "load_data",
]
