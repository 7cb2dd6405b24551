"""The table: how many tries of each class ended well, and how the others did."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.fuzzing.oracle import BUG, Fault
from benchmarks.fuzzing.workplace import Report

# Kinds of fault that the bar of the issue names; the others are as bad, but are listed apart.
BAR = ("traceback", "hang", "status", "status 70", "crash")


@dataclass
class Counts:
    """What came of all tries so far."""

    reports: Counter[tuple[str, str]] = field(default_factory=Counter)
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: dict[tuple[str, str, str], list[Report]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, report: Report) -> list[Fault]:
        """Count a try, one with several faults as bad once; returns faults not seen before."""
        self.reports[report.kind, _end(report)] += 1
        if report.code:
            self.codes[report.kind, report.code] += 1
        new = []
        for fault in report.faults:
            found = self.kinds[report.kind, fault.kind, fault.where]
            new += [] if found else [fault]
            found.append(report)
        return new

    def table(self) -> str:
        """A row for each class, and one for all."""
        rows = ["| class | tried | refused properly | ok | bad |", "|---|---|---|---|---|"]
        classes = list(dict.fromkeys(kind for kind, _ in self.reports))
        for name in sorted(classes):
            rows.append(self._row(name, [name]))
        return "\n".join([*rows, self._row("all", classes)])

    def _row(self, title: str, classes: Sequence[str]) -> str:
        ends = {end: sum(self.reports[c, end] for c in classes) for end in ("refused", "ok", "bad")}
        cells = (title, sum(ends.values()), ends["refused"], ends["ok"], ends["bad"])
        return "| " + " | ".join(map(str, cells)) + " |"

    def causes(self) -> str:
        """What was bad, most frequent first, with an example each."""
        lines = ["| class | kind | where | times | example |", "|---|---|---|---|---|"]
        for (kind, fault, where), found in sorted(self.kinds.items(), key=lambda e: -len(e[1])):
            first = f"{found[0].kind} {found[0].seed}: {found[0].argv[0]}, {found[0].what}"
            cells = (kind, fault, where, len(found), first)
            lines.append(
                "| " + " | ".join(repr(str(c))[1:-1].replace("|", "/") for c in cells) + " |"
            )
        return "\n".join(lines)

    def refusals(self) -> str:
        """How often each code refused something, by class: tries that get no further than that."""
        lines = []
        for kind in dict.fromkeys(kind for kind, _ in self.codes):
            found = Counter({code: n for (k, code), n in self.codes.items() if k == kind})
            lines.append(f"{kind}: " + ", ".join(f"{c} {n}" for c, n in found.most_common(12)))
        return "\n".join(lines)

    def against_the_bar(self) -> dict[str, int]:
        """How many tries had a fault of each kind that the bar names."""
        return {
            name: sum(len(found) for (_, fault, _), found in self.kinds.items() if fault == name)
            for name in BAR
        }


def _end(report: Report) -> str:
    if report.faults or report.status == BUG:
        return "bad"
    return "refused" if report.status == 2 else "ok"
