"""A site: one place where a value is quantized."""

from dataclasses import dataclass
from typing import Literal, final

Role = Literal["activation", "weight", "bias", "output"]


@final
@dataclass(frozen=True)
class Use:
    """One reader of a tensor: a node's input, or (node ``""``) an output of the graph."""

    node: str
    index: int


@final
@dataclass(frozen=True)
class Site:
    """A tensor in a role, with the readers that see it quantized.

    Attributes:
        tensor: Name in the user's model.
        role: ``output`` is an activation that leaves the graph.
        node: The node that produces an activation (``""`` for an input of the graph), or the
            first that reads a constant.
        uses: Readers of the quantized value. Others read the float value.
        group: Sites of one group share scale and zero point; named after its first tensor.
        axis: Channel axis, for statistics per channel; None when there is none.
        per_channel: Whether the quantizer may have one scale per index of ``axis``.
        scales: For a bias, the group of the input and the site of the weight whose scales it takes.
        wide: Whether it has the target's wide grid; see ``scale_marks``.
        dynamic: Whether each run takes a scale from its own values; parameters in a plan are then
            those of all samples, which no run uses.
    """

    tensor: str
    role: Role
    node: str
    uses: tuple[Use, ...]
    group: str
    axis: int | None = None
    per_channel: bool = False
    scales: tuple[str, str] | None = None
    wide: bool = False
    dynamic: bool = False

    @property
    def key(self) -> str:
        """Unique within a plan."""
        return f"{self.tensor}:{self.role}"

    @property
    def streams(self) -> bool:
        """Whether the value depends on the data."""
        return self.role in ("activation", "output")
