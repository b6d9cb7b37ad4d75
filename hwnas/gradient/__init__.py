"""The gradient search: one loop, and the parts that a row of `methods.METHODS` names.

`parts/` holds what a row can name, `step/` what parts and loop share; the files beside them are the loop, the
table of methods, and the training of the evaluator's shared weights by single paths. Not here: choices and
option probabilities (`core`), spaces, supernets.
"""
