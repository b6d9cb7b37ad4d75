"""`hwnas shrink`: a trained network loses channels until it is as fast as asked for, and learns again.

`sources` opens what the user names, `job` lists the stages, `stages` does them. How channels are found,
ranked and chosen stands in `hwnas/shrinking/`.
"""
