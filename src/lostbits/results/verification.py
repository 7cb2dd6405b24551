"""What a file on a real runtime came to, beside the simulation and the float network."""

from dataclasses import dataclass, field
from typing import Literal, final

from lostbits.language import Message
from lostbits.runtime.figure_kinds import (
    Count,
    Digest,
    Named,
    Part,
    Several,
    Size,
)
from lostbits.runtime.metrics import Baseline

Parameter = Literal["scale", "zero_point", "axis", "rounding", "shape", "values", "quantizer"]
DeviationCause = Literal[
    "parameters",
    "float",
    "saturation",
    "shared_scale",
    "signed_factors",
    "one_code",
    "arithmetic",
]


@final
@dataclass(frozen=True)
class Defect:
    """A parameter or constant of a file that is not the planned one.

    Attributes:
        tensor: Whose it is.
        node: That computes an activation, or reads a constant.
        parameter: Which; ``rounding`` are codes of a constant on the planned grid, ``values``
            those of one that is in float, ``quantizer`` is one that is missing.
        expected: Planned; where several values differ, of the first that does.
        found: In the file.
        text: The same in words.
    """

    tensor: str
    node: str
    parameter: Parameter
    expected: str
    found: str
    text: Message


@final
@dataclass(frozen=True)
class Deviation:
    """How far one activation is from the simulation.

    Attributes:
        tensor: The activation.
        node: The node that computes it, without what is fused behind it.
        codes: Largest whole difference.
        share: Part of the values that differ by at least half a code.
        own_codes: Largest own difference.
        cause: What explains it.
        text: The same in words.
    """

    tensor: str
    node: str
    codes: Size
    share: Part
    own_codes: Size
    cause: DeviationCause
    text: Message


@final
@dataclass(frozen=True)
class FloatNodes:
    """Nodes of one op type that a runtime did not run in integers.

    Attributes:
        why: What of the file keeps a linear layer from a kernel; None where that is not known.
    """

    op: str
    precision: str
    nodes: list[str]
    why: Message | None = None


@final
@dataclass(frozen=True)
class ExecutedNodes:
    """How a runtime ran the nodes.

    Attributes:
        integer: Nodes that ran in integers.
        float: The others.
    """

    integer: Count
    float: list[FloatNodes]


@final
@dataclass(frozen=True)
class KernelsReport:
    """The simulation in the runtime's own integer arithmetic, beside the runtime.

    Attributes:
        layers: That compute in integers.
        sqnr_db: None where the two are equal.
        tensors_equal: Activations without a code that differs.
        first_deviation: The first one that differs.
    """

    layers: Count
    sqnr_db: float | None
    tensors_equal: Count
    first_deviation: Deviation | None


@final
@dataclass(frozen=True)
class Verification:
    """A file on a real runtime, beside the simulation and the float network.

    Attributes:
        sha256: Of the file.
        sqnr_db_vs_simulation: Of the runtime's outputs; None where the two are equal.
        max_abs: Largest difference to the simulation.
        agreement_vs_simulation: Samples with the same answer; None without classes.
        vs_float: Figures of the runtime beside the float network.
        simulation_vs_float: Those of the simulation.
        executed: How the runtime ran the nodes.
        tensors_compared: Activations whose codes were compared.
        tensors_hidden: Activations that cannot be asked for without changing the run.
        first_deviation: The first activation that is more than one code off.
        first_own_deviation: The first layer that differs by itself.
        defects: Where the file is not the plan.
        kernels: The simulation in the runtime's own arithmetic; None where that is not known.
        tolerance_db: Least SQNR to the simulation.
        passed: Whether the outputs are within tolerance, and the file is the planned one.
        notes: What the figures are of, where it is not the outputs.
    """

    backend: Named
    version: Named
    precision: str
    sha256: Digest
    samples: Several
    sqnr_db_vs_simulation: float | None
    max_abs: Size
    agreement_vs_simulation: Part | None
    vs_float: Baseline
    simulation_vs_float: Baseline
    executed: ExecutedNodes
    tensors_compared: Count
    tensors_hidden: Count
    first_deviation: Deviation | None
    first_own_deviation: Deviation | None
    defects: list[Defect]
    kernels: KernelsReport | None
    tolerance_db: float
    passed: bool
    text: Message
    notes: list[Message] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Verification: {'passed' if self.passed else 'FAILED'}: {self.text}>"
