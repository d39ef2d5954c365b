"""Evaluation: metrics with confidence intervals, calibration, audits and reports. Nothing is chosen on PrivateTest."""
