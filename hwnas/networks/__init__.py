"""Networks: layers, what their blocks cost on paper, the supernet, the counters of FLOPs.

Not here: which networks a search chooses from (`spaces`), and how a network is trained (`training`).
"""
