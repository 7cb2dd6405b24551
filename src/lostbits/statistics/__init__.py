"""The statistics: what is remembered of the data that streamed by."""

from lostbits.statistics.activation_counts import Tally
from lostbits.statistics.extrema import Extrema
from lostbits.statistics.histogram import Distortion, Histogram

ALL = (Extrema, Histogram, Tally)

__all__ = ["ALL", "Distortion", "Extrema", "Histogram", "Tally"]
