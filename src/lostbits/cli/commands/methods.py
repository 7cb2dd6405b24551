"""``lostbits methods``."""

from rich.table import Table

from lostbits.cli.terminal import say, stdout
from lostbits.estimators import MEMBERS as ESTIMATORS
from lostbits.metrics import MEMBERS as METRICS
from lostbits.recoveries import MEMBERS as RECOVERIES


def methods() -> None:
    """List the range methods, the recoveries and the metrics.

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
    table = Table(title="Metrics (higher is better)")
    for column in ("name", "outputs", "labels", "what it measures", "source"):
        table.add_column(column, overflow="fold")
    for metric in METRICS.all():
        kinds = ", ".join(metric.kinds) or "all"
        labels = "" if metric.labels == "none" else "needed"
        table.add_row(metric.name, kinds, labels, metric.title, metric.source)
    stdout.print(table)
    broken = (ESTIMATORS.broken, RECOVERIES.broken, METRICS.broken)
    for name, error in (item for family in broken for item in family.items()):
        say(f"{name}: broken: {error}", "yellow")
