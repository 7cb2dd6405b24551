"""Rules of LSTM, GRU and RNN, with gradients through time.

Most networks use the plain form, which torch has as one fused operator; what torch has no form
for (peepholes, a clip, coupled or other gates, sequences of different length, a GRU that resets
before its product) is computed step by step, both directions at once.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import torch

from lostbits.runtime.rules.gates import Gate, gates
from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    given,
    optional,
)

# Functions of the gates where a node names none, of one direction.
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
# Where torch has the gates that ONNX keeps as i, o, f, c and as z, r, h.
_ORDER = {"LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2], "RNN": [0]}


@final
@dataclass(frozen=True)
class _Layer:
    """A node's inputs, time first: T steps, B sequences, D directions, G gates of H units.

    Attributes:
        x: (T, B, I).
        w, r: (D, G * H, I) and (D, G * H, H).
        b: (D, 2 * G * H), those of ``w`` first.
        lengths: Of the sequences, (B,); None where all last T steps.
        h, c: First states, (D, B, H).
        p: Peepholes of i, o, f, (D, 3 * H); None without.
    """

    operator: Operator
    x: torch.Tensor
    w: torch.Tensor
    r: torch.Tensor
    b: torch.Tensor
    lengths: torch.Tensor | None
    h: torch.Tensor
    c: torch.Tensor
    p: torch.Tensor | None

    @classmethod
    def of(cls, operator: Operator, inputs: Values) -> Self:
        x, w, r, b, lengths, h, c, p = (optional(inputs, i) for i in range(8))
        x, w, r = given(inputs, 0), given(inputs, 1), given(inputs, 2)
        batch_first = operator.get("layout", 0)
        x, h, c = (
            None if v is None else v.transpose(0, 1) if batch_first else v for v in (x, h, c)
        )
        assert x is not None
        nothing = x.new_zeros(w.shape[0], x.shape[1], r.shape[2])
        b = x.new_zeros(w.shape[0], 2 * w.shape[1]) if b is None else b
        whole = lengths is None or bool((lengths == x.shape[0]).all())
        h, c = (nothing if v is None else v for v in (h, c))
        return cls(operator, x, w, r, b, None if whole else lengths, h, c, p)

    @property
    def direction(self) -> str:
        return str(self.operator.get("direction", "forward"))

    @property
    def plain(self) -> bool:
        """Whether torch has this form."""
        named = self.operator.get("activations") or ()
        kind = self.operator.op_type
        default = all(name in ("", *_DEFAULTS[kind]) for name in named)
        in_order = tuple(named) in ((), _DEFAULTS[kind], _DEFAULTS[kind] * 2)
        special = ("clip", "input_forget", "activation_alpha", "activation_beta")
        reset = kind != "GRU" or self.operator.get("linear_before_reset", 0)
        free = not any(self.operator.get(name) for name in special)
        return bool(default and in_order and reset and free and self._unmasked)

    @property
    def _unmasked(self) -> bool:
        return self.lengths is None and self.p is None and self.x.numel() > 0

    @cached_property
    def reversed(self) -> tuple[bool, ...]:
        """Which directions run backwards."""
        return {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[
            self.direction
        ]

    def outputs(self, y: torch.Tensor, *states: torch.Tensor) -> Outputs:
        """What the node gives, from (T, D, B, H) and states of (D, B, H)."""
        if self.operator.get("layout", 0):
            y = y.permute(2, 0, 1, 3)
            states = tuple(state.transpose(0, 1) for state in states)
        return (y, *states)[: self.operator.outputs]


def _by_torch(layer: _Layer) -> Outputs:
    """The plain form, by torch's operator; a single direction backwards runs on turned steps."""
    backwards = layer.reversed == (True,)
    x = layer.x.flip(0) if backwards else layer.x
    kind, both = layer.operator.op_type, len(layer.reversed) == 2
    rest = (_parameters(layer), True, 1, 0.0, False, both, False)
    if kind == "LSTM":
        y, *states = torch.lstm(x, (layer.h, layer.c), *rest)
    else:
        y, *states = (torch.gru if kind == "GRU" else torch.rnn_tanh)(x, layer.h, *rest)
    y = y.reshape(*y.shape[:2], len(layer.reversed), -1).transpose(1, 2)
    return layer.outputs(y.flip(0) if backwards else y, *states)


def _parameters(layer: _Layer) -> list[torch.Tensor]:
    """Weights and biases of each direction, gates in torch's order."""
    order = _ORDER[layer.operator.op_type]
    units = layer.r.shape[2]

    def turned(v: torch.Tensor) -> torch.Tensor:
        return v.reshape(len(order), units, *v.shape[1:])[order].flatten(0, 1).contiguous()

    return [
        turned(part)
        for w, r, b in zip(layer.w, layer.r, layer.b, strict=True)
        for part in (w, r, *b.chunk(2))
    ]


