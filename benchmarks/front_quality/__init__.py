"""How near to the true Pareto front strategies come with few evaluations; see `__main__`."""
