"""What a sweep over a network has chosen."""

from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Affine
from lostbits.language import Message

Array = NDArray[np.float32]


@final
@dataclass
class Written:
    """What a sweep over the network chose.

    Attributes:
        constants: Weights and biases by tensor.
        plan: Grids that changed, by site key.
        skipped: Layers or biases that stayed as they were, with reasons.
        cached: How many layers or blocks an earlier run had decided.
    """

    constants: dict[str, Array] = field(default_factory=dict)
    plan: dict[str, Affine] = field(default_factory=dict)
    skipped: dict[str, Message] = field(default_factory=dict)
    cached: int = 0
