"""Choosing the codes of a weight better than by rounding each one to the nearest.

Numeric cores on arrays; nothing here knows what a graph is. A layer is ``y = W x``, its weights a
matrix of rows (outputs) by columns (inputs), one matrix per group of a convolution.
"""

from lostbits.rounding.gptq import Settings, Solution, round_rows
from lostbits.rounding.gram import Gram
from lostbits.rounding.gram_square_root import factored
from lostbits.rounding.layer_tasks import Part, Problem
from lostbits.rounding.learn_up_down import (
    Reconstruction,
    Rounded,
    adaround,
    adaround_block,
    confirmed,
)
from lostbits.rounding.learned_scale import LearnedScale
from lostbits.rounding.output_error import quadratic_error
from lostbits.rounding.regression import corrected_target
from lostbits.rounding.row_grid import RowGrid
from lostbits.rounding.scale_search import ScaleSearch, refit_scale, search_scale
from lostbits.rounding.soft_rounding import RoundedWeight
from lostbits.rounding.unfold import Window, patches, sample_positions

__all__ = [
    "Gram",
    "LearnedScale",
    "Part",
    "Problem",
    "Reconstruction",
    "Rounded",
    "RoundedWeight",
    "RowGrid",
    "ScaleSearch",
    "Settings",
    "Solution",
    "Window",
    "adaround",
    "adaround_block",
    "confirmed",
    "corrected_target",
    "factored",
    "patches",
    "quadratic_error",
    "refit_scale",
    "round_rows",
    "sample_positions",
    "search_scale",
]
