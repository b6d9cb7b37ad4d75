"""What our predictor is compared with: other ways from the same profile, or a device, to a network's latency.

Every peer ends as a `common.Peer`: called with a network it gives milliseconds, and it tells how many kernels
it had no price for. `common.calibrated` puts the same straight line behind any of them.
"""
