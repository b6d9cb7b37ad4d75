"""What an architecture costs: tables contracted with option probabilities, exact bounds, energy.

One code path gives the exact cost of an architecture and the expected cost of a relaxed one. Not here:
how latencies are measured (`profilers`) and kept (`lut`).
"""
