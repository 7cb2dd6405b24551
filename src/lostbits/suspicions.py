"""Known faults of other tools, recognised in the parameters that they wrote.

Each is a doubt, not a proof: it says what was seen and what that usually means. Faults that a
file shows by itself (scales of zero, two scales for one tensor) are problems of its reader.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import onnx_ir as ir

from lostbits.case import Case, Seen
from lostbits.errors import ReadError
from lostbits.graph.queries import LINEAR, name_of, node_name
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.matching import UNKNOWN, Match
from lostbits.reader import Entry, Parameters

_SAME = 0.005  # relative difference of two ends that are taken for equal
_UNBALANCED = 4.0  # ratio of scales at which the finer input of a Concat loses 2 bits
_FEWEST = 4  # tensors from which a habit of the tool is told from coincidence
_MOST = 0.9


def suspicions_of_graph(parameters: Parameters, model: ir.Model) -> list[ReadError]:
    """Doubts about tensors that meet in one node of ``model``, float or quantized."""
    entries = {name: e for e in reversed(parameters.entries) for name in e.names}
    found: list[ReadError] = []
    for node in model.graph:
        known = [None if v is None else entries.get(name_of(v)) for v in node.inputs]
        if node.op_type in LINEAR and len(known) > 2 and not _scaled(node):
            found += _bias_scale(node, known[0], known[1], known[2])
        if node.op_type == "Concat":
            found += _unbalanced(node, [e for e in known if e is not None])
    return found


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
    rule = "the scale of an int32 bias must be s_x * s_w, or the accumulator adds a wrong number"
    shown = f"{float(scale.ravel()[0]):.6g} against {float(product[0]):.6g}"
    todo = "write the bias anew with the scales of its input and weight"
    yield ReadError("I022", f"node {node_name(node)!r}", rule, shown, todo, [bias.tensor])


def _unbalanced(node: ir.Node, inputs: list[Entry]) -> Iterator[ReadError]:
    scales = [float(e.affine.scale.max()) for e in inputs]
    worst = max((max(a / b, b / a) for a, b in combinations(scales, 2)), default=1.0)
    if worst > _UNBALANCED:
        rule = "inputs of a Concat should have scales of one size"
        found = f"one is {worst:.3g} times another"
        todo = f"platforms with one scale for all take {np.log2(worst):.1f} bits off the finer one"
        names = [e.tensor for e in inputs]
        yield ReadError("I024", f"node {node_name(node)!r}", rule, found, todo, names)


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
        rule = "entropy calibration must cut something off somewhere"
        found = f"{full} of {len(pairs)} ranges are those of min-max"
        todo = "calibrate with more bins (2,048), or with another method"
        yield ReadError("I020", "calibration", rule, found, todo, _origins(match, pairs))


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
            rule = "a symmetric range must end at the largest magnitude, not the largest value"
            found = f"+-{_reach(affine):.4g} for values in [{low:.4g}, {high:.4g}]"
            todo = "ONNX Runtime's write_calibration_table does this; take max(|lo|, |hi|)"
            names = _origins(match, [pair])
            yield ReadError("I021", f"tensor {site.tensor!r}", rule, found, todo, names)


def _other_model(parameters: Parameters, match: Match, pairs: _Pairs) -> Iterator[ReadError]:
    """Names or ranges that cannot be this network's on these data."""
    named = len(parameters.entries) - len(_unknown(match.unmatched))
    if len(parameters.entries) >= _FEWEST and named < len(parameters.entries) / 2:
        found = f"{named} of {len(parameters.entries)} names are in the model"
        yield _of_another(found)
        return
    ratios = [_reach(a) / max(map(abs, _ends(s))) for _, a, s in pairs if max(map(abs, _ends(s)))]
    far = sum(not 1 / 4 < ratio < 4 for ratio in ratios)
    if len(ratios) >= _FEWEST and far > len(ratios) / 2:
        found = f"{far} of {len(ratios)} ranges are off by more than a factor of 4"
        yield _of_another(found, _origins(match, pairs))


def _unknown(unmatched: Mapping[str, str]) -> list[str]:
    return [tensor for tensor, reason in unmatched.items() if reason.startswith(UNKNOWN)]


def _of_another(found: str, tensors: Sequence[str] = ()) -> ReadError:
    rule = "parameters must come from this model on data like these"
    todo = "check that model, preprocessing and file belong together"
    return ReadError("I025", "file of parameters", rule, found, todo, tensors)
