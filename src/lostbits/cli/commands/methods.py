"""``lostbits methods``."""

from rich.table import Table

from lostbits.cli.terminal import say, stdout
from lostbits.estimators import MEMBERS as ESTIMATORS
from lostbits.recoveries import MEMBERS as RECOVERIES


def methods() -> None:
    """List the range methods and the recoveries.

    Example: **lostbits methods**
    """
    table = Table(title="Range methods")
    table.add_column("name")
    table.add_column("what it takes as the range")
    for method in ESTIMATORS.all():
        table.add_row(method.name, method.title)
    stdout.print(table)
    table = Table(title="Recoveries")
    for column in ("name", "stage", "what it does", "source"):
        table.add_column(column, overflow="fold")
    for recovery in RECOVERIES.all():
        table.add_row(recovery.name, recovery.stage, recovery.title, recovery.source)
    stdout.print(table)
    for name, error in (*ESTIMATORS.broken.items(), *RECOVERIES.broken.items()):
        say(f"{name}: broken: {error}", "yellow")
