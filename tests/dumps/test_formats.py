"""Files as the documents of devices and tools describe them, built here byte by byte."""

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lostbits.dump import Stored
from lostbits.dumps import ALL, MEMBERS, stored_in
from lostbits.errors import DumpError

IMAGE = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4)


def read(path: Path) -> tuple[list[Stored], list[str]]:
    problems: list[DumpError] = []
    found, formats = stored_in(path, problems)
    assert not problems
    return found, [kind.name for kind in formats]


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_arrays_of_numpy(tmp_path: Path) -> None:
    (tmp_path / "sample_2").mkdir()
    np.save(tmp_path / "sample_2" / "conv1.npy", IMAGE)
    members: dict[str, Any] = {"relu": IMAGE, "a/b:0": IMAGE}
    np.savez(tmp_path / "all.npz", **members)
    found, formats = read(tmp_path)
    assert formats == ["numpy"]
    assert {(s.name, s.sample) for s in found} == {("conv1", 2), ("relu", None), ("a/b:0", None)}
    assert all(np.array_equal(np.asarray(s.content()), IMAGE) for s in found)


def test_raw_files_of_snpe_and_qnn(tmp_path: Path) -> None:
    """``Result_N/NAME.raw``; a slash in a name is a folder, native files have an ending."""
    for run in range(2):
        (tmp_path / f"Result_{run}" / "layer1").mkdir(parents=True)
        (tmp_path / f"Result_{run}" / "layer1" / "conv.raw").write_bytes(IMAGE.tobytes())
        (tmp_path / f"Result_{run}" / "prob_native.raw").write_bytes(b"\x01\x02")
    found, formats = read(tmp_path)
    assert formats == ["raw"]
    names = {(s.name, s.sample) for s in found}
    assert names == {("layer1/conv", 0), ("prob", 0), ("layer1/conv", 1), ("prob", 1)}
    assert {s.content() for s in found if s.name == "prob"} == {b"\x01\x02"}


def test_bindings_of_trtexec(tmp_path: Path) -> None:
    """As exportJSONOutput in sampleReporting.cpp prints them."""
    values = ", ".join(f"{v:g}" for v in IMAGE.ravel())
    text = f'[\n{{ "name" : "conv1", "dimensions" : "1x2x3x4", "values" : [ {values} ]\n }} ]\n'
    (tmp_path / "out.json").write_text(text)
    found, formats = read(tmp_path)
    assert formats == ["trtexec"]
    assert [s.name for s in found] == ["conv1"]
    assert np.array_equal(np.asarray(found[0].content()), IMAGE)


def test_results_of_polygraphy(tmp_path: Path) -> None:
    """Arrays are base64 of .npy, inside a LazyArray since 0.31 and by themselves before."""
    array = {"array": base64.b64encode(npy(IMAGE)).decode(), "polygraphy_class": "ndarray"}
    lazy = {"values": array, "polygraphy_class": "LazyArray"}
    rows = [
        {"outputs": {"conv1": held}, "runtime": None, "runner_name": "trt-runner"}
        for held in (lazy, array)
    ]
    document = {"lst": [["trt-runner", rows]], "polygraphy_class": "RunResults"}
    (tmp_path / "results.json").write_text(json.dumps(document))
    found, formats = read(tmp_path)
    assert formats == ["polygraphy"]
    assert [(s.name, s.sample) for s in found] == [("conv1", 0), ("conv1", 1)]
    assert all(np.array_equal(np.asarray(s.content()), IMAGE) for s in found)


def test_snapshots_of_rknn_are_those_of_the_device(tmp_path: Path) -> None:
    """Never the float network's, which lie beside them."""
    for kind in ("golden", "simulator"):
        (tmp_path / kind / "npy").mkdir(parents=True)
        np.save(tmp_path / kind / "npy" / "17.npy", IMAGE + (kind == "golden"))
    (tmp_path / "map_name_to_file.txt").write_text("/layer1/conv/Conv_output_0    17.npy\n")
    (tmp_path / "error_analysis.txt").write_text("# layer  cos\n")
    found, formats = read(tmp_path)
    assert formats == ["rknn"]
    assert [s.name for s in found] == ["/layer1/conv/Conv_output_0"]
    assert np.array_equal(np.asarray(found[0].content()), IMAGE)


