"""The currency of a search: choices, architectures, option probabilities, spaces, budgets, the registry.

Everything else in hwnas speaks in these types. Not here: what a network is made of (`networks`), which
spaces there are (`spaces`), and what an architecture costs (`costs`).
"""
