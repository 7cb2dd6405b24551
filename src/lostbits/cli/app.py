"""The command line: which commands there are; each is a module of ``commands``."""

import sys
from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from typing import Annotated, Any, final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

import lostbits
from lostbits.cli import again, commands, ending, paths, sign, spoken
from lostbits.cli.helped import helped, listed_in
from lostbits.system import process, streams

_LOOKS: dict[str, Any] = {
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "rich",
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
_HELP = {"-h", "--help"}
_VERBS = {verb.name: verb for verb in commands.ALL}
_SLOW = {"diagnose", "recover", "export", "verify", "compare", "demo", "inspect"}  # to import


@final
class Verbs(TyperGroup):
    """Commands that are known by name and summary until one of them is called."""

    def main(self, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Run what the arguments say; by itself it ends the process, with the status of ending."""
        asked = options.pop("args", args[0] if args else None)
        given = list(sys.argv[1:] if asked is None else asked)
        known = {**options, "prog_name": "lostbits", "standalone_mode": False}
        spoken.language.set(spoken.asked(given))
        listed_in(self)
        run = partial(_run, partial(super().main, **known), given)
        if not standalone_mode:
            return run()
        sys.exit(ending.status(run))

    def parse_args(self, ctx: Any, args: Any) -> Any:
        """Without arguments, help is what is wanted."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        """The command that the arguments name, imported with all its options.

        Raises:
            CommandError: U001 when there is none of that name.
        """
        if args[0] not in _VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise ending.unknown(args[0], _VERBS)
        name, stub, rest = super().resolve_command(ctx, args)
        if stub is None:
            return name, None, rest
        if not ctx.resilient_parsing and str(name) in _SLOW:
            sign.show_sign(rest)
        return name, opened(_VERBS[str(name)]), rest

    def invoke(self, ctx: Any) -> Any:
        """Run it, and let nothing end without a word.

        Typer would end at once on an interrupt while a command is imported; and it would take any
        broken pipe for a reader of standard output that has gone, which is forgiven elsewhere.

        Raises:
            typer.Abort: For an interrupt that nobody has answered.
            RuntimeError: For a broken pipe.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error
        except BrokenPipeError as error:
            raise RuntimeError("a pipe broke") from error


def _run(typers: Callable[..., Any], given: list[str]) -> Any:
    """Run the command with what an earlier one had and with paths that are there.

    Typer imports pydantic before it looks at the first argument, which takes longer than to tell
    that a path is wrong; so paths are looked at before it.

    Raises:
        LostbitsError: For a path that is wrong, or an earlier command that cannot be repeated.
    """
    if given and given[0] in _VERBS and not _HELP & set(given):
        given = [given[0], *again.with_earlier(given[0], with_address(given[1:]))]
        spoken.remember(given)
        paths.check_paths(given[0], given[1:])
    return typers(args=given)


@final
class Command(TyperCommand):
    """A command whose ``--ray`` may stand without an address, which Typer has no way to say."""

    def parse_args(self, ctx: Any, args: Any) -> Any:
        """With the address of a cluster on this machine, where none was given."""
        return super().parse_args(ctx, with_address(args))


def with_address(arguments: list[str]) -> list[str]:
    """The arguments with a value behind every ``--ray``.

    >>> with_address(["--ray", "--quiet"])
    ['--ray', 'local', '--quiet']
    >>> with_address(["--ray", "10.0.0.1:6379"])
    ['--ray', '10.0.0.1:6379']
    """
    completed = []
    for argument, after in zip_longest(arguments, arguments[1:], fillvalue="-"):
        completed.append(argument)
        if argument == "--ray" and after.startswith("-"):
            completed.append("local")
    return completed


def opened(verb: commands.Verb) -> Any:
    """The whole command: its options, its help, and what it does."""
    alone = typer.Typer(**_LOOKS, add_completion=False)
    alone.command(verb.name, cls=Command)(verb.function())
    return helped(get_command(alone))


def _stub() -> None:
    """Stands for a command in lists; ``Verbs`` puts the real one in its place."""


app = typer.Typer(
    **_LOOKS,
    cls=Verbs,
    help="Finds the bits that quantization lost: where, why, and what to do.",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lostbits {lostbits.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Options that stand before a command."""


for _verb in commands.ALL:
    app.command(_verb.name, help=_verb.summary)(_stub)


def main() -> None:
    """Entry point of the console script."""
    streams.settle()
    process.set_up()
    app()