@final
class _Steps:
    """The general form: what each step adds, both directions side by side."""

    def __init__(self, layer: _Layer) -> None:
        self.layer = layer
        self.units = layer.r.shape[2]
        directions = len(layer.reversed)
        self.functions = gates(layer.operator, _DEFAULTS[layer.operator.op_type], directions)
        self.clip = float(layer.operator.get("clip") or 0.0)
        bias_w, bias_r = layer.b.unsqueeze(1).chunk(2, -1)
        self.read = torch.einsum("dtbi,dgi->tdbg", self._turned(layer.x), layer.w) + bias_w
        self.r, self.bias_r = layer.r.transpose(1, 2), bias_r
        self.turned_back = layer.lengths is not None

    def _turned(self, x: torch.Tensor) -> torch.Tensor:
        """(D, T, B, I): the steps in the order in which each direction reads them."""
        return torch.stack([self._backwards(x) if b else x for b in self.layer.reversed])

    def _backwards(self, x: torch.Tensor) -> torch.Tensor:
        """Each sequence from its own end; what lies behind it stays."""
        lengths = self.layer.lengths
        if lengths is None:
            return x.flip(0)
        steps = torch.arange(x.shape[0])[:, None]
        index = torch.where(steps < lengths, lengths.long() - 1 - steps, steps)
        return x.gather(0, index[..., None].expand_as(x))

    def run(self) -> Outputs:
        """Outputs of the node."""
        step = {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._rnn}[self.layer.operator.op_type]
        states: tuple[torch.Tensor, ...] = (self.layer.h, self.layer.c)
        outputs = []
        for t in range(self.layer.x.shape[0]):
            states, y = self._masked(t, states, step(self.read[t], *states))
            outputs.append(y)
        return self.layer.outputs(self._in_time(torch.stack(outputs)), *states)

    def _masked(
        self, t: int, old: tuple[torch.Tensor, ...], new: tuple[torch.Tensor, ...]
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """States, and the output, which is zero behind the end of a sequence."""
        if self.layer.lengths is None:
            return new, new[0]
        going = (t < self.layer.lengths)[:, None]
        held = tuple(torch.where(going, n, o) for n, o in zip(new, old, strict=True))
        return held, torch.where(going, new[0], 0.0)

    def _in_time(self, y: torch.Tensor) -> torch.Tensor:
        """(T, D, B, H), of all directions in the order of time."""
        parts = zip(y.unbind(1), self.layer.reversed, strict=True)
        return torch.stack([self._backwards(v) if b else v for v, b in parts], 1)

    def _at(self, gate: Gate, x: torch.Tensor) -> torch.Tensor:
        """A gate's function, after the clip; each direction has its own functions."""
        x = x.clamp(-self.clip, self.clip) if self.clip else x
        return gate(x)

    def _lstm(
        self, read: torch.Tensor, h: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        f, g, last = self.functions
        i, o, forget, cell = (read + torch.baddbmm(self.bias_r, h, self.r)).chunk(4, -1)
        peep_i, peep_o, peep_f = self._peepholes()
        i = self._at(f, i + peep_i * c)
        coupled = self.layer.operator.get("input_forget", 0)
        forget = 1 - i if coupled else self._at(f, forget + peep_f * c)
        c = forget * c + i * self._at(g, cell)
        return self._at(f, o + peep_o * c) * last(c), c  # as in ONNX Runtime, no clip of a state

    def _peepholes(self) -> tuple[torch.Tensor | float, ...]:
        if self.layer.p is None:
            return (0.0, 0.0, 0.0)
        return self.layer.p.unsqueeze(1).chunk(3, -1)

    def _gru(
        self, read: torch.Tensor, h: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        f, g = self.functions
        both = 2 * self.units
        z, r = self._at(
            f, read[..., :both] + torch.baddbmm(self.bias_r[..., :both], h, self.r[..., :both])
        ).chunk(2, -1)
        late = self.layer.operator.get("linear_before_reset", 0)
        hidden = torch.baddbmm(self.bias_r[..., both:], h if late else r * h, self.r[..., both:])
        new = self._at(g, read[..., both:] + (r * hidden if late else hidden))
        return (1 - z) * new + z * h, c

    def _rnn(
        self, read: torch.Tensor, h: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        (f,) = self.functions
        return self._at(f, read + torch.baddbmm(self.bias_r, h, self.r)), c


def recurrent(operator: Operator, inputs: Values) -> Outputs:
    """LSTM, GRU or RNN over all steps."""
    layer = _Layer.of(operator, inputs)
    if layer.x.shape[0] == 0:
        raise Unsupported("no steps")
    return _by_torch(layer) if layer.plain else _Steps(layer).run()


RULES: dict[str, Rule] = dict.fromkeys(_DEFAULTS, recurrent)
