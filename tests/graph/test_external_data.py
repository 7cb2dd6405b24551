"""External data: read from beside the model alone, whatever a file claims."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from lostbits.errors import ModelError
from lostbits.graph import large
from lostbits.graph.external import with_external_data
from lostbits.runtime.float_reference import open_reference
from text_models import proto, random

WEIGHT = random(8, 4)
GEMM = "g (float[N,8] x) => (float[N,4] y) { y = Gemm(x, w) }"


def pointing(tensor: TensorProto, **entries: object) -> TensorProto:
    """The tensor without its values, which are said to be elsewhere."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def external(**entries: object) -> onnx.ModelProto:
    model = proto(GEMM, w=WEIGHT)
    pointing(model.graph.initializer[0], **{"location": "w.bin", **entries})
    return model


def value(model: ir.Model, name: str = "w") -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def refused(model: onnx.ModelProto, path: Path, code: str = "M004") -> str:
    with pytest.raises(ModelError) as info:
        with_external_data(model, path)
    assert info.value.code == code
    return str(info.value)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Path of a model in a folder of its own, with the weight beside it and a secret outside."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "w.bin").write_bytes(WEIGHT.tobytes())
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    return folder / "model.onnx"


@pytest.mark.parametrize("entries", [{}, {"offset": 0}, {"offset": 0, "length": WEIGHT.nbytes}])
def test_data_beside_the_model_are_read(entries: dict[str, object], home: Path) -> None:
    np.testing.assert_array_equal(value(with_external_data(external(**entries), home)), WEIGHT)


def test_data_in_a_folder_below_are_read(home: Path) -> None:
    (home.parent / "parts").mkdir()
    (home.parent / "w.bin").rename(home.parent / "parts" / "w.bin")
    model = with_external_data(external(location="parts/w.bin"), home)
    np.testing.assert_array_equal(value(model), WEIGHT)


def test_a_model_named_without_its_folder_has_its_data_beside_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.parent)
    np.testing.assert_array_equal(value(with_external_data(external(), Path("model.onnx"))), WEIGHT)


def test_data_of_that_name_in_the_working_folder_are_not_taken(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are somebody else's, and the numbers would be wrong without a word."""
    (home.parent / "w.bin").rename(tmp_path / "w.bin")
    monkeypatch.chdir(tmp_path)
    message = refused(external(), home)
    assert "'w'" in message
    assert str(home.parent / "w.bin") in message


@pytest.mark.parametrize(
    "location",
    [
        "",
        ".",
        "..",
        "../secret.bin",
        "./../secret.bin",
        "parts/../../secret.bin",
        "..\\secret.bin",
        "C:\\secret.bin",
        "/etc/passwd",
        "//etc/passwd",
        "/proc/self/environ",
        "w.bin\0",
        "x" * 300,
        "w.bin/deeper",
        "nothing",
    ],
)
def test_other_places_are_refused(location: str, home: Path) -> None:
    refused(external(location=location), home)


def test_an_absolute_path_is_refused_even_to_the_folder_itself(home: Path) -> None:
    refused(external(location=str(home.parent / "w.bin")), home)


def _link(home: Path) -> None:
    (home.parent / "w.bin").symlink_to(home.parent.parent / "secret.bin")


def _link_to_the_system(home: Path) -> None:
    (home.parent / "w.bin").symlink_to("/proc/self/environ")


def _hard_link(home: Path) -> None:
    os.link(home.parent.parent / "secret.bin", home.parent / "w.bin")


def _pipe(home: Path) -> None:
    os.mkfifo(home.parent / "w.bin")


def _folder(home: Path) -> None:
    (home.parent / "w.bin").mkdir()


def _loop(home: Path) -> None:
    (home.parent / "w.bin").symlink_to("w.bin")


def _short(home: Path) -> None:
    (home.parent / "w.bin").write_bytes(WEIGHT.tobytes()[:-1])


def _empty(home: Path) -> None:
    (home.parent / "w.bin").touch()


@pytest.mark.parametrize(
    "make", [_link, _link_to_the_system, _hard_link, _pipe, _folder, _loop, _short, _empty]
)
def test_what_is_no_whole_file_of_this_folder_is_refused(
    make: Callable[[Path], None], home: Path
) -> None:
    (home.parent / "w.bin").unlink()
    make(home)
    assert "'w.bin'" in refused(external(), home)


def test_links_that_stay_in_the_folder_are_followed(home: Path) -> None:
    (home.parent / "v.bin").symlink_to("w.bin")
    model = with_external_data(external(location="v.bin"), home)
    np.testing.assert_array_equal(value(model), WEIGHT)


def test_a_store_of_linked_files_is_read(tmp_path: Path, home: Path) -> None:
    """Tools that fetch models keep the files in one folder and link to them from another."""
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    home.touch()
    (snapshot / "model.onnx").symlink_to(home)
    (snapshot / "w.bin").symlink_to(home.parent / "w.bin")
    model = with_external_data(external(), snapshot / "model.onnx")
    np.testing.assert_array_equal(value(model), WEIGHT)


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": -4},
        {"offset": 4},
        {"offset": "zero"},
        {"offset": "1_0"},
        {"offset": "\u0663"},
        {"offset": 2**62},
        {"offset": "9" * 5000},
        {"length": -1},
        {"length": 0},
        {"length": WEIGHT.nbytes - 1},
        {"length": WEIGHT.nbytes + 1},
        {"length": 2**63},
    ],
)
def test_extents_that_do_not_fit_are_refused(entries: dict[str, object], home: Path) -> None:
    refused(external(**entries), home)


