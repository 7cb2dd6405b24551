"""Files of parameters that are damaged, hostile or merely unlucky end in words, not in a trace."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from typer.testing import CliRunner

from exported_nets import case_of, net
from lostbits.cli import app as cli
from lostbits.errors import LostbitsError, ReadError
from lostbits.exporter import serialized
from lostbits.exporters import exporter
from lostbits.readers import read
from lostbits.system import memory
from lostbits.targets import TENSORRT
from lostbits.verbs.inspect import inspect
from text_models import random

DATA = random(6, 4, 6, 6)
SECRET = np.float32(9.75)


def qdq() -> onnx.ModelProto:
    return onnx.load_from_string(exporter("qdq-qnn").write(case_of())["model_qdq.onnx"])


def scale_of(model: onnx.ModelProto) -> TensorProto:
    """The scale of the network's input."""
    return next(t for t in model.graph.initializer if t.name == "x:activation__scale")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the float model and samples; the working folder is another one."""
    folder, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for each in (folder, elsewhere):
        each.mkdir()
    (folder / "float.onnx").write_bytes(serialized(net()))
    np.save(folder / "data.npy", DATA)
    for place in (tmp_path, elsewhere):
        (place / "q.data").write_bytes(SECRET.tobytes())
    monkeypatch.chdir(elsewhere)
    return folder


def three_ways(file: Path) -> list[list[str]]:
    """The commands that read somebody else's file."""
    folder = file.parent
    model, data = str(folder / "float.onnx"), str(folder / "data.npy")
    return [
        ["inspect", str(file)],
        ["inspect", str(file), "--model", model],
        ["diagnose", model, "--data", data, "--plan", str(file), "--out", str(folder / "out")],
        ["verify", str(file), "--backend", "onnxruntime", "--data", data, "--against", model],
    ]


def outcome(arguments: list[str]) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


PLACES: dict[str, Callable[[Path], str]] = {
    "in the working folder": lambda home: "q.data",
    "above": lambda home: "../q.data",
    "by its whole path": lambda home: str(home.parent / "q.data"),
    "behind a link": lambda home: "link",
    "a pipe": lambda home: "pipe",
    "nowhere": lambda home: "nowhere.data",
}


@pytest.mark.parametrize("place", PLACES)
def test_data_outside_the_files_own_folder_are_not_read(place: str, home: Path) -> None:
    (home / "link").symlink_to(home.parent / "q.data")
    os.mkfifo(home / "pipe")
    model = qdq()
    tensor = scale_of(model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    location = PLACES[place](home)
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    file = home / "model_qdq.onnx"
    file.write_bytes(model.SerializeToString())
    for arguments in three_ways(file):
        status, said = outcome(arguments)
        assert status == 2 and "M004: " in said and f"{SECRET:g}" not in said, said


@pytest.mark.slow
def test_data_beside_the_file_are_read_by_all(home: Path) -> None:
    """A bare file name, in the file's folder and not in the working one; integer codes too."""
    model = qdq()
    onnx.save(model, home / "plain.onnx")
    onnx.save(
        qdq(),
        home / "model_qdq.onnx",
        save_as_external_data=True,
        location="beside.data",
        size_threshold=0,
    )
    assert (home / "beside.data").stat().st_size
    found, plain = inspect(home / "model_qdq.onnx"), inspect(home / "plain.onnx")
    assert found.parameters == plain.parameters and len(plain.parameters.entries) > 8
    for arguments in three_ways(home / "model_qdq.onnx"):
        assert outcome(arguments)[0] == 0


def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = qdq()
    change(model)
    return model.SerializeToString()


def reads_nobody(model: onnx.ModelProto) -> None:
    model.graph.node[3].input[0] = "nobody"


def gives_nobody(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nobody"


def lacks_a_scale(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "QuantizeLinear")
    del node.input[1:]


def tells_the_same_twice(model: onnx.ModelProto) -> None:
    model.graph.node[4].output[0] = model.graph.node[3].output[0]


def has_no_values(model: onnx.ModelProto) -> None:
    scale_of(model).raw_data = b""


WHOLE = [reads_nobody, gives_nobody, lacks_a_scale, tells_the_same_twice, has_no_values]


@pytest.mark.parametrize("change", WHOLE, ids=lambda f: f.__name__)
def test_a_graph_that_is_not_whole_is_refused(
    change: Callable[[onnx.ModelProto], None], home: Path
) -> None:
    file = home / "model_qdq.onnx"
    file.write_bytes(changed(change))
    for arguments in three_ways(file):
        status, said = outcome(arguments)
        assert status == 2 and len(said.strip().splitlines()) <= 2, said
        assert any(code in said for code in ("I002: ", "M002: ")), said


def test_metadata_that_are_no_text_are_refused() -> None:
    model = qdq()
    model.metadata_props.add(key="lostbits.plan", value="ab")
    content = model.SerializeToString().replace(b"plan\x12\x02ab", b"plan\x12\x02\xff\xfe")
    with pytest.raises(ReadError, match="I002"):
        read(content)


def encodings(**fields: Any) -> bytes:
    entry = {"name": "x", "output_dtype": "uint8", "y_scale": 0.1, "y_zero_point": 3, **fields}
    return json.dumps({"version": "2.0.0", "encodings": [entry]}).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"y_scale": 1e38},
        {"y_scale": 10**400},
        {"y_scale": [1e38, 1], "y_zero_point": [0, 0], "axis": 0},
        {"y_scale": float("nan")},
        {"y_scale": None},
        {"y_scale": {"a": 1}},
        {"y_scale": []},
        {"y_zero_point": 1e30},
        {"output_dtype": "uint" + "9" * 400},
        {"axis": 10**30, "y_scale": [1], "y_zero_point": [0]},
    ],
    ids=str,
)
def test_numbers_that_make_no_sense_are_problems_of_their_tensor(
    fields: dict[str, Any], home: Path
) -> None:
    file = home / "model.encodings"
    file.write_bytes(encodings(**fields))
    for model in (None, home / "float.onnx"):
        found = inspect(file, model)
        assert found.parameters.problems or found.match is None or found.match.unmatched
        json.dumps(found.as_json(), allow_nan=False)


