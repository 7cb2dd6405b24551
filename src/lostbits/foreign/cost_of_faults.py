"""What a suspected mistake of another tool costs, measured by putting it right.

A doubt says what was seen and what that usually means. Whether it matters is a question about the
output of the network: the parameters in doubt are replaced by those that they should have been, and
the error that goes away is what the mistake costs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import onnx_ir as ir

from lostbits import quoting
from lostbits.case import Case, look_at_constants
from lostbits.command_lines import trying
from lostbits.data import Source
from lostbits.diagnoses.findings import CODES, LEAST_SHARE
from lostbits.errors import LostbitsError, ReadError
from lostbits.foreign.match_names import Match
from lostbits.graph.place import place
from lostbits.graph.site import Site
from lostbits.language import Figure, Message, say, verbatim
from lostbits.plan.ranges import plan_biases, refitted, with_biases
from lostbits.reader import told
from lostbits.results.diagnosis import Cause, Diagnosis, Finding
from lostbits.runtime.held_out_figures import Judge

_MEASURED = 32  # samples
_FEW = 3  # tensors that are named one by one in a command
Keys = frozenset[str]


@final
@dataclass(frozen=True)
class Mistake:
    """A doubt that explains part of the loss.

    Attributes:
        doubt: The first of its kind.
        others: How many more of the kind were put right with it.
        keys: Sites that they are about.
        scene: Where the loss appears, if not in the file as it is written.
        before_db, after_db: Output's SQNR as it is and put right; None where there is no error.
        share: Part of the output error that goes.
    """

    doubt: ReadError
    others: int
    keys: tuple[str, ...]
    scene: Figure
    before_db: float | None
    after_db: float | None
    share: float

    @property
    def gain_db(self) -> float:
        """What putting it right wins."""
        return -10 * float(np.log10(max(1 - self.share, 1e-10)))

    @property
    def text(self) -> Message:
        """In words."""
        return say(
            "mistake.text",
            doubt=told(self.doubt),
            more=say("mistake.more", count=str(self.others)) if self.others else "",
            after=_shown(self.after_db),
            before=_shown(self.before_db),
            scene=self.scene,
            share=f"{self.share:.0%}",
        )


def finding(mistake: Mistake, case: Case, found: Diagnosis) -> Finding:
    """The finding, about the site of the mistake that carries most of the loss."""
    shares: dict[str, float] = {}
    causes: dict[str, tuple[float, Cause]] = {}
    for part in found.network.attributions:
        shares[part.key] = shares.get(part.key, 0.0) + part.share
        mine = (part.share, part.cause)
        causes[part.key] = max(causes.get(part.key, mine), mine)
    key = max(mistake.keys, key=lambda k: shares.get(k, 0.0))
    site = next(s for s in case.placed.sites if s.key == key)
    return Finding(
        code=CODES["mistake"],
        tensor=site.tensor,
        role=site.role,
        node=site.node,
        cause=causes[key][1] if key in causes else "round",
        reason="mistake",
        share=mistake.share,
        bits=0.0,
        gain_db=mistake.gain_db,
        remedy=verbatim(mistake.doubt.todo),
        command=_command(found.command, [s for s in case.sites if s.key in mistake.keys]),
        text=mistake.text,
    )


def placed_first(findings: Sequence[Finding], mistake: Finding) -> list[Finding]:
    """The findings with a mistake among them: by share, but before others about its tensor.

    It comes before what collapsed, too: that is where the loss shows, and a mistake is why.
    """
    later = (
        number
        for number, other in enumerate(findings)
        if other.reason != "mistake"
        and (
            other.share <= mistake.share
            or other.tensor == mistake.tensor
            or other.reason == "collapse"
        )
    )
    here = next(later, len(findings))
    return [*findings[:here], mistake, *findings[here:]]


def _command(command: str, sites: Sequence[Site]) -> str:
    """What measures the cure: rules for a few tensors; for many, the whole plan by rules."""
    if len(sites) <= _FEW:
        wish = {"bias": "float"}
        wishes = [f"{s.tensor}={wish.get(s.role, 'min_max')}" for s in sites]
        return trying(command, wishes)
    words = quoting.words(command)
    kept = [w for w, before in zip(words, ["", *words], strict=False) if before != "--plan"]
    return quoting.command(w for w in kept if w != "--plan" and not w.startswith("--plan="))


def _shown(db: float | None) -> Figure:
    return say("mistake.no_error") if db is None else f"{db:.1f} dB"


@final
@dataclass(frozen=True)
class Anew:
    """A plan by the target's own rules in place of a file that its platform does not take.

    Attributes:
        before_db, after_db: Output's SQNR by the file and by the rules; None where there is no
            error.
    """

    before_db: float | None
    after_db: float | None

    def text(self, target: str) -> Message:
        """In words."""
        words = {"before": _shown(self.before_db), "after": _shown(self.after_db)}
        return say("plan.anew", target=target, **words)


def planned_anew(planned: Case, adopted: Case, source: Source) -> Anew:
    """What the target's own rules give, beside what the file gives in the same arithmetic.

    Args:
        planned: By the rules.
        adopted: By the file.
        source: Samples, of which the first few are used.
    """
    few = source.slice(0, min(len(source), _MEASURED))
    judge = Judge(planned.model, few, compared=planned.compared)
    return Anew(judge(adopted).sqnr_db, judge(planned).sqnr_db)


_BESIDE = frozenset({"I023", "I042", "I043"})  # whose cure is the simulation itself
_Pair = tuple[Figure, Case, Case]  # where it matters, with the mistake, without


def mistakes_of(
    case: Case, found: Match, doubts: Sequence[ReadError], own: ir.Model | None, source: Source
) -> list[Mistake]:
    """The doubts that cost something, dearest first.

    Args:
        case: As the file has it.
        found: What of the file belongs to which site.
        doubts: Suspicions and problems of its reader.
        own: The file, if it is a model that runs here and answers as ``case`` does.
        source: Samples, of which the first few are used.
    """
    kinds: dict[str, list[ReadError]] = {}
    for doubt in doubts:
        if doubt.tensors and (doubt.code in _CURES or (doubt.code in _BESIDE and own is not None)):
            kinds.setdefault(doubt.code, []).append(doubt)
    if not kinds:
        return []
    few = source.slice(0, min(len(source), _MEASURED))
    bench = _Bench(case, found, own, Judge(case.model, few, compared=case.compared))
    every = (m for kind in kinds.values() for m in bench.measured(kind))
    return sorted((m for m in every if m.share >= LEAST_SHARE and m.keys), key=lambda m: -m.share)


@final
@dataclass(frozen=True)
class _Bench:
    """Puts mistakes of one kind right, all together, and measures."""

    case: Case
    found: Match
    own: ir.Model | None
    judge: Judge

    def measured(self, kind: Sequence[ReadError]) -> list[Mistake]:
        keys = frozenset[str]().union(*map(self._keys, kind))
        if kind[0].code in _BESIDE:
            return self._beside_the_file(kind, keys)
        return [
            _mistake(kind, keys, scene, self.judge(ill).sqnr_db, self.judge(cured).sqnr_db)
            for scene, ill, cured in _CURES[kind[0].code](self.case, keys)
        ]

    def _keys(self, doubt: ReadError) -> Keys:
        here = self.found.origin.items()
        return frozenset(k for k, t in here if t in doubt.tensors and k in self.case.plan)

    def _beside_the_file(self, kind: Sequence[ReadError], keys: Keys) -> list[Mistake]:
        """A plan has one pair for a tensor, and the nodes of the model: the file alone shows it."""
        assert self.own is not None
        try:
            found = self.judge.of(self.own).sqnr_db
        except LostbitsError:  # a file need not run here to be diagnosed
            return []
        return [_mistake(kind, keys, "", found, self.judge(self.case).sqnr_db)]


def _mistake(
    kind: Sequence[ReadError],
    keys: Keys,
    scene: Figure,
    before: float | None,
    after: float | None,
) -> Mistake:
    errors = [0.0 if db is None else 10 ** (-db / 10) for db in (before, after)]
    share = 1 - errors[1] / errors[0] if errors[0] else 0.0
    return Mistake(kind[0], len(kind) - 1, tuple(sorted(keys)), scene, before, after, share)


def _ranges(method: str) -> Callable[[Case, Keys], list[_Pair]]:
    def cure(case: Case, keys: Keys) -> list[_Pair]:
        return [("", case, _with_ranges(case, keys, method))]

    return cure


def _with_ranges(case: Case, keys: Keys, method: str) -> Case:
    """Ranges of these sites anew, of those that share them too, and of biases that follow."""
    groups = {s.group for s in case.sites if s.streams and s.key in keys}
    sites = [
        s
        for s in case.sites
        if s.role != "bias" and (s.key in keys or (s.streams and s.group in groups))
    ]
    fresh = {s.key: refitted(case, s, "min_max" if s.role == "weight" else method) for s in sites}
    plan = with_biases(case, {**case.plan, **fresh}, frozenset(fresh))
    weights = {s.key for s in sites if s.role == "weight"}
    gone = {
        s.tensor
        for s in case.placed.sites
        if s.key in weights or (s.scales is not None and s.scales[1] in weights)
    }
    written = {name: a for name, a in case.written.items() if name not in gone}
    return replace(case, plan=plan, written=written)


def _biases(case: Case, keys: Keys) -> list[_Pair]:
    """As Q/DQ reads the biases, and as a kernel does, to which they are multiples of s_x * s_w."""
    right = plan_biases(case.model, case.placed, case.plan, case.target)
    sites = [s for s in case.sites if s.key in keys and s.key in right]
    plan = {**case.plan, **{s.key: right[s.key] for s in sites}}
    own = {
        s.tensor: (case.plan[s.key].codes(case.quantized_constant(s)) * right[s.key].scale)
        for s in sites
    }
    rest = {name: a for name, a in case.written.items() if name not in own}
    taken = {name: a.astype(np.float32) for name, a in own.items()}
    cured = replace(case, plan=plan, written=rest)
    kernels = replace(case, plan=plan, written={**rest, **taken})
    return [
        ("", case, cured),
        (say("mistake.kernels"), kernels, cured),
    ]


def _axes(case: Case, keys: Keys) -> list[_Pair]:
    """Scales along the channels that the target has them along."""
    theirs = {site.key: site for site in place(case.model, case.target).sites}
    other = {key: theirs[key] for key in keys if key in theirs}
    sites = tuple(other.get(site.key, site) for site in case.placed.sites)
    seen = {**case.seen, **look_at_constants(case.model, list(other.values()))}
    right = replace(case, placed=replace(case.placed, sites=sites), seen=seen)
    return [("", case, _with_ranges(right, keys, "min_max"))]


# An unbalanced Concat (I024) is not among them: the finer input loses its bits at the output of the
# Concat in any case, and there the diagnosis finds them by itself.
_CURES: Mapping[str, Callable[[Case, Keys], list[_Pair]]] = {
    "I005": _ranges("min_max"),
    "I020": _ranges("entropy"),
    "I021": _ranges("min_max"),
    "I022": _biases,
    "I025": _ranges("min_max"),
    "I031": _axes,
    "I032": _ranges("min_max"),
    "I045": _ranges("min_max"),
}
