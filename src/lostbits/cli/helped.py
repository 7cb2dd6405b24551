"""Help in the language that is spoken, and in lines that a person reads at once."""

from typing import Any

from lostbits.cli import spoken
from lostbits.language import phrase


def helped(command: Any) -> Any:
    """The command, whose help, and that of its options, is in the language that is spoken."""
    language = spoken.language.get()
    command.help = phrase(command.help or "", language)
    for option in command.params:
        if getattr(option, "help", None):
            option.help = phrase(option.help, language)
        if getattr(option, "rich_help_panel", None):
            option.rich_help_panel = phrase(option.rich_help_panel, language)
    return command