@pytest.mark.parametrize("axis", [-9, 9, 4, -5])
def test_an_axis_that_the_tensor_has_not_is_a_reason(axis: int, home: Path) -> None:
    file = home / "model.encodings"
    file.write_bytes(encodings(name="w", y_scale=[0.1] * 5, y_zero_point=[0] * 5, axis=axis))
    found = inspect(file, home / "float.onnx").match
    assert found is not None and found.unmatched["w"].code == "match.shape"


def test_an_axis_may_be_counted_from_behind(home: Path) -> None:
    file = home / "model.encodings"
    file.write_bytes(encodings(name="w", y_scale=[0.1] * 5, y_zero_point=[0] * 5, axis=-4))
    found = inspect(file, home / "float.onnx", "openvino").match
    assert found is not None and found.plan["w:weight"].axis == 0


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "I001"),
        (b"null", "I001"),
        (b"[" * 100_000, "I001"),
        (b'{"a":' * 100_000, "I001"),
        (b'{"encodings": ' + b"[" * 100_000, "I001"),
        (b'{"act_quant_info": {"\\ud800": 1.0}}', "I002"),
        (b'{"act_quant_info": {"x": 1.0, "x": 2.0}}', "I004"),
        (b'{"act_quant_info": {"x": 1.0}} trailing', "I001"),
        (b"\x08" + bytes(range(256)), "I002"),
        (b"TRT-1-A\nx: 7f80", "I002"),
        (b"x:1.0\n:2.0\n", "I002"),
        (b"x:1.0\n" + b"a:" * 50_000 + b" b c\n", "I002"),
    ],
    ids=lambda v: repr(v)[:40],
)
def test_files_that_say_nothing_are_refused(content: bytes, code: str, home: Path) -> None:
    file = home / "strange"
    file.write_bytes(content)
    for arguments in three_ways(file)[:3]:
        status, said = outcome(arguments)
        assert status == 2 and f"{code}: " in said, said


def test_a_mark_of_the_order_of_bytes_does_no_harm() -> None:
    for content in (b'{"act_quant_info": {"x": 2.0}}', b"x: 2.0\r\ny: 3.0\r\n"):
        assert read(b"\xef\xbb\xbf" + content).affines == read(content).affines


def test_a_range_of_400_digits_is_a_problem_of_its_tensor() -> None:
    found = read(b'{"act_quant_info": {"x": %s, "y": 2.0}}' % (b"9" * 400))
    assert list(found.affines) == ["y"] and [p.code for p in found.problems] == ["I008"]


