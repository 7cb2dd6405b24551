"""``lostbits methods``."""

from rich.table import Table

from lostbits.estimators import ALL as ESTIMATORS
from lostbits.recoveries import ALL as RECOVERIES
from lostbits.terminal import stdout


def methods() -> None:
    """List the range methods and the recoveries.

    Example: **lostbits methods**
    """
    table = Table(title="Range methods")
    table.add_column("name")
    table.add_column("what it takes as the range")
    for method in ESTIMATORS:
        table.add_row(method.name, method.title)
    stdout.print(table)
    table = Table(title="Recoveries")
    for column in ("name", "stage", "what it does", "source"):
        table.add_column(column, overflow="fold")
    for recovery in RECOVERIES:
        table.add_row(recovery.name, recovery.stage, recovery.title, recovery.source)
    stdout.print(table)