@pytest.mark.parametrize("dims", [[2**62, 2**62], [2**40], [-1], [1] * 70, [0, 2**62]])
def test_shapes_are_looked_at_before_anything_is_read(dims: list[int], home: Path) -> None:
    model = external()
    model.graph.initializer[0].dims[:] = dims
    refused(model, home, "M002")


@pytest.mark.parametrize(("kind", "code"), [(0, "M002"), (8, "M004"), (99, "M002")])
def test_types_without_bytes_are_refused(kind: int, code: str, home: Path) -> None:
    model = external()
    model.graph.initializer[0].data_type = kind
    refused(model, home, code)


def test_packed_values_are_read(home: Path) -> None:
    """Two of 4 bits share a byte."""
    model = external()
    model.graph.initializer[0].CopyFrom(
        pointing(TensorProto(name="w", data_type=TensorProto.INT4, dims=[3]), location="w.bin")
    )
    (home.parent / "w.bin").write_bytes(b"\x21\x03")
    codes = value(with_external_data(model, home))
    assert codes.astype(int).tolist() == [1, 2, 3]


def _in_attribute(tensor: TensorProto) -> onnx.ModelProto:
    model = proto("g (float[N,8] x) => (float[N,4] y) { y = Gemm(x, w) }")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=tensor))
    return model


def _in_inner_graph(tensor: TensorProto) -> onnx.ModelProto:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["z"])],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [8, 4])],
        [tensor],
    )
    model = proto("g (float[N,8] x, bool c) => (float[8,4] y) { y = Identity(c) }")
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    model.graph.node[0].CopyFrom(node)
    return model


def _in_function(tensor: TensorProto) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("Gemm", ["x", "w"], ["y"]),
    ]
    opsets = [helper.make_opsetid("", 17)]
    model = proto("g (float[N,8] x) => (float[N,4] y) { y = local.gemm(x) }")
    model.functions.append(helper.make_function("local", "gemm", ["x"], ["y"], nodes, opsets))
    return model


@pytest.mark.parametrize("where", [_in_attribute, _in_inner_graph, _in_function])
def test_data_are_read_wherever_a_model_has_tensors(
    where: Callable[[TensorProto], onnx.ModelProto], home: Path
) -> None:
    exact = where(numpy_helper.from_array(WEIGHT, "w"))
    tensor = pointing(numpy_helper.from_array(WEIGHT, "w"), location="w.bin")
    read = with_external_data(where(tensor), home)
    assert ir.to_proto(read) == ir.to_proto(ir.from_proto(exact))
    refused(where(pointing(tensor, location="../secret.bin")), home)


@pytest.mark.parametrize("offset", [0, 4096, 3])
def test_large_constants_of_a_large_model_stay_mapped(
    offset: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LARGE", "LARGE_MODEL"):
        monkeypatch.setattr(large, name, 16)
    monkeypatch.setattr("lostbits.graph.external.LARGE", 16)
    (home.parent / "w.bin").write_bytes(bytes(offset) + WEIGHT.tobytes())
    weight = value(with_external_data(external(offset=offset), home))
    np.testing.assert_array_equal(weight, WEIGHT)
    weight[...] = 0  # on a page of one's own
    assert (home.parent / "w.bin").read_bytes() == bytes(offset) + WEIGHT.tobytes()


def test_the_folder_is_left_as_it_was(home: Path) -> None:
    before = {p: p.stat()[stat.ST_MTIME] for p in home.parent.iterdir()}
    with_external_data(external(), home)
    assert {p: p.stat()[stat.ST_MTIME] for p in home.parent.iterdir()} == before


def test_a_constant_node_may_have_its_values_in_a_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX's checker looks for such a file in the working folder, and not beside the model."""
    model = proto("g (float[N,8] x) => (float[N,4] y) { y = Gemm(x, w) }", w=WEIGHT)
    tensor = TensorProto.FromString(model.graph.initializer[0].SerializeToString())
    del model.graph.initializer[:]
    node = helper.make_node("Constant", [], ["w"], value=pointing(tensor, location="w.bin"))
    model.graph.node.insert(0, node)
    home.write_bytes(model.SerializeToString())
    monkeypatch.chdir(home.parent.parent)
    opened = open_reference(home.relative_to(home.parent.parent))
    assert np.array_equal(value(opened.model), WEIGHT)
    (home.parent / "w.bin").unlink()
    with pytest.raises(ModelError, match=r"w\.bin") as info:
        open_reference(home)
    assert info.value.code == "M004"
