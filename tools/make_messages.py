"""Write docs/messages.md from the table of messages, ``lostbits.errors.messages``.

Usage: python tools/make_messages.py
"""

from collections.abc import Iterator
from pathlib import Path

from lostbits.errors import messages

PAGE = Path(__file__).resolve().parents[1] / "docs" / "messages.md"
_HEAD = """# Messages

<!-- Made by tools/make_messages.py from src/lostbits/errors/messages, which are to be edited. -->

Every message of lostbits reads `CODE: where: rule: found: what to do`. This page has one entry for
each code: what happened, why, and what to do; then the rules that it may name, each with what to
do, where `<name>` stands for a figure or a name. `lostbits explain CODE` prints the same. The first
letter tells the kind.
"""
_FOOT = """
All exceptions derive from `lostbits.LostbitsError`, which has the parts of the message as `code`,
`where`, `rule`, `found` and `todo`, and the figures of rule and advice as `figures`. The command
line prints the message to standard error and exits with status 2, or 70 for U004. Findings are no
errors.
"""


def page() -> str:
    """The whole page."""
    kinds = [messages.kind(letter) for letter in messages.LETTERS]
    parts = [_HEAD, "| letter | exception | about |", "|---|---|---|"]
    parts += [f"| {k.letter} | {_class(k)} | {k.about} |" for k in kinds]
    parts += [_FOOT, *(line for kind in kinds for line in _section(kind))]
    return "\n".join(parts).rstrip() + "\n"


def _class(kind: messages.Kind) -> str:
    return f"`{kind.exception}`" if kind.exception else "none"


def _section(kind: messages.Kind) -> Iterator[str]:
    yield f"## {kind.title}\n"
    if kind.introduction:
        yield f"{kind.introduction}\n"
    for code, entry in kind.entries.items():
        yield f"### {code}\n\n{entry.explanation}\n"
        for form in entry.forms.values():
            rule, todo = form.named()
            yield f"* `{rule}`: `{todo}`"
        if entry.forms:
            yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
