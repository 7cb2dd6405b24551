"""Constants that a backward pass makes again instead of remembering them.

A forward pass through a graph with gradients saves the weight of every layer. Of weights that lie
in files, with an error added, that would be the whole model in memory.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, final

import torch
from torch.autograd.graph import saved_tensors_hooks

from lostbits.graph.site import Site


class _Recipe(NamedTuple):
    """How a saved view of a constant is made."""

    site: Site
    shape: torch.Size
    stride: tuple[int, ...]
    offset: int


@final
class Again:
    """Takes known constants out of what a pass saves.

    Args:
        make: The constant of a site, anew.
    """

    def __init__(self, make: Callable[[Site], torch.Tensor]) -> None:
        self._make = make
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], Site]] = {}

    def made(self, z: torch.Tensor, site: Site) -> None:
        """``z`` is what ``make`` makes of the site; known for as long as it lives."""
        self._known[_memory(z)] = (weakref.ref(z), site)

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Around a forward pass and its backward pass."""
        with saved_tensors_hooks(self._packed, self._unpacked):
            yield

    def _packed(self, x: torch.Tensor) -> torch.Tensor | _Recipe:
        """Memory is used again: an address alone does not tell whose it is."""
        whole, site = self._known.get(_memory(x), (None, None))
        if site is None or whole is None or whole() is None:
            return x
        return _Recipe(site, x.shape, x.stride(), int(x.storage_offset()))

    def _unpacked(self, saved: torch.Tensor | _Recipe) -> torch.Tensor:
        if isinstance(saved, torch.Tensor):
            return saved
        return self._make(saved.site).as_strided(saved.shape, saved.stride, saved.offset)


def _memory(x: torch.Tensor) -> int:
    return x.untyped_storage().data_ptr()