@pytest.mark.parametrize("kind", ["pipe", "folder", "long name", "below a file"])
def test_what_is_no_regular_file_is_refused(kind: str, home: Path) -> None:
    places = {
        "pipe": home / "pipe",
        "folder": home,
        "long name": home / ("a" * 300),
        "below a file": home / "float.onnx" / "plan.json",
    }
    os.mkfifo(places["pipe"])
    with pytest.raises(LostbitsError, match=r"^D00[12]: "):
        inspect(places[kind])


def test_a_file_that_memory_does_not_hold_is_not_read(home: Path) -> None:
    file = home / "large"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)
    with pytest.raises(LostbitsError, match=r"1,024\.0 GiB are needed"):
        inspect(file)


def test_json_is_measured_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "limited", lambda: 1000)
    with pytest.raises(ReadError, match=r"are needed, .* may be taken"):
        read(b'{"act_quant_info": {%s}}' % b", ".join(b'"x%d": 1.0' % i for i in range(100)))


@pytest.mark.slow
def test_a_plan_with_other_weights_is_shown_on_the_console(home: Path) -> None:
    """Float biases that are others: they have no site, and their weight carries their share."""
    case = case_of(target=TENSORRT, model=net())
    model = onnx.load_from_string(exporter("qdq-tensorrt").write(case)["model_qdq.onnx"])
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and ":" not in tensor.name and tensor.dims:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(array + np.float32(3), tensor.name))
    file = home / "model_qdq.onnx"
    file.write_bytes(model.SerializeToString())
    command = three_ways(file)[2]
    status, said = outcome([*command, "--format", "console,json"])
    assert status == 0, said
    rows = json.loads((home / "out" / "result.json").read_text())
    assert rows["plan"]["constants_taken"] == ["a", "b", "d"]
    shares = {a["tensor"]: a["share"] for a in rows["network"]["attributions"]}
    assert all(abs(shares[weight]) > 0.05 for weight in ("u", "v", "w"))


def test_a_file_of_another_network_is_told_from_the_float_one(home: Path) -> None:
    model = qdq()
    del model.graph.output[1:]
    file = home / "model_qdq.onnx"
    file.write_bytes(model.SerializeToString())
    status, said = outcome(three_ways(file)[3])
    assert status == 2 and "B007: " in said, said


FORMATS = {
    name: next(c for f, c in exporter(name).write(case_of()).items() if f.endswith(suffix))
    for name, suffix in (
        ("json", ".json"),
        ("encodings-0.6.1", ".encodings"),
        ("encodings-1.0.0", ".encodings"),
        ("encodings-2.0.0", ".encodings"),
    )
}
STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1e38, 10**400, 2**63, float("nan"), "", "\ud800", "8", [], {}, [[]], -9]
)


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one part taken away, doubled or made something else."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        rest = {k: v for k, v in value.items() if k != key}
        return rest if not draw(st.integers(0, 9)) else {**rest, key: draw(mutated(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        index = draw(st.integers(0, len(value) - 1))
        middle = draw(st.sampled_from([[], [value[index]] * 2, None]))
        middle = [draw(mutated(value[index]))] if middle is None else middle
        return [*value[:index], *middle, *value[index + 1 :]]
    return draw(STRANGE)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_any_change_of_a_json_format_is_read_or_refused(name: str, data: st.DataObject) -> None:
    value = data.draw(mutated(json.loads(FORMATS[name])))
    try:
        read(json.dumps(value).encode())
    except ReadError as error:
        assert error.code in ("I001", "I002", "I003", "I004")


@pytest.mark.slow
@given(
    at=st.integers(0, 10**6), byte=st.integers(0, 255), length=st.sampled_from([0, 1, 1, 1, 4, 40])
)
def test_any_change_of_bytes_of_a_quantized_model_is_read_or_refused(
    at: int, byte: int, length: int
) -> None:
    content = _QDQ[: (at := at % len(_QDQ))] + bytes([byte]) + _QDQ[at + length :]
    try:
        read(content)
    except LostbitsError as error:
        assert error.code in ("I001", "I002", "I003", "I004", "I007", "I008")


_QDQ = qdq().SerializeToString()
