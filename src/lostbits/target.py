"""What a platform can run, as data; members are in the folder ``targets``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, final

from lostbits.grid import Grid
from lostbits.language import Figure

if TYPE_CHECKING:  # what computes ranges brings SciPy, which a list of targets does without
    from lostbits.estimator import Estimator

NORMALIZATION: Final = "normalization"
ATTENTION: Final = "attention"
ACTIVATION: Final = "activation"
SIGNED: Final = "signed_factors"
REGIONS = frozenset({NORMALIZATION, ATTENTION, ACTIVATION})


@final
@dataclass(frozen=True)
class Rule:
    """How one role (weights or activations) is quantized.

    Attributes:
        grid: The integer codes.
        symmetric: Zero point fixed (0, or the middle code of an unsigned grid).
        per_channel: One scale per output channel (weights of convolutions and matrix products).
        method: The native range method, by name (see ``lostbits methods``) or made.
        power_of_two: Scales are powers of two.
        minimum_range: Ranges narrower than this are widened to it.
    """

    grid: Grid
    symmetric: bool
    per_channel: bool
    method: "str | Estimator"
    power_of_two: bool = False
    minimum_range: float = 0.0

    @property
    def method_name(self) -> str:
        """What users would type for the method."""
        return self.method if isinstance(self.method, str) else self.method.name


@final
@dataclass(frozen=True)
class Placement:
    """Which tensors get a quantizer.

    Attributes:
        mode: ``tensors`` quantizes every float tensor that a fused group of nodes passes to
            another one (integer-only accelerators); ``inputs`` only what the ops of ``ops``
            read; ``inputs_outputs`` what they read and write.
        ops: Op types that run in integers (ignored by mode ``tensors``).
        fused_activations: Op types that a preceding linear op absorbs: nothing is rounded
            between the two.
        fusing_ops: Op types that absorb a following activation.
        shared_scale: Op types whose inputs and output must carry one scale (Concat, pooling).
        passes_through: Op types that only move values: their output needs no rounding of its own.
        fused_residual_add: The input of an Add that a convolution feeds directly stays
            unquantized, because the Add is fused into that convolution.
        in_float: Regions between linear layers that run in float, by what they hold (of
            ``SIGNED``, what factors of both signs give, which has no quantizer):
            ``normalization``, ``attention``, ``activation``; see ``lostbits.graph.float_regions``.
        gives_float: Op types whose integer kernels can hand out float: what only ops in float
            read of them is not rounded.
        whole: Weights with one scale where others have one per channel: ``first_operand`` of
            matrix products, ``grouped`` ones of ConvTranspose.
        tables: Whether the rows that a Gather takes of a constant matrix (an embedding) are stored
            in integers, with the scales of the weights' rule: one a column, where that has one per
            channel.
    """

    mode: Literal["tensors", "inputs", "inputs_outputs"]
    ops: frozenset[str]
    fused_activations: frozenset[str]
    fusing_ops: frozenset[str]
    shared_scale: frozenset[str]
    passes_through: frozenset[str]
    fused_residual_add: bool = False
    in_float: frozenset[str] = frozenset()
    gives_float: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    tables: bool = False


@final
@dataclass(frozen=True)
class Source:
    """Where a rule was read: document, section, version."""

    rule: str
    document: str
    version: str


_LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
Rounding = Literal["half_even", "half_away", "half_up", "floor"]


@final
@dataclass(frozen=True)
class Arithmetic:
    """How a platform's kernels compute with codes; the defaults add and scale without a loss.

    Attributes:
        name: What users type.
        title: One line for tables.
        sources: Where each rule stands.
        accumulator_bits: Width of the signed integer that products and bias are added in.
        overflow: What a sum does that leaves it: ``wrap`` modulo its width, or ``saturate`` at
            its ends, after every product.
        pairs: Types of input and weight whose neighbouring products are added in int16 before the
            accumulator takes them; None: every product by itself. Neighbours are those of one tap
            of a kernel, input channels first. Depthwise convolutions have no such neighbours.
        pair_overflow: What a sum of two products does that leaves int16.
        pair_distance: How many products apart the two of a pair are.
        bias_bits: Width of the bias; a wider one saturates.
        requantization: How a sum becomes a code: by a ``float`` factor (float32), by a ``fixed``
            multiplier and a shift; ``none``: it leaves the kernel as a float.
        multiplier_bits: Width of the fixed multiplier, its sign included.
        rounding: Of the scaled sum. ``floor`` cuts off towards minus infinity.
        twice: Whether a fixed multiplier rounds after the product (half up) and again after the
            shift (half away from zero), instead of once.
        addition: Whether Add scales its operands by float or fixed factors.
        mean: The same of GlobalAveragePool.
        tables: Op types that are looked up: one entry for each code of 8 bits; 513 entries and
            straight lines between them for 16 bits.
        layers: Op types of linear layers that have a kernel of integers; others compute in float.
        sums: Those of them whose kernels give a sum as a float where no quantizer follows; others
            then compute in float.
        fitted: A whole set of kernels, found by fitting; of the fields above, none is looked at.
    """

    name: str
    title: Figure
    sources: tuple[Source, ...]
    accumulator_bits: int = 32
    overflow: Literal["wrap", "saturate"] = "wrap"
    pairs: Literal["u8s8", "s8s8"] | None = None
    pair_overflow: Literal["wrap", "saturate"] = "saturate"
    pair_distance: int = 1
    bias_bits: int = 32
    requantization: Literal["float", "fixed", "none"] = "float"
    multiplier_bits: int = 32
    rounding: Rounding = "half_even"
    twice: bool = False
    addition: Literal["float", "fixed"] = "float"
    mean: Literal["float", "fixed"] = "float"
    tables: frozenset[str] = frozenset()
    layers: frozenset[str] = _LINEAR
    sums: frozenset[str] = _LINEAR
    fitted: Literal["openvino", "qnn-htp"] | None = None


@final
@dataclass(frozen=True)
class Target:
    """A platform's quantizer, complete.

    Attributes:
        name: What users type.
        title: One line for tables.
        weights: The rule for constants of linear ops.
        activations: The rule for everything that depends on the data.
        bias_bits: Width of the integer bias with scale ``s_x * s_w``; None leaves bias in float.
        placement: Which tensors are quantized.
        takes: Which parameters the platform takes from outside, in words.
        sources: Where each rule stands.
        notes: Anything a user of this platform should know, by topic.
        wide_bits: Width of the larger grid that single tensors may have; None: they can only be
            left in float.
        together: Whether a layer takes the parameters of both of its operands, or of neither.
        accumulator_bits: What bias and products of a channel together may take.
        qdq: Name of the exporter that ``--to qdq`` stands for; the default takes every plan.
        arithmetic: How its kernels compute; None: sums as wide as they need, scaled without a loss.
    """

    name: str
    title: Figure
    weights: Rule
    activations: Rule
    bias_bits: int | None
    placement: Placement
    takes: Figure
    sources: tuple[Source, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    wide_bits: int | None = None
    together: bool = False
    accumulator_bits: int = 32
    qdq: str = "qdq-onnxruntime"
    arithmetic: Arithmetic | None = None
