"""When work has to be done: a moment that other processes know as well."""

import math
import time
from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True)
class Deadline:
    """A moment in time; work that is not done by then keeps what it has.

    Sent to another process it is the seconds that are left: clocks of two machines have nothing in
    common.

    Attributes:
        at: ``time.monotonic()`` of this process; infinite for none.
    """

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then; negative afterwards."""
        return self.at - time.monotonic()

    @property
    def passed(self) -> bool:
        """Whether it is time to stop."""
        return self.left <= 0

    def part(self, share: float) -> "Deadline":
        """When this share of the seconds that are left will have passed."""
        return self if math.isinf(self.at) else Deadline.after(share * self.left)

    def sooner(self, seconds: float) -> "Deadline":
        """So many seconds before it."""
        return Deadline(self.at - seconds)

    def __reduce__(self) -> tuple[Any, ...]:
        """As seconds that are left."""
        return Deadline.after, (self.left,)


NEVER = Deadline()
