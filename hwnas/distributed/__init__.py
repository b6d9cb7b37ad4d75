"""One training by several processes of this machine, each with a GPU or a core.

`processes` starts them by `torchrun` and hears of them, `rank_process` is what each of them does whatever is
trained, `ranks` sums up, `synced_norm` takes the statistics of norms over all. Not here: what is trained
(`training` one network, `pipeline.supernet_job` shared weights), other machines (`executors`).
"""
