"""What *was* measured: latency tables, scikit-learn predictors, calibration and their files."""
