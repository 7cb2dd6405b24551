"""What the dumps of a device came to, beside the simulation of the plan."""

from dataclasses import dataclass, field
from typing import Literal, final

from lostbits.language import Message
from lostbits.runtime.figure_kinds import Count, Named, Part, Several, Size

Explanation = Literal[
    "float",
    "layout",
    "activation",
    "arithmetic",
    "zero_point",
    "saturation",
    "override",
    "scale",
    "axis",
    "bias",
    "weights",
    "single_codes",
    "unexplained",
]


@final
@dataclass(frozen=True)
class DumpDeviation:
    """A tensor at which a device leaves the simulation, and what explains it.

    Attributes:
        tensor: The tensor.
        node: The node that computes it, without what is fused behind it.
        codes: Largest whole difference.
        share: Part of the values that differ by at least half a code.
        own_codes: Largest difference on the inputs that the device had.
        explanation: What makes the simulation give the device's values.
        explained: Part of the values that it gives to the code.
        text: The same in words.
    """

    tensor: str
    node: str
    codes: Size
    share: Part
    own_codes: Size
    explanation: Explanation
    explained: Part
    text: Message


@final
@dataclass(frozen=True)
class DumpedTensor:
    """One tensor of the dump beside the simulation.

    Attributes:
        tensor: Its name in the plan.
        name: Its name in the dump.
        node: The node that computes it.
        quantized: Whether the plan quantizes it; of a float tensor there are no codes.
        values: How the dump holds it: reals or codes, and their type.
        layout: Order of its axes in the dump; ``same`` is that of the model.
        runs: Runs that were compared.
        codes: Largest whole difference; None of a float tensor.
        share: Part of the values that differ by at least half a code; None of a float tensor.
        own_codes: Largest difference on the inputs that the device had; None of a float tensor.
        own_share: Part of the values that differ then; None of a float tensor.
        sqnr_db: Of the device against the simulation; None where the two are equal.
        deviates: Whether it differs by itself, by more than single codes that are chance.
    """

    tensor: str
    name: str
    node: str
    quantized: bool
    values: Named
    layout: Named
    runs: Several
    codes: Size | None
    share: Part | None
    own_codes: Size | None
    own_share: Part | None
    sqnr_db: float | None
    deviates: bool


@final
@dataclass(frozen=True)
class DumpVerification:
    """The dumps of a device, beside the simulation of the plan.

    Attributes:
        path: The dumps.
        formats: Titles of the formats that they have.
        samples: Runs that were compared.
        tensors_dumped: Tensors in the dumps.
        tensors_compared: Those of them that belong to the plan.
        tensors_planned: Tensors that the plan quantizes.
        first_deviation: The first tensor that differs by itself; None where none does.
        other_deviations: Later tensors that differ by themselves, in topological order.
        tensors: Every tensor that was compared, in topological order.
        unknown: Names of the dump that belong to nothing.
        missing: Tensors of the plan that the dump lacks.
        problems: What is wrong with the dump.
        passed: Whether no tensor differs by itself.
        text: The same in words.
        notes: What the figures are of, such as kernels that the simulation leaves out.
    """

    path: str
    formats: list[str]
    samples: Count
    tensors_dumped: Count
    tensors_compared: Count
    tensors_planned: Count
    first_deviation: DumpDeviation | None
    other_deviations: list[DumpDeviation]
    tensors: list[DumpedTensor]
    unknown: list[str]
    missing: list[str]
    problems: list[Message]
    passed: bool
    text: Message
    notes: list[Message] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<DumpVerification: {'passed' if self.passed else 'FAILED'}: {self.text}>"
