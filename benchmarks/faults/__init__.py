"""Searches that are interrupted at random moments and go on: do they end as if nothing had happened?

`moments.py` draws when and how, `search_process.py` starts, interrupts and goes on, `compare.py` says in what
two runs differ, `__main__.py` counts.
"""
