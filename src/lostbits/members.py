"""The members of a contract: those that are built in, and those that other packages bring.

A package brings a member by an entry point of the group of its contract, whose name is the member's
own::

    [project.entry-points."lostbits.recoveries"]
    dead_channels = "our_package.recoveries:DeadChannels"

The object is a member, or a class that makes one without arguments. It is imported when it is
asked for by name, or when all members are; a package that is installed and not used costs nothing.
One that cannot be used ends a run only if the run names it. Whatever goes through all members goes
on without it, and says so once in the log.
"""

import logging
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, distributions
from typing import Any, Generic, Protocol, TypeVar, final

from lostbits.errors import LostbitsError, MemberError, close_match, edge

_LOG = logging.getLogger("lostbits")


class Named(Protocol):
    """What every member has."""

    @property
    def name(self) -> str:
        """What users type."""
        ...


M = TypeVar("M", bound=Named)
Unknown = Callable[[str, str], LostbitsError]


@final
@dataclass(frozen=True, eq=False)
class Members(Generic[M]):
    """All members of one contract, by the names that users type.

    Attributes:
        group: Of the entry points.
        contract: Class that every member is an instance of.
        builtin: Those of this package, in the order in which they are listed.
        unknown: Makes the error for a name that nothing has, of the name and of advice.
    """

    group: str
    contract: type[Any]
    builtin: tuple[M, ...]
    unknown: Unknown

    def find(self, given: str | M) -> M:
        """The member of that name; one that is given itself is returned as it is.

        Raises:
            LostbitsError: What ``unknown`` makes, for a name that nothing has.
            MemberError: P001 to P004.
        """
        if isinstance(given, str):
            return self._named(given)
        fitting: bool = isinstance(given, self.contract)
        if fitting:
            return given
        raise MemberError(
            "P004",
            self.group,
            f"an object of type {type(given).__name__}",
            contract=self.contract.__name__,
        )

    def all(self) -> tuple[M, ...]:
        """Every member that can be used, the built-in ones first, others by name."""
        return (*self.builtin, *self._loaded[0])

    @property
    def broken(self) -> Mapping[str, MemberError]:
        """Why entry points cannot be used, by their names."""
        return self._loaded[1]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all, without importing any that is not built in."""
        own = [member.name for member in self.builtin]
        return (*own, *(name for name in self._points if name not in own))

    def _named(self, name: str) -> M:
        own = {member.name: member for member in self.builtin}
        if name not in own and name not in self._points:
            raise self.unknown(name, close_match(name, self.names))
        return own[name] if name in own else self._foreign(name)

    @cached_property
    def _points(self) -> Mapping[str, list[EntryPoint]]:
        """What is installed in this environment, by name."""
        found: dict[str, list[EntryPoint]] = defaultdict(list)
        for point in sorted(_installed(self.group), key=lambda p: (p.name, _package(p))):
            found[point.name].append(point)
        return dict(found)

    @cached_property
    def _loaded(self) -> tuple[list[M], dict[str, MemberError]]:
        members, broken = list[M](), dict[str, MemberError]()
        for name in self._points:
            try:
                members.append(self._foreign(name))
            except MemberError as error:
                broken[name] = error
                _LOG.warning("%s", error)
        return members, broken

    def _foreign(self, name: str) -> M:
        """The member that the one entry point of a name stands for."""
        points = self._points[name]
        if len(points) > 1 or name in {member.name for member in self.builtin}:
            others = ["lostbits"] * (len(points) == 1)
            found = f"brought by {' and by '.join([*others, *map(_package, points)])}"
            raise MemberError("P003", _where(points[0]), found)
        return self._member(points[0])

    def _member(self, point: EntryPoint) -> M:
        where, package = _where(point), _package(point)
        with edge(lambda found: MemberError("P001", where, found, package=package)):
            found = point.load()
            member: M = found() if isinstance(found, type) else found
        name = getattr(member, "name", None)
        if isinstance(member, self.contract) and name == point.name:
            return member
        raise MemberError(
            "P002",
            where,
            f"a {type(member).__name__} whose name is {name!r}",
            contract=self.contract.__name__,
            name=point.name,
            package=package,
        )


def _installed(group: str) -> list[EntryPoint]:
    """Entry points of installed packages: never of what lies in the working folder by accident."""
    folders = [folder for folder in sys.path if folder not in ("", os.getcwd())]
    packages = {d.name: d for d in reversed(list(distributions(path=folders)))}  # the first counts
    return [p for package in packages.values() for p in package.entry_points.select(group=group)]


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else point.dist.name


def _where(point: EntryPoint) -> str:
    return f"entry point {point.name!r} in {point.group} of {_package(point)}"
