"""Known faults of other tools, recognised in the parameters that they wrote.

Each is a doubt, not a proof: it says what was seen and what that usually means. Faults that a
file shows by itself (scales of zero, two scales for one tensor) are problems of its reader.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import onnx_ir as ir

from lostbits.case import Case, Seen
from lostbits.errors import ReadError
from lostbits.foreign.graph_doubts import some
from lostbits.foreign.match_names import Match
from lostbits.graph.queries import LINEAR, name_of, node_name
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.kernels.reaches import LayerReach
from lostbits.language import Message, say
from lostbits.reader import Entry, Parameters, doubt

_SAME = 0.005  # relative difference of two ends that are taken for equal
_UNBALANCED = 4.0  # ratio of scales at which the finer input of a Concat loses 2 bits
_FEWEST = 4  # tensors from which a habit of the tool is told from coincidence
_MOST = 0.9


def suspicions_of_graph(parameters: Parameters, model: ir.Model) -> list[ReadError]:
    """Doubts about tensors that meet in one node of ``model``, float or quantized."""
    entries = {name: e for e in reversed(parameters.entries) for name in e.names}
    found: list[ReadError] = [*_without_static(parameters), *_misplaced(parameters, model)]
    for node in model.graph:
        known = [None if v is None else entries.get(name_of(v)) for v in node.inputs]
        if node.op_type in LINEAR and len(known) > 2 and not _scaled(node):
            found += _bias_scale(node, known[0], known[1], known[2])
        if node.op_type == "Concat":
            found += _unbalanced(node, [e for e in known if e is not None])
    return found


def _misplaced(parameters: Parameters, model: ir.Model) -> Iterator[ReadError]:
    """Of activations that the file lists as constants."""
    if wrong := misplaced(parameters, model):
        figures = {"count": str(len(wrong)), "names": some(wrong)}
        yield doubt("I044", say("doubt.file"), figures, wrong)


def misplaced(parameters: Parameters, model: ir.Model) -> list[str]:
    """Activations that the file lists as constants."""
    computed = {name_of(v) for v in model.graph.inputs}
    computed |= {name_of(v) for node in model.graph for v in node.outputs}
    return [name for name in parameters.constants if name in computed]


def suspicions_of_sums(sums: Sequence[LayerReach]) -> list[ReadError]:
    """Doubts about layers whose sums can leave their range, one for each kind of sum."""
    found = []
    for kind in ("pairs", "sums"):
        some = [each for each in sums if each.kind == kind]
        if some:
            written = max(some, key=lambda each: each.reach.written)
            figures = {"count": str(len(some)), "node": repr(some[0].node)}
            figures |= {"worst": f"{some[0].reach.packed:,}", "limit": f"{some[0].reach.limit:,}"}
            figures |= {"written": f"{written.reach.written:,}", "other": repr(written.node)}
            weights = [each.weight for each in some]
            where = say("doubt.node", name=repr(some[0].node))
            found.append(doubt("I040" if kind == "pairs" else "I041", where, figures, weights))
    return found


def _without_static(parameters: Parameters) -> Iterator[ReadError]:
    """A file whose activations have the scale of each run, or none."""
    where = say("doubt.file")
    if parameters.dynamic:
        yield without_static(parameters.dynamic)
    elif parameters.weights_only:
        blocks = sum(problem.code == "I007" for problem in parameters.problems)
        yield doubt("I027", where, {"count": str(len(parameters.entries) + blocks)}, ())


def without_static(tensors: Sequence[str]) -> ReadError:
    """I026 for activations that have the scale of each run, and none to plan or export."""
    figures = {"count": str(len(tensors)), "tensor": repr(tensors[0])}
    return doubt("I026", say("doubt.file"), figures, tensors)


def _scaled(node: ir.Node) -> bool:
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    return node.op_type == "Gemm" and factors != [1.0, 1.0]


def _bias_scale(
    node: ir.Node, x: Entry | None, w: Entry | None, bias: Entry | None
) -> Iterator[ReadError]:
    if x is None or w is None or bias is None or bias.affine.grid.bits < 32:
        return
    product, scale = np.atleast_1d(x.affine.scale * w.affine.scale), bias.affine.scale
    size = max(scale.size, product.size)
    if size % product.size == 0 and size % scale.size == 0:
        wanted = np.tile(product, size // product.size)
        found = np.tile(np.atleast_1d(scale), size // scale.size)
        if np.allclose(found, wanted, rtol=1e-4, atol=0):
            return
    first, other = (f"{float(s.ravel()[0]):.6g}" for s in (scale, product))
    yield doubt("I022", _at(node), {"found": first, "wanted": other}, [bias.tensor])


def _at(node: ir.Node) -> Message:
    return say("doubt.node", name=repr(node_name(node)))


def _unbalanced(node: ir.Node, inputs: list[Entry]) -> Iterator[ReadError]:
    scales = [float(e.affine.scale.max()) for e in inputs]
    worst = max((max(a / b, b / a) for a, b in combinations(scales, 2)), default=1.0)
    if worst > _UNBALANCED:
        figures = {"times": f"{worst:.3g}", "bits": f"{np.log2(worst):.1f}"}
        yield doubt("I024", _at(node), figures, [e.tensor for e in inputs])


def suspicions_of_data(
    parameters: Parameters, match: Match, case: Case, method: str | None = None
) -> list[ReadError]:
    """Doubts about ranges, by what the same tensors held in the calibration data of ``case``.

    Args:
        parameters: The file.
        match: Its entries, by sites of the case.
        case: With statistics of the tensors.
        method: The range method that the file is said to come from; default, what it says itself.
    """
    sites = {s.key: s for s in case.placed.sites}
    pairs = [
        (sites[k], a, case.seen[k])
        for k, a in match.plan.items()
        if k in case.seen and sites[k].streams and a.axis is None
    ]
    return [
        *_other_model(parameters, match, pairs),
        *_minimum_and_maximum(match, pairs, method or parameters.method),
        *_one_sided(match, pairs),
    ]


_Pairs = list[tuple[Site, Affine, Seen]]


def _origins(match: Match, pairs: _Pairs) -> list[str]:
    """Names that the file has for the sites."""
    return [match.origin.get(site.key, site.tensor) for site, _, _ in pairs]


def _ends(seen: Seen) -> tuple[float, float]:
    return float(seen.whole.lo.min()), float(seen.whole.hi.max())


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= _SAME * max(abs(a), abs(b))


def _minimum_and_maximum(match: Match, pairs: _Pairs, method: str | None) -> Iterator[ReadError]:
    """ONNX Runtime's entropy with its default of 128 bins has one candidate: the whole range."""
    if method is None or "entropy" not in method.lower() or len(pairs) < _FEWEST:
        return
    full = sum(_close(_reach(affine), max(map(abs, _ends(seen)))) for _, affine, seen in pairs)
    if full >= _MOST * len(pairs):
        figures = {"full": str(full), "all": str(len(pairs))}
        where = say("doubt.calibration")
        yield doubt("I020", where, figures, _origins(match, pairs))


