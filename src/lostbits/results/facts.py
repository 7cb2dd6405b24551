"""What a result tells of the model, the samples, the target, the plan and the memory of a run."""

from dataclasses import dataclass, field
from typing import Literal, final

from lostbits.graph.simplify import Normalisation
from lostbits.grid import Grid
from lostbits.language import Message
from lostbits.runtime.figure_kinds import (
    Count,
    Digest,
    Named,
    Several,
)
from lostbits.target import Source

Use = Literal["calibration", "evaluation"]


@final
@dataclass(frozen=True)
class Reasoned:
    """A tensor, and why nothing else became of it."""

    tensor: str
    reason: Message


@final
@dataclass(frozen=True)
class Coverage:
    """How much of the network the figures stand for.

    Attributes:
        sites_matched: Sites with parameters.
        sites_total: Sites that the target has in this network.
        unmatched: Those without parameters.
        left_in_float: Tensors that the target does not quantize.
        weights: Numbers in all weights of the network, embeddings among them.
        weights_in_float: Those of weights without parameters.
    """

    sites_matched: Count
    sites_total: Count
    unmatched: list[Reasoned]
    left_in_float: list[Reasoned]
    weights: Count = 0
    weights_in_float: Count = 0

    @property
    def float_share(self) -> float:
        """Part of the weights that stays in float, by their numbers; 0 without weights."""
        return self.weights_in_float / self.weights if self.weights else 0.0


@final
@dataclass(frozen=True)
class ModelFacts:
    """What was diagnosed.

    Attributes:
        path: File, or the name of what was given instead of one.
        sha256: Of the file, or of the model as a protobuf message.
        nodes: Of the normalised network.
        sites: Tensors of it that are quantized.
        normalised: What normalising changed.
        metadata: As the file has it.
    """

    path: Named
    sha256: Digest
    inputs: list[str]
    outputs: list[str]
    nodes: Count
    sites: Count
    normalised: Normalisation
    metadata: dict[str, str]


@final
@dataclass(frozen=True)
class DataFacts:
    """The samples that were used.

    Attributes:
        use: Whether they have set the ranges too, or were seen by nothing before.
    """

    source: str
    samples: Several
    interrupted: bool
    sha256: Digest
    use: Use = "calibration"


@final
@dataclass(frozen=True)
class RuleFacts:
    """How one role is quantized; see ``target.Rule``.

    Attributes:
        symmetric: Zero point fixed.
        per_channel: One scale per output channel.
        method: Name of the native range method.
        power_of_two: Scales are powers of two.
        minimum_range: Ranges narrower than this are widened to it.
    """

    grid: Grid
    symmetric: bool
    per_channel: bool
    method: str
    power_of_two: bool
    minimum_range: float


@final
@dataclass(frozen=True)
class TargetFacts:
    """The platform's rules.

    Attributes:
        weights: How they are quantized.
        activations: How they are quantized.
        bias_bits: Width of the integers of a bias; None where it stays in float.
        takes: Which parameters it takes from outside.
        sources: Where each rule was read.
    """

    name: Named
    title: Message
    weights: RuleFacts
    activations: RuleFacts
    bias_bits: int | None
    takes: Message
    sources: list[Source]


@final
@dataclass(frozen=True)
class MemoryUse:
    """Of a run with a bound; mapped files do not count.

    Attributes:
        bound_bytes: That each process might take.
        estimate_bytes: What it was estimated to take, before the run.
        peak_bytes: Of the process that wrote this.
        worker_peak_bytes: Of the largest worker beside it; None without any.
        batch: Samples that are attributed at a time.
        exceeded: Whether the peak is above the bound.
    """

    bound_bytes: Several
    estimate_bytes: Several
    peak_bytes: Count
    worker_peak_bytes: Count | None
    batch: Several
    exceeded: bool
    text: Message


@final
@dataclass(frozen=True)
class PlanFacts:
    """The file whose quantization was diagnosed.

    Attributes:
        recognised: Its format.
        tensors: That the file has parameters of.
        matched: Tensors of the file that belong to a site.
        idle: Unmatched tensors whose values lie on their grid before the file quantizes them.
        constants_taken: Weights and biases that are not the nearest rounding of the model's.
        sqnr_db_vs_file: Of the simulated network against the file that was run; None where they
            are equal, or it was not run.
        unmatched: Tensors of the file without a site.
        problems: What of the file could not be read as it stands.
        suspicions: What of it is probably not as it was meant.
        file_was_run: Whether the quantized model ran, to be compared with the simulation.
        file_sqnr_db: Of the file that was run against the float network; None where they are equal,
            or it was not run.
        file_samples: That it was run on.
        dynamic: Activations that the file quantizes with a scale of each run.
        anew_sqnr_db: Of the output, planned by the target's own rules instead; None where the
            target takes the file as it is, or there is no error.
    """

    path: Named
    sha256: Digest
    recognised: str
    tensors: Count
    matched: Count
    idle: Count
    unmatched: list[Reasoned]
    problems: list[Message]
    suspicions: list[Message]
    constants_taken: list[str]
    file_was_run: bool
    sqnr_db_vs_file: float | None
    file_sqnr_db: float | None = None
    file_samples: Count = 0
    dynamic: list[str] = field(default_factory=list)
    anew_sqnr_db: float | None = None


@final
@dataclass(frozen=True)
class ExportedFile:
    """One file of an export.

    Attributes:
        lint: What the platform would refuse, ignore or change.
    """

    format: Named
    path: Named
    sha256: Digest
    lint: list[str]
