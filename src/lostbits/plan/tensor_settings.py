"""Wishes for single tensors, ``--set TENSOR=SETTING``."""

from dataclasses import dataclass
from typing import final

from lostbits.errors import TargetError, close_match
from lostbits.estimator import Estimator, RowEstimator
from lostbits.estimators import MEMBERS, estimator
from lostbits.graph.scale_marks import Scaling
from lostbits.grid import Grid
from lostbits.target import Rule


@final
@dataclass(frozen=True)
class Override:
    """A wish for one site that differs from the target's rule (``--set TENSOR=...``).

    Attributes:
        tensor: Which tensor.
        method: Another range method, by name or made.
        bits: Another width.
        per_channel: One scale per channel, where the target's rule has one per tensor.
        asymmetric: A zero point of its own, where the target's rule has none.
        unsigned: The same numbers as unsigned codes, around a zero point in the middle.
        as_float: Leave the tensor in float.
        scaling: What the node that makes the tensor does with scales; see ``graph.scale_marks``.
    """

    tensor: str
    method: str | Estimator | None = None
    bits: int | None = None
    per_channel: bool = False
    asymmetric: bool = False
    unsigned: bool = False
    as_float: bool = False
    scaling: Scaling | None = None

    @classmethod
    def parse(cls, text: str) -> "Override":
        """Read ``TENSOR=SETTING``: float, per_channel, asymmetric, unsigned, 16bit, or a method.

        For what a Concat makes also ``own_scales`` and ``split``.
        """
        tensor, _, setting = text.rpartition("=")
        if not tensor or not setting:
            raise TargetError("T004", f"--set {text}", repr(text))
        named = {
            "per_channel": cls(tensor, per_channel=True),
            "asymmetric": cls(tensor, asymmetric=True),
            "unsigned": cls(tensor, unsigned=True),
            "float": cls(tensor, as_float=True),
            "own_scales": cls(tensor, scaling=Scaling.OWN),
            "split": cls(tensor, scaling=Scaling.SPLIT),
            **{f"{bits}bit": cls(tensor, bits=bits) for bits in range(2, 17)},
        }
        methods = {name: cls(tensor, method=name) for name in MEMBERS.names}
        known = {**named, **methods}
        if setting not in known:
            raise TargetError(
                "T011", f"--set {text}", repr(setting), advice=close_match(setting, known)
            )
        return known[setting]

    def __str__(self) -> str:
        """As ``--set`` takes it; of several wishes at once, one.

        >>> str(Override.parse("x=16bit"))
        'x=16bit'
        """
        method = self.method if isinstance(self.method, str | None) else self.method.name
        bits = None if self.bits is None else f"{self.bits}bit"
        granted = {name: getattr(self, name) for name in ("per_channel", "asymmetric", "unsigned")}
        named = (name for name, wanted in {"float": self.as_float, **granted}.items() if wanted)
        return f"{self.tensor}={next(named, bits or method or self.scaling)}"

    def apply(self, rule: Rule) -> Rule:
        """``rule`` with the wish granted."""
        grid, symmetric = rule.grid, rule.symmetric and not self.asymmetric
        if (self.asymmetric or self.unsigned) and grid.signed:
            grid = Grid.of(grid.bits, signed=False)
        if self.bits is not None:
            grid = Grid.of(self.bits, signed=grid.signed)
        per_channel = rule.per_channel or self.per_channel
        method = self.method or rule.method
        # Chosen for whole tensors, and not for the few bins that are kept of a channel.
        by_row = isinstance(estimator(rule.method), RowEstimator)
        if self.per_channel and self.method is None and by_row:
            method = "min_max"
        return Rule(grid, symmetric, per_channel, method, rule.power_of_two, rule.minimum_range)
