"""Probabilities as people read them, on pictures and in tables."""

from __future__ import annotations


def percent(probability: float) -> str:
    """Format a probability for people: whole percents; ``>99%`` and ``<1%`` for what would round to all or nothing."""
    if 0.995 <= probability < 1:
        return ">99%"
    if 0 < probability < 0.005:
        return "<1%"
    return f"{probability:.0%}"
