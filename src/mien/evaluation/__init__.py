"""Evaluation: figures with their intervals, calibration, and nothing chosen on PrivateTest."""
