"""``lostbits targets``."""

from rich.table import Table

from lostbits.cli.terminal import say, stdout
from lostbits.targets import MEMBERS


def targets() -> None:
    """List the platforms and what they can run.

    Example: **lostbits targets**
    """
    table = Table(title="Targets")
    for column in ("name", "weights", "activations", "range method", "bias", "takes from outside"):
        table.add_column(column, overflow="fold")
    for t in MEMBERS.all():
        rules = [
            f"{r.grid.name} {'symmetric' if r.symmetric else 'asymmetric'} "
            f"{'per channel' if r.per_channel else 'per tensor'}"
            for r in (t.weights, t.activations)
        ]
        method = f"{t.weights.method_name}, {t.activations.method_name}"
        bias = "float" if t.bias_bits is None else f"int{t.bias_bits}"
        table.add_row(t.name, *rules, method, bias, str(t.takes))
    stdout.print(table)
    for name, error in MEMBERS.broken.items():
        say(f"{name}: broken: {error}", "yellow")
