"""``lostbits targets``."""

from lostbits.cli.commands.language_option import Lang
from lostbits.cli.terminal import say, told, word
from lostbits.language import Language
from lostbits.system.text_lines import glossary
from lostbits.target import Rule, Target
from lostbits.targets import MEMBERS


def targets(lang: Lang = Language.ENGLISH) -> None:
    """List the platforms and what they can run.

    Example: **lostbits targets**
    """
    for target in MEMBERS.all():
        say(f"{target.name}  {told(target.title)}", "bold")
        for line in glossary(_facts(target), "  "):
            say(line)
    for name, error in MEMBERS.broken.items():
        say(f"{name}: broken: {error}", "yellow")


def _facts(target: Target) -> list[tuple[str, str]]:
    bits = target.bias_bits
    bias = word("target.bias_float") if bits is None else word("target.bias_bits", bits=str(bits))
    return [
        (word("target.weights"), _rule(target.weights)),
        (word("target.activations"), _rule(target.activations)),
        (word("target.bias"), bias),
        (word("list.takes"), told(target.takes)),
    ]


def _rule(rule: Rule) -> str:
    """Grid, zero point, scales and range method of an operand."""
    scales = "per_channel" if rule.per_channel else "per_tensor"
    return word(
        "list.rule",
        grid=rule.grid.name,
        zero_point=word("target.fixed" if rule.symmetric else "target.free"),
        scales=word(f"target.{scales}_two" if rule.power_of_two else f"target.{scales}"),
        method=rule.method_name,
    )
