"""Scripts that convert, run and dump on a platform that does not run here, beside its parameters.

One command on the platform's machine, ``sh run_on_device.sh``, makes the folder ``dumps``, which
``verify --dumps`` reads. The samples lie beside it, so that both sides see the same values.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.data import Source
from lostbits.exporter import Files

_SAMPLES = 4
_LARGEST = 1 << 26  # bytes of samples that are written
_SCRIPT, _PYTHON, _LIST, _DATA = "run_on_device.sh", "run_on_mlu.py", "input_list.txt", "inputs.npz"
Sample = Mapping[str, NDArray[Any]]

_NVIDIA = """#!/bin/sh -eu
# Builds, runs and dumps with TensorRT 10.12 or later, 11 included: trtexec (options as in
# samples/common/sampleOptions.cpp of TensorRT 10.16 and 11.1). Unfused tensors are dumped as they
# are, so that the engine is the one that is delivered; fused ones do not exist on the device.
# TensorRT 11 is strongly typed by itself and has no calibrators: the Q/DQ pairs are all it takes.
typed=""
if trtexec --help | grep -q -e --stronglyTyped; then typed="--stronglyTyped"; fi
trtexec --onnx={model} $typed {shapes} --markUnfusedTensorsAsDebugTensors \\
  --saveEngine=model.engine --skipInference
for number in {numbers}; do
  mkdir -p "dumps/Result_$number"
  (cd "dumps/Result_$number" && trtexec --loadEngine=../../model.engine {shapes} \\
    --loadInputs={inputs} --iterations=1 --duration=0 --warmUp=0 \\
    --exportOutput=outputs.json --saveAllDebugTensors=numpy)
done
# Older than 10.12: Polygraphy 0.53 marks every tensor as an output, which undoes some fusions:
#   polygraphy run {model} --trt --strongly-typed --trt-outputs mark all \\
#     --save-outputs dumps/polygraphy.json
"""

_SNPE = """#!/bin/sh -eu
# Converts, runs and dumps with SNPE of the Qualcomm AI Runtime 2.x (snpe-net-run --debug writes
# every layer as float32 into Result_N/NAME.raw). RUNTIME is --use_dsp on a device; the simulator of
# the SDK needs no option. Raw inputs are in the model's own layout: converters that take channels
# last by default need --preserve_io layout, or the files turned.
export INPUT_LIST={list}
{convert}
snpe-net-run --container model_quantized.dlc --input_list {list} ${{RUNTIME:-}} --debug \\
  --output_dir dumps
"""

_QNN = """#!/bin/sh -eu
# Converts, runs and dumps with Qualcomm AI Engine Direct (QNN) 2.x: qnn-net-run --debug writes each
# layer into Result_N/NAME.raw. BACKEND is libQnnHtp.so; its build for x86-64 emulates the device.
# Raw inputs are in the model's own layout; converters that take channels last by default need
# --preserve_io layout, or the files turned.
BACKEND="${{BACKEND:-$QNN_SDK_ROOT/lib/x86_64-linux-clang/libQnnHtp.so}}"
export INPUT_LIST={list}
sh convert.sh
{build}qnn-net-run --backend "$BACKEND" {loaded} --input_list {list} --debug --output_dir dumps
"""

_MLU = '''"""Builds, runs and dumps on a Cambricon MLU with MagicMind: python {script}.

