"""``lostbits compare``."""

from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli.terminal import aligned, guarded, say
from lostbits.verbs.compare import Comparison
from lostbits.verbs.compare import compare as compared

_SHOWN = 20


def compare(
    old: Annotated[
        Path, typer.Argument(help="Folder of diagnose or recover, or a file of parameters.")
    ],
    new: Annotated[Path, typer.Argument(help="The same, to be compared with it.")],
    gate: Annotated[
        float | None,
        typer.Option(
            min=0, help="Exit status 1 where a range moved by more codes, or a tensor is missing."
        ),
    ] = None,
) -> None:
    """Compare two sets of parameters: which tensors differ, and by how many codes.

    Example: **lostbits compare lostbits-out recovered --gate 0.5**
    """
    with guarded():
        found = compared(old, new)
        _show(found)
    if gate is not None and found.codes > gate:
        raise typer.Exit(1)


def _show(found: Comparison) -> None:
    say(str(found.text), "bold")
    rows = [("tensor", "codes", "grid", "range before", "range after")]
    for each in found.changed[:_SHOWN]:
        grid = each.grids[0] if len(set(each.grids)) == 1 else " -> ".join(each.grids)
        ends = [f"{lo:.5g} .. {hi:.5g}" for lo, hi in zip(each.lo, each.hi, strict=True)]
        rows.append((each.tensor, f"{each.codes:.3g}", grid, ends[0], ends[1]))
    for line in aligned(rows) if found.changed else ():
        say(line)
    if found.changed[_SHOWN:]:
        say(f"... and {len(found.changed) - _SHOWN} more")
    for name, tensors in (("old", found.only_old), ("new", found.only_new)):
        if tensors:
            more = f" and {len(tensors) - _SHOWN} more" if tensors[_SHOWN:] else ""
            say(f"only in {name}: {', '.join(tensors[:_SHOWN])}{more}", "yellow")
