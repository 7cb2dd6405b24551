"""Whether ONNX Runtime loads what is exported, at every level of its optimisation.

Random networks of opsets 11 to 21, planned by every target, written by every exporter of Q/DQ
files and as ``quantized.onnx`` of a recovery::

    python -m benchmarks.exported_load [--nets 318] [--seed 0] [--targets snpe,...]

Prints how many files were refused, gave other numbers than the simulation, or have other inputs
and outputs than the network, by opset and target. Ends with status 1 if there are any.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.cases import planned
from lostbits.case import Case
from lostbits.errors import LostbitsError, first_line
from lostbits.exporter import serialized
from lostbits.exporters import ALL as EXPORTERS
from lostbits.exporters.qdq import Qdq
from lostbits.graph.instrument import quantized, with_constants
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model
from lostbits.targets import ALL as TARGETS

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from random_nets import Samples, random_net, samples_for

_SAMPLES = 64
_SAME_DB = 0.1  # difference of two SQNRs that is none
_LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")
_KINDS = ("refused", "other numbers", "other ends")
Arrays = Mapping[str, NDArray[Any]]


@final
@dataclass(frozen=True)
class Fault:
    """What is wrong with one file.

    Attributes:
        kind: ``refused``, ``other numbers`` or ``other ends``.
        format: Name of the exporter, or ``quantized.onnx``.
        detail: The message, or the figures.
    """

    kind: str
    format: str
    detail: str


def main() -> None:
    """Print a row for every opset, and what was wrong."""
    arguments = _arguments()
    names = arguments.targets.split(",") if arguments.targets else [t.name for t in TARGETS]
    counts, files = Counter[tuple[int, str, str]](), Counter[tuple[int, str]]()
    for seed in range(arguments.seed, arguments.seed + arguments.nets):
        model = random_net(seed)
        version = model.opset_import[0].version
        for name in names:
            for fault in faults(model, seed, name, files):
                counts[version, name, fault.kind] += 1
                print(f"seed {seed}, opset {version}, {name}, {fault}", flush=True)
    _report(names, counts, files)
    sys.exit(1 if counts else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", type=int, default=318)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", default="")
    return parser.parse_args()


def _report(
    names: list[str], counts: Counter[tuple[int, str, str]], files: Counter[tuple[int, str]]
) -> None:
    print("| opset | target | files | refused | other numbers | other ends |")
    print("|---|---|---|---|---|---|")
    for version in sorted({v for v, _ in files}):
        for name in names:
            found = (counts[version, name, kind] for kind in _KINDS)
            cells = (version, name, files[version, name], *found)
            print("|", " | ".join(map(str, cells)), "|")


def faults(
    model: onnx.ModelProto, seed: int, name: str, files: Counter[tuple[int, str]]
) -> Iterator[Fault]:
    """What is wrong with the files of one network and target; ``files`` counts them."""
    data = samples_for(model, _SAMPLES, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.save(model, path)
        try:
            source, case = planned(path, data, name)
        except LostbitsError as error:
            print(f"seed {seed}, {name}: not measured: {error}")
            return
    feeds = next(iter(source.batches(_SAMPLES))).feeds
    floats = _run(case.model, feeds)
    for file in written(case):
        files[model.opset_import[0].version, name] += 1
        expected = floats, _run(simulated(file.case), feeds)
        yield from _faults_of(file, model, feeds, expected)


@final
@dataclass(frozen=True)
class File:
    """A Q/DQ file, and the case that it is to be: the exported one, without what is not written."""

    format: str
    content: bytes
    case: Case


def written(case: Case) -> Iterator[File]:
    """Every Q/DQ file that can be made of a case."""
    yield File("quantized.onnx", serialized(quantized_model(case)), case)
    for exporter in EXPORTERS:
        if isinstance(exporter, Qdq):
            try:
                content = exporter.write(case)[exporter.files[0]]
            except LostbitsError:  # a plan that this platform does not take
                continue
            plan = {site.key: case.plan[site.key] for site in exporter.sites(case)}
            yield File(exporter.name, content, replace(case, plan=plan))


def simulated(case: Case) -> ir.Model:
    """The graph whose figures a diagnosis reports."""
    return quantized(with_constants(case.model, case.written), case.sites, case.plan)


def _run(model: ir.Model, feeds: Samples) -> Arrays:
    """Outputs by the names of the float model."""
    found = Session(model, optimise=False).run(feeds)
    return {name.removesuffix("__quantized"): value for name, value in found.items()}


def _faults_of(
    file: File,
    model: onnx.ModelProto,
    feeds: Samples,
    expected: tuple[Arrays, Arrays],
) -> Iterator[Fault]:
    if (ends := _ends(onnx.load_from_string(file.content))) != _ends(model):
        yield Fault("other ends", file.format, f"{ends} instead of {_ends(model)}")
    for level in _LEVELS:
        try:
            session = _session(file.content, level)
            found = session.run(None, dict(feeds))
        except Exception as error:  # whatever ONNX Runtime raises is what is counted
            yield Fault("refused", file.format, f"{level}: {first_line(error)[:300]}")
            return
        names = [output.name for output in session.get_outputs()]
        values = dict(zip(names, found, strict=True))
        if level == _LEVELS[0] and (detail := _difference(values, *expected)):
            yield Fault("other numbers", file.format, detail)


def _ends(model: onnx.ModelProto) -> list[str]:
    """Inputs and outputs with their types and shapes, in order."""
    graph = model.graph
    return [_shown(v) for v in (*graph.input, *graph.output)]


def _shown(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    dims = [d.dim_param or str(d.dim_value) for d in kind.shape.dim]
    return f"{value.name}: {kind.elem_type} [{', '.join(dims)}]"


def _session(content: bytes, level: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _difference(found: Arrays, floats: Arrays, simulated: Arrays) -> str:
    """How far the outputs' SQNRs are from those of the simulation, where that is anything."""
    for name, one in found.items():
        real, other = floats[name], simulated[name]
        if np.allclose(one, other, rtol=1e-4, atol=1e-5):
            continue
        figures = _sqnr_db(real, one), _sqnr_db(real, other)
        if abs(figures[0] - figures[1]) > _SAME_DB:
            return "{:.2f} dB instead of {:.2f} dB".format(*figures)
    return ""


def _sqnr_db(real: NDArray[Any], quantized: NDArray[Any]) -> float:
    noise = np.square(quantized.astype(np.float64) - real).sum()
    return float(10 * np.log10(np.square(real.astype(np.float64)).sum() / max(noise, 1e-30)))


if __name__ == "__main__":
    main()