Calls as in Cambricon magicmind_cloud (gen_model.py, infer.py) and in the C++ header
interface_network.h, whose names the Python binding spells with underscores; MagicMind 1.x. Every
tensor with parameters becomes an output of the network, and is saved under its own name.
"""

import json
from pathlib import Path

import magicmind.python.runtime as mm
import numpy as np
from magicmind.python.runtime.parser import Parser

network, parser = mm.Network(), Parser(mm.ModelKind.kOnnx)
assert parser.parse(network, "{model}").ok()
names = []
for site in json.loads(Path("cambricon.json").read_text())["sites"]:
    node = network.find_node_by_name(site["node"]) if site["node"] else None
    if site["role"] == "activation" and node is not None:
        ends = max(abs(site["lo"]), abs(site["hi"])) if site["zero_point"] == 0 else None
        low, high = (site["lo"], site["hi"]) if ends is None else (-site["hi"], site["hi"])
        node.get_input(0).set_dynamic_range(mm.Range(low, high), False)
        network.mark_output(node.get_input(0))
        names.append(site["tensor"])
config = mm.BuilderConfig()
assert config.parse_from_file("magicmind_config.json").ok()
model = mm.Builder().build_model("model", network, config)
model.serialize_to_file("model.magicmind")
device = mm.Device()
device.id = 0
assert device.active().ok()
context, queue = model.create_i_engine().create_i_context(), device.create_queue()
samples = np.load("{data}")
for number in range({count}):
    inputs = context.create_inputs()
    for index, name in enumerate(samples.files):
        inputs[index].from_numpy(samples[name][number : number + 1])
    outputs = context.create_outputs(inputs)
    assert context.enqueue(inputs, outputs, queue).ok() and queue.sync().ok()
    folder = Path("dumps") / f"Result_{{number}}"
    folder.mkdir(parents=True, exist_ok=True)
    own = len(outputs) - len(names)
    for name, output in zip(names, outputs[own:]):
        np.save(folder / (name.replace("/", "_") + ".npy"), np.array(output.asnumpy()))
'''


_BAKED = """snpe-onnx-to-dlc --input_network {model} --output_path model.dlc
snpe-dlc-quantize --input_dlc model.dlc --input_list "$INPUT_LIST" \\
  --output_dlc model_quantized.dlc"""
_LIBRARY = "qnn-model-lib-generator -c model.cpp -b model.bin -t x86_64-linux-clang -o libs\n"


def scripts(name: str, files: Files, source: Source | None) -> Files:
    """Script, samples and list of them for a format whose platform does not run here.

    Args:
        name: Of the exporter.
        files: That it has written; the model among them.
        source: Samples; without any there is nothing to run.
    """
    if source is None or name not in _MADE:
        return {}
    samples = [part.feeds for part in islice(source.batches(1), _SAMPLES)]
    if sum(a.nbytes for feeds in samples for a in feeds.values()) > _LARGEST:
        return {}
    model = next(file for file in files if file.endswith(".onnx"))
    script = _PYTHON if name == "cambricon" else _SCRIPT
    raw = {
        f"inputs/{number}/{_file(tensor)}.raw": np.ascontiguousarray(array).tobytes()
        for number, feeds in enumerate(samples)
        for tensor, array in feeds.items()
    }
    content = {script: _MADE[name](model, samples), _LIST: _list(samples)}
    lines = {file: text.encode() for file, text in content.items()}
    return {**lines, _DATA: _stacked(samples), **({} if name == "cambricon" else raw)}


def _list(samples: Sequence[Sample]) -> str:
    """A line a sample, as SNPE's and QNN's tools read it."""
    lines = (
        " ".join(f"{tensor}:=inputs/{number}/{_file(tensor)}.raw" for tensor in feeds)
        for number, feeds in enumerate(samples)
    )
    return "".join(f"{line}\n" for line in lines)


def _file(tensor: str) -> str:
    """A name that is no path."""
    return tensor.replace("/", "_").replace(":", "_")


def _stacked(samples: Sequence[Sample]) -> bytes:
    stream = io.BytesIO()
    arrays: dict[str, Any] = {n: np.concatenate([s[n] for s in samples]) for n in samples[0]}
    np.savez(stream, **arrays)
    return stream.getvalue()


def _nvidia(model: str, samples: Sequence[Sample]) -> str:
    shapes = ",".join(f"{n}:{'x'.join(map(str, a.shape))}" for n, a in samples[0].items())
    inputs = ",".join(f"'{n}':../../inputs/$number/{_file(n)}.raw" for n in samples[0])
    numbers = " ".join(map(str, range(len(samples))))
    words = {"shapes": f"--shapes={shapes}", "inputs": inputs, "numbers": numbers}
    return _NVIDIA.format(model=model, **words)


def _snpe(model: str, samples: Sequence[Sample]) -> str:
    return _SNPE.format(list=_LIST, convert="sh convert.sh")


def _baked(model: str, samples: Sequence[Sample]) -> str:
    return _SNPE.format(list=_LIST, convert=_BAKED.format(model=model))


def _library(model: str, samples: Sequence[Sample]) -> str:
    loaded = "--model libs/x86_64-linux-clang/libmodel.so"
    return _QNN.format(list=_LIST, build=_LIBRARY, loaded=loaded)


def _dlc(model: str, samples: Sequence[Sample]) -> str:
    return _QNN.format(list=_LIST, build="", loaded="--dlc_path model_quantized.dlc")


def _mlu(model: str, samples: Sequence[Sample]) -> str:
    return _MLU.format(model=model, data=_DATA, count=len(samples), script=_PYTHON)


_MADE = {
    "qdq-tensorrt": _nvidia,
    "encodings-0.6.1": _snpe,
    "encodings-1.0.0": _library,
    "encodings-2.0.0": _dlc,
    "baked": _baked,
    "cambricon": _mlu,
}
