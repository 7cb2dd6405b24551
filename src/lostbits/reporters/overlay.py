"""A result laid over the graph that other viewers draw: Google's Model Explorer, and Netron.

Model Explorer reads values by node from a JSON file beside the model ("node data"; ``results`` by
the id of a node, which of an ONNX node is its name, and ``[io]`` with the name of an input; source:
google-ai-edge/model-explorer, node_data_builder.py, and justinchuby/model-explorer-onnx, main.py).
Netron shows what stands in the file itself: metadata of the model, and of every node (ONNX IR 10).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import onnx_ir as ir

from lostbits.case import Case
from lostbits.exporter import Files, float_model, onnx_files
from lostbits.graph.queries import values_by_name
from lostbits.reporters.html import formats
from lostbits.reporters.html.tables import Row, rows
from lostbits.results.diagnosis import Diagnosis, LayerReport
from lostbits.results.recovery import SiteChange
from lostbits.runtime.metrics import Baseline

_IR = 10  # the first version of ONNX's IR in which a node has metadata
_ADDS, _CANCELS = (0xB8, 0x57, 0x8F), (0x1B, 0x8A, 0x8A)  # colours of the page


def overlay_files(case: Case, result: Diagnosis, stem: str) -> Files:
    """Node data and the copy of the float network, by file name.

    Args:
        case: That the result is of.
        result: What is laid over its graph.
        stem: What the names of the files begin with.

    Raises:
        ExportError: E010 for a network that no file can hold.
    """
    model = _named(float_model(case))
    placed = _by_node(model, rows(result))
    _annotate(model, result, placed)
    data = json.dumps(node_data(placed), indent=1, ensure_ascii=False, allow_nan=False)
    return {**onnx_files(f"{stem}.netron.onnx", model), f"{stem}.json": data.encode()}


def node_data(placed: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Share of the output error of every node, in percent, as Model Explorer reads it.

    Without the id of a graph, the values are those of whatever graph is shown.
    """
    shares = {node: sum(row.share for row in found) for node, found in placed.items()}
    most = max(map(abs, shares.values()), default=0.0)
    return {
        "results": {
            node: {"value": round(100 * share, 4), "bgColor": _colour(share, most)}
            for node, share in shares.items()
        }
    }


def _colour(share: float, most: float) -> str:
    """White for nothing, and by sign stronger towards the largest; the root shows small ones."""
    strength = (abs(share) / most) ** 0.5 if most else 0.0
    full = _ADDS if share >= 0 else _CANCELS
    return "#" + "".join(f"{round(255 + (each - 255) * strength):02x}" for each in full)


def _named(model: ir.Model) -> ir.Model:
    """Every node gets a name of its own, by which viewers know it."""
    taken: set[str] = set()
    for number, node in enumerate(model.graph):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
            while node.name in taken:
                node.name += "_"
        taken.add(node.name)
    return model


def _by_node(model: ir.Model, ranked: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the id of their node: what makes an activation, what reads a constant."""
    nodes = {node.name for node in model.graph}
    values = values_by_name(model.graph)
    table: dict[str, list[Row]] = {}
    for row in ranked:
        if (found := _node(row, nodes, values)) is not None:
            table.setdefault(found, []).append(row)
    return table


def _node(row: Row, nodes: set[str | None], values: Mapping[str, ir.Value]) -> str | None:
    """The site's own node; one that the network names otherwise is found by the tensor."""
    if row.site.node in nodes:
        return row.site.node
    value = values.get(row.site.tensor)
    if value is None:
        return None
    if value.is_graph_input():
        return f"[io]{value.name}"
    maker = value.producer() or next((user for user, _ in value.uses()), None)
    return None if maker is None else maker.name


def _annotate(model: ir.Model, result: Diagnosis, placed: Mapping[str, Sequence[Row]]) -> None:
    model.ir_version = max(model.ir_version, _IR)
    model.metadata_props.update(_of_model(result))
    changes = [] if result.recovered is None else result.recovered.sites
    after = {f"{change.tensor}:{change.role}": change for change in changes}
    layers = {layer.node: layer for layer in result.layers}
    for node in model.graph:
        assert node.name is not None
        found = placed.get(node.name, [])
        node.metadata_props.update(_of_node(found, layers.get(node.name), after))


def _of_model(result: Diagnosis) -> dict[str, str]:
    told = {
        "target": result.target.name,
        "verdict": str(result.verdict),
        "samples": str(result.judged_on.samples),
        **_figures("", result.baseline),
    }
    if result.recovered is not None:
        told |= {"recovered": str(result.recovered.text)}
        told |= _figures("recovered.", result.recovered.after)
    return {f"lostbits.{name}": text for name, text in told.items()}


def _figures(start: str, figures: Baseline) -> dict[str, str]:
    known = {
        "accuracy": formats.percent(figures.accuracy_quantized),
        "agreement": formats.percent(figures.agreement),
        "sqnr": f"{formats.decibel(figures.sqnr_db)} dB",
    }
    return {start + name: text for name, text in known.items() if not text.startswith(formats.NONE)}


def _of_node(
    found: Sequence[Row], layer: LayerReport | None, after: Mapping[str, SiteChange]
) -> dict[str, str]:
    """Share and errors of the layer, and a line for each of its tensors."""
    told = dict[str, str]()
    if found:
        told["lostbits.share"] = formats.percent(sum(row.share for row in found))
    if layer is not None:
        told["lostbits.own_error"] = formats.level(layer.own_error)
        told["lostbits.inherited_error"] = formats.level(layer.inherited_error)
    for row in found:
        text = ", ".join(_of_site(row, after.get(row.site.key)))
        told[f"lostbits.{row.site.role} {row.site.tensor}"] = text
    return told


def _of_site(row: Row, change: SiteChange | None) -> Iterator[str]:
    site = row.site
    yield f"{site.grid} {formats.span(site.lo, site.hi)}"
    yield f"SQNR {formats.decibel(site.sqnr_db)} dB"
    yield f"share {formats.percent(row.share)}"
    if change is not None and change.after is not None:
        yield f"after recovery {formats.percent(change.after.share)}"


def stem_of(path: str) -> str:
    """What the files' names begin with, whichever of the two names was given.

    >>> stem_of("net.json"), stem_of("net.netron.onnx"), stem_of("net")
    ('net', 'net', 'net')
    """
    name = PurePath(path).name
    for end in (".netron.onnx", ".onnx", ".json"):
        if name.endswith(end) and name != end:
            return name.removesuffix(end)
    return name
