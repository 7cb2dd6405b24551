"""The sums that the text of the page names."""

import re
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple, final

from lostbits.errors import messages
from lostbits.language import Message
from lostbits.reporters.html.tables import Row
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.facts import Reasoned
from lostbits.results.sites import SiteReport

_FIRST = 5
_REST = (
    *(("map", "map"), ("where", "origin"), ("layers", "depth"), ("sites", "sites")),
    *(("detail", "detail"), ("trust", "trust"), ("target", "target")),
)


@final
class Halves(NamedTuple):
    """How much the two halves of the samples agree, over all sites that can tell."""

    median: float
    least: float
    tensor: str
    sites: int


@final
class Reached(NamedTuple):
    """Sums that the text of the page names; shares are parts of the output error."""

    attributed: float
    matched: float
    first: int
    first_share: float
    round: float
    clip: float
    finding_sites: list[int | None]
    seconds: float
    halves: Halves | None


def sections(result: Diagnosis) -> list[tuple[str, str]]:
    """What the page consists of, in its order: element, and code of its heading."""
    found = [("findings", "findings.title")]
    if result.recovered is not None:
        found = [("recovery", "recovery.title"), ("findings", "findings.title_before")]
    return found + [(element, f"{code}.title") for element, code in _REST]


def base_name(path: str) -> str:
    """The last part of a path, of whatever system it comes from.

    >>> base_name("models/net.onnx"), base_name("a model")
    ('net.onnx', 'a model')
    """
    return re.split(r"[/\\]", path.rstrip("/"))[-1] or path


def explained(code: str) -> str:
    """What a finding's code means; empty for one of another version."""
    entry = messages.all_entries().get(code)
    return "" if entry is None else " ".join(entry.explanation.replace("`", "").split())


def by_reason(left: Iterable[Reasoned]) -> dict[Message, list[str]]:
    """Tensors left in float, under the reason why."""
    table: dict[Message, list[str]] = {}
    for entry in left:
        table.setdefault(entry.reason, []).append(entry.tensor)
    return table


def reached(result: Diagnosis, ranked: Sequence[Row]) -> Reached:
    """Of the rows, those that cost most first."""
    shares = [row.share for row in ranked]
    index = {row.site.key: row.number for row in ranked}
    return Reached(
        attributed=1 + result.network.residual,
        matched=result.coverage.sites_matched / max(result.coverage.sites_total, 1),
        first=min(_FIRST, len(shares)),
        first_share=sum(shares[:_FIRST]),
        round=sum(row.round for row in ranked),
        clip=sum(row.clip for row in ranked),
        finding_sites=[index.get(f"{f.tensor}:{f.role}") for f in result.findings],
        seconds=sum(result.seconds.values()),
        halves=_halves(result.sites),
    )


def _halves(sites: Sequence[SiteReport]) -> Halves | None:
    ratios = {s.tensor: s.stability.ratio for s in sites if s.stability}
    if not ratios:
        return None
    least = min(ratios, key=lambda tensor: ratios[tensor])
    return Halves(statistics.median(ratios.values()), ratios[least], least, len(ratios))
