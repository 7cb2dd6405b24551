"""What ``lostbits verify --dumps`` says."""

from lostbits.cli.terminal import say, word
from lostbits.language import say as words
from lostbits.results.dumps import DumpedTensor, DumpVerification
from lostbits.system.text_lines import aligned

_SHOWN = 40  # tensors in full
_COLUMNS = (
    *("dump.column_tensor", "dump.column_name", "dump.column_values", "dump.column_layout"),
    *("dump.column_codes", "dump.column_own", "dumped.differ", "dumped.db"),
)


def show_dumps(found: DumpVerification) -> None:
    """Formats, what was compared, the table, what differs and why, and what is wrong."""
    counts = {"count": str(found.tensors_compared), "dumped": str(found.tensors_dumped)}
    about = words("dump.about", samples=str(found.samples), **counts)
    say(words("dumped.head", formats=", ".join(found.formats), about=about), "bold")
    for note in found.notes:
        say(note, "yellow")
    heads = [word(column) for column in _COLUMNS]
    for line in aligned([heads, *(_row(each) for each in found.tensors[:_SHOWN])]):
        say(line)
    if found.tensors[_SHOWN:]:
        say(words("dumped.more", count=str(len(found.tensors) - _SHOWN)))
    for problem in found.problems:
        say(problem, "yellow")
    for deviation in found.other_deviations:
        say(words("dumped.also", text=deviation.text))
    code, style = ("passed", "green") if found.passed else ("failed", "red")
    say(words(f"dumped.{code}", text=found.text), style)


def _row(row: DumpedTensor) -> tuple[str, ...]:
    figures = (_number(row.codes), _number(row.own_codes), _share(row.share))
    noise = word("verified.equal") if row.sqnr_db is None else f"{row.sqnr_db:.1f}"
    return (row.tensor, row.name, row.values, row.layout, *figures, noise)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"
