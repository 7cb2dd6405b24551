"""A command laid out for reading: its options, and which of them are its own."""

import re
from typing import NamedTuple, final

# A word of a shell, with the quotes that stand in it.
_WORD = re.compile(r"""(?:[^\s"']|"(?:\\.|[^"])*"|'[^']*')+""")
_ALWAYS = 2  # words that say what is run


@final
class Part(NamedTuple):
    """An option with its value, or an argument.

    Attributes:
        text: As it is typed.
        own: Whether it is not in the command that made the page too: what differs.
    """

    text: str
    own: bool


def parts(command: str, usual: str) -> list[Part]:
    """A command in parts that joined by blanks are the whole of it.

    Args:
        command: To be laid out.
        usual: What made the page; parts of it are left out of the short form.

    >>> [(p.text, p.own) for p in parts("lostbits diagnose a --set b=float", "lostbits recover a")]
    [('lostbits', True), ('diagnose', True), ('a', False), ('--set b=float', True)]
    """
    known = set(_grouped(usual))
    found = _grouped(command)
    return [Part(text, n < _ALWAYS or text not in known) for n, text in enumerate(found)]


def _grouped(command: str) -> list[str]:
    """An option stands with the word behind it, unless that is an option too."""
    found: list[str] = []
    for word in _WORD.findall(command):
        opens = bool(found) and found[-1].startswith("--") and not re.search(r"[\s=]", found[-1])
        if opens and not word.startswith("--"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found
