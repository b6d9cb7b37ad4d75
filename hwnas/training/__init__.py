"""Training one network from scratch, and many side by side in processes, by one recipe for all.

Not here: the training of shared weights; that belongs to the search (`gradient`).
"""
