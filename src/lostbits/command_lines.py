"""Commands of ours as data: what is printed is composed of parts, and runs as it stands."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

from lostbits import quoting

_FLAGS = frozenset({"--quiet", "-q", "--force"})
# What tells where results go and how; a suggestion goes elsewhere, and gates nothing.
_DELIVERY = _FLAGS | {
    "--out",
    "--format",
    "--json",
    "--junit",
    "--baseline-out",
    "--goal",
    "--overlay",
}
_DIAGNOSIS_ONLY = frozenset({"--plan", "--method", "--of", "--batch", "--permutations"})
_RECOVERY_ONLY = frozenset({"--budget", "--methods", "--inputs", "--export", "--evaluation"})
_ATTRIBUTED = frozenset({("--metric", "nsr"), ("--metric", "kl")})
LEAST_TO_RECOVER = 8  # samples

Option = tuple[str, str]


@final
@dataclass(frozen=True)
class CommandLine:
    """One command of ours.

    Attributes:
        verb: Its name.
        arguments: Those without a name.
        options: Those with one, in order.
    """

    verb: str
    arguments: tuple[str, ...]
    options: tuple[Option, ...]

    @classmethod
    def parse(cls, text: str) -> "CommandLine | None":
        """What a line says; None for anything that is no command of ours.

        Flags are left out: they say how one run speaks.

        >>> CommandLine.parse("lostbits diagnose --data=d.npy -q -- -x.onnx")
        CommandLine(verb='diagnose', arguments=('./-x.onnx',), options=(('--data', 'd.npy'),))
        >>> CommandLine.parse("python script.py") is None
        True
        """
        try:
            words = quoting.words(text)
        except ValueError:
            return None
        if len(words) < 2 or words[0] != "lostbits":
            return None
        pairs = list(named(words[2:]))
        arguments = tuple(value for name, value in pairs if not name)
        return cls(words[1], arguments, tuple((n, v) for n, v in pairs if n))

    def __str__(self) -> str:
        words = [word for option in self.options for word in option]
        return quoting.command(["lostbits", self.verb, *self.arguments, *words])

    def value(self, name: str) -> str | None:
        """Of an option, where it is given; of several, the last."""
        return next((v for n, v in reversed(self.options) if n == name), None)

    def without(self, names: Collection[str]) -> "CommandLine":
        """Itself less these options."""
        return replace(self, options=tuple(o for o in self.options if o[0] not in names))

    def extended(self, *options: Option) -> "CommandLine":
        """Itself with more options at the end."""
        return replace(self, options=(*self.options, *options))

    def wishing(self, wishes: Sequence[str]) -> "CommandLine":
        """With a ``--set`` each, in the place of older ones for the same tensor."""
        tensors = {wish.rpartition("=")[0] for wish in wishes}
        kept = (o for o in self.options if not _wishes_for(o, tensors))
        return replace(self, options=(*kept, *(("--set", wish) for wish in wishes)))


def named(words: Sequence[str]) -> Iterator[Option]:
    """Options with their values, and arguments under no name; flags are left out."""
    waiting = iter(words)
    for each in waiting:
        name, equals, value = each.partition("=")
        if each == "--":  # only arguments from here on; what is composed has options behind
            yield from (("", quoting.operand(argument)) for argument in waiting)
        elif each in _FLAGS:
            continue
        elif not each.startswith("--"):
            yield "", each
        else:
            yield name, value if equals else next(waiting, "")


def as_diagnosis(line: CommandLine) -> CommandLine:
    """The diagnosis with the samples and settings of a command, without a place for results."""
    taught = line.value("--evaluation")
    if taught is not None:  # as version 0.1 had it: the data taught, the evaluation judged
        options = line.without({"--evaluation", "--data", "--calibration"}).options
        data = (("--data", taught), ("--calibration", line.value("--data") or ""))
        line = replace(line, options=(*options, *data))
    return replace(line.without(_DELIVERY | _RECOVERY_ONLY), verb="diagnose")


def as_recovery(line: CommandLine) -> CommandLine:
    """The recovery with the samples and settings of a diagnosis, without a place for results.

    What ``--set`` tried is left out: a recovery looks for what the target can run by itself.
    """
    kept = line.without(_DELIVERY | _DIAGNOSIS_ONLY | {"--set"})
    count = kept.value("--samples")
    if count is not None and not (count.isdecimal() and int(count) >= LEAST_TO_RECOVER):
        kept = kept.without({"--samples"})
    options = tuple(option for option in kept.options if option not in _ATTRIBUTED)
    return replace(kept, verb="recover", options=options)


def trying(text: str, wishes: Sequence[str]) -> str:
    """The diagnosis with other settings of single tensors, as ``--set`` has them."""
    line = CommandLine.parse(text)
    if line is None:  # whatever a caller of the library calls a command
        return quoting.extended(text, [word for wish in wishes for word in ("--set", wish)])
    return str(as_diagnosis(line).wishing(wishes))


def recovering(text: str, methods: Sequence[str]) -> str:
    """The recovery by these methods alone, of what was diagnosed."""
    line = CommandLine.parse(text)
    if line is None:
        return text
    return str(as_recovery(line).extended(("--methods", ",".join(methods))))


def repeated(verb: str, text: str, target: str) -> CommandLine | None:
    """What ``--again`` stands for: the options of an earlier command, as far as a verb has them.

    Args:
        verb: ``diagnose`` or ``recover``.
        text: The earlier command.
        target: Name of the target that it found, where it named none.
    """
    line = CommandLine.parse(text)
    if line is None:
        return None
    plain = as_recovery(line) if verb == "recover" else as_diagnosis(line)
    return plain if plain.value("--target") else plain.extended(("--target", target))


def shortened(command: str, text: str, target: str, folder: str) -> str:
    """A command with ``--again`` in the place of what it shares with an earlier one, if it can be.

    Args:
        command: To be shortened.
        text: The earlier command, whose result lies in ``folder``.
        target: See ``repeated``.
        folder: Where the result of the earlier one lies.

    >>> shortened("lostbits recover n.onnx --data d.npy --target snpe --out r",
    ...           "lostbits diagnose n.onnx --data d.npy --target snpe", "snpe", "d1")
    'lostbits recover --again d1 --out r'
    """
    line = CommandLine.parse(command)
    known = None if line is None else repeated(line.verb, text, target)
    if line is None or known is None or line.arguments != known.arguments:
        return command
    if any(option not in line.options for option in known.options):
        return command
    rest = tuple(option for option in line.options if option not in known.options)
    return str(CommandLine(line.verb, (), (("--again", folder), *rest)))


def _wishes_for(option: Option, tensors: Collection[str]) -> bool:
    return option[0] == "--set" and option[1].rpartition("=")[0] in tensors
