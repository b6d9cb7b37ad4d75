"""Shared weights over a space: one network that runs every architecture of it.

A supernet runs the active options of a mix and knows no search method. Not here: the layers of
deployed networks (`networks`) and how shared weights are trained (`gradient`).
"""
