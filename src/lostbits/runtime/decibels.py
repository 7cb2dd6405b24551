"""Ratios of powers in decibels."""

import numpy as np


def decibels(power: float, error: float) -> float | None:
    """``10 log10(power / error)``; None where one of them is zero."""
    return float(10 * np.log10(power / error)) if power > 0 and error > 0 else None
