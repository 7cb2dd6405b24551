"""``lostbits methods``."""

from collections.abc import Sequence
from itertools import groupby

from lostbits.cli.commands.language_option import Lang
from lostbits.cli.terminal import say, told, word
from lostbits.estimators import MEMBERS as ESTIMATORS
from lostbits.language import Language
from lostbits.metric import Metric
from lostbits.metrics import MEMBERS as METRICS
from lostbits.recoveries import MEMBERS as RECOVERIES
from lostbits.recovery import Recovery
from lostbits.system.text_lines import glossary


def methods(lang: Lang = Language.ENGLISH) -> None:
    """List the range methods, the recoveries and the metrics.

    Example: **lostbits methods**
    """
    _show(word("list.range_methods"), [(each.name, told(each.title)) for each in ESTIMATORS.all()])
    for stage, members in groupby(RECOVERIES.all(), key=lambda each: each.stage):
        title = word("list.recoveries", stage=word(f"list.stage_{stage}"))
        _show(title, [(each.name, _recovery(each)) for each in members])
    _show(word("list.metrics"), [(each.name, _metric(each)) for each in METRICS.all()])
    broken = (ESTIMATORS.broken, RECOVERIES.broken, METRICS.broken)
    for name, error in (item for family in broken for item in family.items()):
        say(f"{name}: broken: {error}", "yellow")


def _show(title: str, rows: Sequence[tuple[str, str]]) -> None:
    say(title, "bold")
    for line in glossary(rows, "  "):
        say(line)


def _recovery(recovery: Recovery) -> str:
    return word("list.sourced", what=told(recovery.title), source=told(recovery.source))


def _metric(metric: Metric) -> str:
    outputs = ", ".join(metric.kinds) or word("list.all_outputs")
    code = "list.metric" if metric.labels == "none" else "list.labelled_metric"
    about = {"what": told(metric.title), "source": told(metric.source)}
    return word(code, outputs=outputs, **about)
