"""Every gradient method trained for real, in one run that can be stopped at any time: see `__main__`.

`jobs` runs jobs and keeps their rows; `subset` draws the images; `searching` makes one search and one
training; `nasbench`, `cells` and `budgets` list the jobs of the parts; `report` prints the tables. Not here:
how a method works (hwnas/gradient), and how long its step takes (benchmarks/search_step.py).
"""
