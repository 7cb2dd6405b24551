"""One tree of exceptions, each raised with a code that has an entry in ``errors.messages``.

::

    LostbitsError
    ├── ModelError      M...  the ONNX file
    ├── DataError       D...  the samples
    ├── TargetError     T...  the target, range method, metric or setting that was named
    ├── SimulationError S...  running a model, a plan, or an attribution
    ├── RecoveryError   R...  a recovery that cannot go on, or broke its promise
    ├── OutputError     O...  writing results
    ├── ExportError     E...  a plan that a format or platform does not take
    ├── ReadError       I...  somebody else's parameters (``inspect``)
    ├── BackendError    B...  a runtime that is missing, or cannot run a file (``verify``)
    ├── DumpError       V...  tensors that a device has put out (``verify --dumps``)
    ├── WorkerError     W...  processes and machines that share the work
    ├── MemberError     P...  a member of another package that cannot be used
    └── CommandError    U...  the use of the command line, and its last resort

A message reads ``CODE: where: rule: found: what to do``. The place that raises says where, what was
found, and the figures; rule and what to do are the code's.
"""

import difflib
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lostbits.errors import messages
from lostbits.language import Figure, Language, Message
from lostbits.quoting import visible

LARGEST_SEED = (1 << 63) - 1


class LostbitsError(Exception):
    """Anything that the user can put right; the command line prints it and exits with status 2.

    Args:
        code: Letter and three digits, for example ``D002``, and where that has several rules the
            name of one of them: ``D012.layout``.
        where: The file, tensor, node or option that the message is about.
        found: What was found there.
        figures: What fills the gaps of the code's rule and advice, by name.

    Attributes:
        code: Letter and three digits alone.
        form: With the name of the rule, as given.
        where: As given.
        rule: What must hold there.
        found: As given.
        todo: What to do about it.
        figures: As given.

    >>> error = DataError("D019", "labels.npy", "there are 9", count=8)
    >>> str(error)
    'D019: labels.npy: 8 samples need 8 labels: there are 9: give the labels of these samples, in \
the same order'
    >>> error.code, error.rule, error.figures
    ('D019', '8 samples need 8 labels', {'count': 8})
    """

    def __init__(self, code: str, where: Figure, found: Figure, /, **figures: object) -> None:
        self.code, self.form = code.partition(".")[0], code
        self.where, self.found, self.figures = where, found, figures
        self.rule, self.todo = messages.form(code).filled(figures)
        super().__init__(visible(f"{self.code}: {where}: {self.rule}: {found}: {self.todo}"))

    def told(self, language: Language) -> str:
        """The message in a language; parts that it has not been put into are English.

        >>> DataError("D004.none", "x.npy", "none").told(Language.CHINESE)[:28]
        'D004: x.npy: 至少要有一個樣本: none:'
        """
        rule, todo = messages.form(self.form).filled(self.figures, language)
        parts = (self.where, rule, self.found, todo)
        texts = (p.told(language) if isinstance(p, Message) else str(p) for p in parts)
        return visible(": ".join((self.code, *texts)))

    def __reduce__(self) -> tuple[object, ...]:
        """An exception is copied by calling its class with its text alone; ours takes parts.

        >>> import copy
        >>> copied = copy.copy(DataError("D004.none", "x.npy", "none"))
        >>> copied.code, copied.where, str(copied) == str(DataError("D004.none", "x.npy", "none"))
        ('D004', 'x.npy', True)
        """
        return _restored, (type(self), *self.args), self.__dict__


def _restored(kind: type[LostbitsError], text: str) -> LostbitsError:
    """An error of a text alone; copying adds its attributes."""
    return kind.__new__(kind, text)


class ModelError(LostbitsError):
    """The model cannot be read, normalised or executed."""


class DataError(LostbitsError):
    """The samples cannot be read or do not fit the model."""


class TargetError(LostbitsError):
    """A target, method, metric or setting does not exist or contradicts itself."""


class SimulationError(LostbitsError):
    """A run produced something that no honest figure can be made of."""


