"""What helps against a reason on this target: only what the target can run is a remedy."""

from dataclasses import dataclass
from typing import final

from lostbits.case import Case
from lostbits.channels.layer_pairs import find_chains
from lostbits.command_lines import recovering, trying
from lostbits.graph.queries import name_of, node_name
from lostbits.graph.site import Site
from lostbits.language import Message, say
from lostbits.results.diagnosis import Reason
from lostbits.target import Target

# What measures the gain of a remedy that no setting of one tensor can be: the constraint lifted.
_LIFTED: dict[Reason, str] = {
    "granularity": "per_channel",
    "symmetry": "asymmetric",
    "scale_format": "float",
    "resolution": "16bit",
    "bias_overflow": "float",
}


@final
@dataclass(frozen=True)
class Treatment:
    """A remedy, and how it is tried.

    Attributes:
        remedy: In a few words.
        measured: Setting whose predicted gain is told.
        methods: Recoveries that apply it; without any, ``--set`` with the setting does.
    """

    remedy: Message
    measured: str
    methods: tuple[str, ...] = ()

    @property
    def bound(self) -> bool:
        """Whether the predicted gain is that of something better, to which this comes near."""
        return bool(self.methods)

    def command(self, base: str, tensor: str) -> str:
        """What tries it."""
        if self.methods:
            return recovering(base, self.methods)
        return trying(base, [f"{tensor}={self.measured}"])


def treatment(
    target: Target,
    site: Site,
    reason: Reason,
    *,
    inputs: bool = False,
    barred: Message | None = None,
) -> Treatment:
    """The remedy for a reason that makes a site cost what it costs.

    Args:
        target: Whose rules bound it.
        site: The tensor.
        reason: The named reason.
        inputs: Whether it is the input channels of a weight that are uneven.
        barred: Why its layer's channels cannot be equalized with those of the next one.
    """
    if inputs:  # no scale of the weight helps: its levels are spent along the other axis
        return Treatment(say("remedy.equalize"), "16bit", ("equalization", "migration"))
    if reason in ("too_wide", "too_narrow"):
        return Treatment(say(f"remedy.{reason}"), "mse")
    if site.role == "bias":
        corrected = reason == "resolution" and target.bias_bits is not None
        methods = ("analytic_bias", "bias_correction") if corrected else ()
        return Treatment(say(f"remedy.{reason}"), "float", methods)
    if reason == "granularity" and site.role == "weight":
        return _of_weight_channels(target, barred)
    return _by_width(target, site, reason)


def what_bars(case: Case) -> dict[str, Message]:
    """Why factors cannot pass from a layer to the next one, by its node, where that is so."""
    skipped = find_chains(case.model).skipped
    outputs = ((node_name(n), name_of(o)) for n in case.model.graph for o in n.outputs if o.name)
    return {node: skipped[name] for node, name in outputs if name in skipped}


def _of_weight_channels(target: Target, barred: Message | None) -> Treatment:
    if target.weights.per_channel:
        return Treatment(say("remedy.granularity"), "per_channel")
    if barred is not None:
        kind, setting = ("wide", "16bit") if target.wide_bits == 16 else ("float", "float")
        return Treatment(say("remedy.barred", remedy=say(f"remedy.{kind}"), why=barred), setting)
    return Treatment(say("remedy.equalize_channels"), "per_channel", ("equalization",))


def _by_width(target: Target, site: Site, reason: Reason) -> Treatment:
    """More bits where there are some; else what makes the most of those that there are."""
    rule = target.weights if site.role == "weight" else target.activations
    if reason == "symmetry" and not rule.symmetric:
        return Treatment(say("remedy.symmetry"), "asymmetric")
    if reason == "granularity":  # of an activation: all platforms have one scale for it
        return Treatment(say("remedy.migrate"), "per_channel", ("migration", "equalization"))
    if target.wide_bits == 16:
        return Treatment(say("remedy.wide"), "16bit")
    if target.wide_bits is None:
        return Treatment(say("remedy.float"), "float")
    return Treatment(
        say("remedy.tune"), _LIFTED.get(reason, "16bit"), _TUNED[site.role == "weight"]
    )


_TUNED = {True: ("second_order", "adaround"), False: ("ranges", "reconstruction")}
