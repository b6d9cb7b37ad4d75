"""Runs: each is a list of stages over one run directory.

`main_job` goes from a data set, a target and budgets to checked ONNX files; `gradient_search` is one
search by the Python searchers, `single_training` one architecture from scratch. `stages` runs any of
them. Not here: what stages are made of (spaces, supernets, costs, the front, training).
"""
