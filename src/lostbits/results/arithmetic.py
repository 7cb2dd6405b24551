"""What kernels did with sums, as a result tells it."""

from dataclasses import dataclass, field
from typing import Literal, final

from lostbits.language import Message
from lostbits.runtime.figure_kinds import Named, Size


@final
@dataclass(frozen=True)
class LayerSums:
    """Sums of one layer that left their range.

    Attributes:
        node: The layer.
        weight: Its weight.
        kind: ``pairs`` of products in int16, or the whole ``sums``.
        share: Part of its sums that left.
        channels: The same of every output channel.
        reach: The largest size that its weights allow, in the kernel's order of products.
        reach_written: The same of pairs in the order of the file.
        limit: The largest size that fits.
        seen: The largest size of a whole sum in the data.
    """

    node: str
    weight: str
    kind: Literal["pairs", "sums"]
    share: Size
    channels: list[float]
    reach: int
    reach_written: int
    limit: int
    seen: int


@final
@dataclass(frozen=True)
class ArithmeticReport:
    """The arithmetic that was simulated.

    Attributes:
        name: As users type it.
        title: In a line.
        layers: Linear layers whose sums left their range in the data, those first that did most.
    """

    name: Named
    title: Message
    layers: list[LayerSums] = field(default_factory=list)