def _reach(affine: Affine) -> float:
    """The larger magnitude of the two ends; a symmetric range ends at qmax on both sides."""
    if affine.grid.signed and not affine.zero_point.any():
        return float(affine.hi)
    return float(max(abs(affine.lo), abs(affine.hi)))


def _one_sided(match: Match, pairs: _Pairs) -> Iterator[ReadError]:
    """A symmetric range that ends at the maximum although the minimum is larger in magnitude."""
    for pair in pairs:
        site, affine, seen = pair
        low, high = _ends(seen)
        symmetric = affine.grid.signed and not affine.zero_point.any()
        if symmetric and -low > 1.05 * high > 0 and _close(_reach(affine), high):
            ends = {"low": f"{low:.4g}", "high": f"{high:.4g}"}
            figures = {"reach": f"{_reach(affine):.4g}", **ends}
            where = say("doubt.tensor", name=repr(site.tensor))
            yield doubt("I021", where, figures, _origins(match, [pair]))


def _other_model(parameters: Parameters, match: Match, pairs: _Pairs) -> Iterator[ReadError]:
    """Names or ranges that cannot be this network's on these data."""
    named = len(parameters.entries) - len(match.unknown)
    if len(parameters.entries) >= _FEWEST and named < len(parameters.entries) / 2:
        counts = {"named": str(named), "all": str(len(parameters.entries))}
        yield _of_another(say("doubt.other_names", **counts))
        return
    ratios = [_reach(a) / max(map(abs, _ends(s))) for _, a, s in pairs if max(map(abs, _ends(s)))]
    far = sum(not 1 / 4 < ratio < 4 for ratio in ratios)
    if len(ratios) >= _FEWEST and far > len(ratios) / 2:
        found = say("doubt.other_ranges", far=str(far), all=str(len(ratios)))
        yield _of_another(found, _origins(match, pairs))


def _of_another(found: Message, tensors: Sequence[str] = ()) -> ReadError:
    return doubt("I025", say("doubt.file"), {"found": found}, tensors)
