"""Gradient search: one loop, and the parts that a row of `methods.METHODS` names.

Here: relaxations, policies, hypergradients, objectives, decoders, the loop, and the single-path training
of the shared weights. Not here: what a mix, a space or a supernet is (`mix`, `space`, `networks`).
"""
