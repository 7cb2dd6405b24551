"""The statistics: what is remembered of the data that streamed by."""

from lostbits.statistics.extrema import Extrema
from lostbits.statistics.histogram import Distortion, Histogram

ALL = (Extrema, Histogram)

__all__ = ["ALL", "Distortion", "Extrema", "Histogram"]
