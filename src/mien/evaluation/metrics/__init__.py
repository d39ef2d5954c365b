"""Metrics with intervals, calibration, curves, conformal sets, significance."""
