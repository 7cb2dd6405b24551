"""The statistics: what is remembered of the data that streamed by."""

from lostbits.statistics.extrema import Extrema
from lostbits.statistics.histogram import Distortion, Histogram
from lostbits.statistics.tally import Tally

ALL = (Extrema, Histogram, Tally)

__all__ = ["ALL", "Distortion", "Extrema", "Histogram", "Tally"]
