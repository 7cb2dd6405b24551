"""The recoveries; see ``lostbits.recovery`` for what one is."""

from lostbits.errors import RecoveryError
from lostbits.members import Members
from lostbits.recoveries.absorption import Absorption
from lostbits.recoveries.adaround import AdaRound
from lostbits.recoveries.analytic_bias import AnalyticBias
from lostbits.recoveries.bias_correction import BiasCorrection
from lostbits.recoveries.equalization import Equalization
from lostbits.recoveries.float_ops import FloatOps
from lostbits.recoveries.input_scaling import InputScaling
from lostbits.recoveries.joint_factors import JointFactors
from lostbits.recoveries.kernel_sums import FewerBits, HalfStep, UnsignedWeights
from lostbits.recoveries.migration import Migration
from lostbits.recoveries.named_ranges import NamedRanges
from lostbits.recoveries.precision import Precision
from lostbits.recoveries.ranges import Ranges
from lostbits.recoveries.reconstruction import BlockReconstruction
from lostbits.recoveries.second_order import SecondOrder
from lostbits.recoveries.shared_scales import FloatOutput, OwnScales, SplitOutput, WideScale
from lostbits.recoveries.splitting import Splitting
from lostbits.recovery import Recovery

ALL: tuple[Recovery, ...] = (
    FloatOutput(),
    OwnScales(),
    WideScale(),
    SplitOutput(),
    InputScaling(),
    FloatOps(),
    JointFactors(),
    Equalization(),
    Absorption(),
    Migration(),
    Splitting(),
    UnsignedWeights(),
    FewerBits(),
    HalfStep(),
    NamedRanges(),
    Ranges(),
    AnalyticBias(),
    BiasCorrection(),
    SecondOrder(),
    AdaRound(),
    BlockReconstruction(),
    Precision(),
)
"""All of them, in the order of their stages."""


def _unknown(name: str, advice: str) -> RecoveryError:
    return RecoveryError("R004", f"--methods {name}", "no such recovery", advice=advice)


MEMBERS: Members[Recovery] = Members("lostbits.recoveries", Recovery, ALL, _unknown)

__all__ = [
    "ALL",
    "MEMBERS",
    "Absorption",
    "AdaRound",
    "AnalyticBias",
    "BiasCorrection",
    "BlockReconstruction",
    "Equalization",
    "FewerBits",
    "FloatOps",
    "FloatOutput",
    "HalfStep",
    "InputScaling",
    "JointFactors",
    "Migration",
    "NamedRanges",
    "OwnScales",
    "Precision",
    "Ranges",
    "SecondOrder",
    "SplitOutput",
    "Splitting",
    "UnsignedWeights",
    "WideScale",
]