class RecoveryError(LostbitsError):
    """A recovery cannot go on, or did what it promised not to do."""


class OutputError(LostbitsError):
    """Results cannot be written."""


class ExportError(LostbitsError):
    """A format cannot hold a plan, or its platform would not take or would change it."""


class ReadError(LostbitsError):
    """A file of parameters is damaged, or what it says is probably not what was meant.

    Args:
        code: As of every error, and so on.
        where: See ``code``.
        found: See ``code``.
        tensors: Names in the file of the tensors whose parameters are doubtful; none where the
            message is about the file as a whole, or about something that cannot be used.
        figures: See ``code``.
    """

    def __init__(
        self,
        code: str,
        where: Figure,
        found: Figure,
        /,
        *,
        tensors: Sequence[str] = (),
        **figures: object,
    ) -> None:
        super().__init__(code, where, found, **figures)
        self.tensors = tuple(tensors)


class DumpError(LostbitsError):
    """Tensors that a device has put out are missing, damaged, or of something else."""


class BackendError(LostbitsError):
    """A runtime is not installed, or does not run the file as it is."""


class WorkerError(LostbitsError):
    """A process or machine that shares the work cannot be had, or does not survive it."""


class MemberError(LostbitsError):
    """A target, method or another member, of another package or of the caller, is none."""


class CommandError(LostbitsError):
    """The command line was used otherwise than it can be, or ended as it never should."""


def first_line(error: BaseException) -> str:
    r"""What another library's exception says, in one line.

    >>> first_line(ValueError("no such op\nat node 7"))
    'no such op'
    >>> first_line(KeyError())
    'KeyError'
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def described(error: BaseException) -> str:
    r"""The class of another library's exception, and what it says, in one line.

    >>> described(ValueError("no such op\nat node 7"))
    'ValueError: no such op'
    >>> described(KeyError())
    'KeyError'
    """
    kind, said = type(error).__name__, first_line(error)
    return kind if said == kind else f"{kind}: {said}"


def origin(error: BaseException) -> str:
    """File and line that an exception comes from, for a report of it; without folders."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"


@contextmanager
def edge(coded: Callable[[str], LostbitsError]) -> Iterator[None]:
    """The edge of a reader: whatever a library raises inside becomes the reader's own error.

    Libraries raise whatever their parsers raise, so no list of classes is ever complete. Our own
    errors pass, and so does a lack of memory, which is not the file's fault.

    Args:
        coded: Makes the error of what was found, for example "ValueError: no such op".

    >>> def damaged(found):
    ...     return DataError("D002", "x.npy", found)
    >>> try:
    ...     with edge(damaged):
    ...         raise EOFError("cut short")
    ... except DataError as error:
    ...     print(error.found)
    EOFError: cut short
    """
    try:
        yield
    except (LostbitsError, MemoryError):
        raise
    except Exception as error:  # see above: the point of this function
        raise coded(described(_first_cause(error))) from error


def _first_cause(error: BaseException) -> BaseException:
    """What was raised first: what libraries raise behind it mostly names one of their functions."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def check_number(option: str, value: int, least: int, most: int) -> None:
    """Whether a number of the settings can be meant.

    Raises:
        TargetError: T017.
    """
    if not least <= value <= most:
        found = str(value) if abs(value) < 1 << 64 else "a number of more than 64 bits"
        raise TargetError("T017", option, found, least=least, most=most)


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """A question that names the known names nearest to a misspelt one; None if none is near.

    >>> suggestion("snep", ["snpe", "tensorrt"])
    "did you mean 'snpe'?"
    """
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(repr(n) for n in near)}?" if near else None


def close_match(name: str, known: Iterable[str]) -> str:
    """Advice for a misspelt name: the nearest known ones, or all of them.

    >>> close_match("snep", ["snpe", "tensorrt"])
    "did you mean 'snpe'?"
    >>> close_match("zzz", ["snpe", "tensorrt"])
    'use one of: snpe, tensorrt'
    """
    names = sorted(known)
    every = f"use one of: {', '.join(names)}" if names else "there are none"
    return suggestion(name, names) or every
