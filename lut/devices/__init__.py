"""Run profiler jobs on devices: this machine, a board behind ssh, an Android device.

`device` runs a job on the device of a target. `python_device` and `android` are the two kinds of device;
`turns` keeps two jobs off one device, `side_by_side` works on several devices at once. `reconnect` and
`job_folder` keep what is measured when a connection breaks. `measurement` is the latency
that comes back, `needs` says what a device lacks. What follows from the rows lives in `lut.tables` and
`lut.predictor`.
"""
