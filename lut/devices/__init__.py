"""Where jobs run and what comes back: this machine, one behind ssh, a phone; the way there and its faults.

`device` opens the device of a target; `remote` and `native` are the two kinds.
What follows from the rows lives in `tables` and `kernels`.
"""