def test_snapshots_of_the_older_rknn_are_text(tmp_path: Path) -> None:
    (tmp_path / "entire_qnt").mkdir()
    (tmp_path / "error_analysis.txt").write_text("")
    lines = "\n".join(f"{v:g}" for v in IMAGE.ravel())
    (tmp_path / "entire_qnt" / "conv1.txt").write_text(lines)
    found, _ = read(tmp_path)
    assert [s.name for s in found] == ["conv1"]
    assert np.array_equal(np.asarray(found[0].content()), IMAGE.ravel())


@pytest.mark.parametrize("floats", [True, False])
def test_traces_of_tidl(tmp_path: Path, *, floats: bool) -> None:
    """Buffer, batch, channels, width and height are in the name; names in layer_info.txt."""
    base = "tidl_trace0072_00001_00002_00004x00003"
    codes = IMAGE.astype(np.uint8)
    (tmp_path / f"{base}.y").write_bytes(codes.tobytes())
    if floats:
        (tmp_path / f"{base}_float.bin").write_bytes(IMAGE.tobytes())
    (tmp_path / "264_tidl_net.bin.layer_info.txt").write_text("3 72 conv1 \n4 73 relu1\n")
    found, formats = read(tmp_path)
    assert formats == ["tidl"]
    assert [s.name for s in found] == ["conv1"]
    content = found[0].content()
    assert np.array_equal(np.asarray(content), IMAGE) if floats else content == codes.tobytes()


def test_tensors_of_onnxruntime(tmp_path: Path) -> None:
    content = numpy_helper.from_array(IMAGE, "whatever").SerializeToString()
    (tmp_path / "conv1_rank_0.tensorproto").write_bytes(content)
    found, formats = read(tmp_path)
    assert formats == ["onnxruntime"]
    assert [s.name for s in found] == ["conv1"]
    assert np.array_equal(np.asarray(found[0].content()), IMAGE)
    assert onnx.TensorProto.FromString(content).name == "whatever"


def test_a_folder_may_hold_several_formats(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGE)
    (tmp_path / "b.raw").write_bytes(struct.pack("<2f", 1, 2))
    found, formats = read(tmp_path)
    assert formats == ["numpy", "raw"]
    assert [s.name for s in found] == ["a", "b"]


def test_one_file_is_enough(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGE)
    assert [s.name for s in read(tmp_path / "a.npy")[0]] == ["a"]


@pytest.mark.parametrize("made", [True, False])
def test_nothing_to_read_is_an_error(tmp_path: Path, *, made: bool) -> None:
    folder = tmp_path / "none"
    if made:
        folder.mkdir()
        (folder / "log.md").write_text("nothing")
    with pytest.raises(DumpError) as error:
        read(folder)
    assert error.value.code == "V001"


DAMAGED = {
    "cut.npz": npy(IMAGE)[:40],
    "cut.json": b'[{"name": "a", "dimensions": "2", "values": [1',
    "poly.json": b'{"lst": []}',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_does_not_end_the_others(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "a.npy", IMAGE)
    (tmp_path / name).write_bytes(DAMAGED[name])
    problems: list[DumpError] = []
    found, _ = stored_in(tmp_path, problems)
    assert [s.name for s in found] == ["a"]
    assert [p.code for p in problems] == ["V002"]


@pytest.mark.parametrize("name", ["cut.npy", "tidl_trace0001_00001_00002_00004x00003.y", "a.pb"])
def test_damaged_content_is_coded_when_it_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x93NUMPY-")
    found, _ = read(tmp_path)
    with pytest.raises(DumpError) as error:
        found[0].content()
    assert error.value.code == "V002"


def test_formats_are_found_by_name() -> None:
    assert [MEMBERS.find(kind.name) for kind in ALL] == list(ALL)
    with pytest.raises(DumpError) as error:
        MEMBERS.find("nothing")
    assert error.value.code == "V001"
