"""From architectures to metrics: an evaluator answers accuracy and costs, and decides nothing.

Not here: which architectures are evaluated; that is a strategy of `front`.
"""
