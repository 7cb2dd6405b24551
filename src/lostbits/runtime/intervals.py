"""How far a share of few samples may be from that of many."""

FEW = 200  # answers below which a share is given with its interval
_NORMAL = 1.959963984540054  # of 95 %, both sides


def wilson(share: float, samples: int) -> tuple[float, float]:
    """The 95 % interval of a share that ``samples`` independent answers have shown.

    Wilson's (1927, Probable Inference, the Law of Succession, and Statistical Inference): it stays
    within 0 and 1, and does not shrink to a point where all answers are alike.

    >>> [round(end, 3) for end in wilson(1.0, 32)]
    [0.893, 1.0]
    """
    spread = _NORMAL**2 / samples
    middle = (share + spread / 2) / (1 + spread)
    half = (spread * share * (1 - share) + spread**2 / 4) ** 0.5 / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)
