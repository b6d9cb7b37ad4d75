"""What a run is: its options, directory, checkpoints, records of stages, lock and log.

Not here: what the stages do; that is `pipeline`.
"""
