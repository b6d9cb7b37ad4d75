"""What the parts of a gradient search and its loop share: the context of a step, passes, optimisers, nodes.

Here: what a step works with (`context`), the protocols that parts fulfil (`protocols`), forward and
backward passes, the two optimisers, the nodes of a cell, the options that a stage leaves, and the order
of architectures by probability. Not here: the parts (`gradient.parts`) and the loop (`gradient.search`).
"""
