"""Files that are not what a model or samples are: told apart by their first bytes."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from lostbits.data import InputSpec, Preprocess, open_source
from lostbits.errors import DataError, ModelError
from lostbits.graph.load import load
from lostbits.system.file_kind import kind_of
from small_nets import cnn
from text_models import saved

IMAGE = InputSpec("image", np.dtype("float32"), (None, 3, 4, 6))


def zipped(*names: str) -> bytes:
    """An archive with these members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return stream.getvalue()


def engine_with_metadata() -> bytes:
    """As an exporter writes one: length, JSON, engine."""
    about = json.dumps({"task": "detect"}).encode()
    return len(about).to_bytes(4, "little") + about + b"ftrt" + bytes(64)


SAFETENSORS = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
MODELS: dict[str, tuple[str, bytes, str]] = {
    "checkpoint": ("net.pth", zipped("net/data.pkl", "net/data/0"), "pytorch"),
    "old checkpoint": ("net.pth", pickle.dumps({"w": [1.0]}, 2), "pytorch"),
    "checkpoint renamed": ("net.onnx", pickle.dumps({"w": [1.0]}, 4), "pytorch"),
    "torchscript": ("net.pt", zipped("net/data.pkl", "net/constants.pkl"), "torchscript"),
    "exported": (
        "net.pt2", zipped("net/archive_format", "net/models/model.json"), "exported_program"
    ),
    "safetensors": (
        "net.safetensors",
        len(SAFETENSORS).to_bytes(8, "little") + SAFETENSORS + bytes(4),
        "safetensors",
    ),
    "tflite": ("net.tflite", b"\x1c\0\0\0TFL3" + bytes(64), "tflite"),
    "openvino": ("net.xml", b'<?xml version="1.0"?>\n<net name="n"></net>', "openvino"),
    "openvino weights": ("net.bin", bytes(range(1, 200)), "weights"),
    "engine": ("net.engine", b"ftrt" + bytes(200), "engine"),
    "engine of an exporter": ("net.engine", engine_with_metadata(), "engine"),
    "dlc": ("net.dlc", zipped("model", "model.params", "dlc.metadata"), "dlc"),
    "rknn": ("net.rknn", b"RKNN" + bytes(60), "rknn"),
    "mnn": ("net.mnn", b"\x24\0\0\0" + b"\x0f" * 90, "mnn"),
    "ncnn": ("net.param", b"7767517\n2 2\nInput data 0 1 data\n", "ncnn"),
    "ort": ("net.ort", b"\x18\0\0\0ORTM" + bytes(40), "ort"),
    "hdf5": ("net.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "hdf5"),
    "gguf": ("net.gguf", b"GGUF" + bytes(40), "gguf"),
    "frozen graph": ("net.pb", b"\x0a\x05x\x12\x0bPlacehol\xff", "tensorflow"),
    "pointer": (
        "net.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "lfs"
    ),
    "page": ("net.onnx", b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "html"),
    "archive": ("net.zip", zipped("net/model.onnx", "readme.txt"), "archive"),
    "compressed": ("net.onnx.gz", b"\x1f\x8b\x08" + bytes(20), "archive"),
    "empty": ("net.onnx", b"", "empty"),
    "array": ("x.npz", zipped("x.npy"), "numpy"),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_a_wrong_model_gets_the_advice_of_its_kind(tmp_path: Path, case: str) -> None:
    name, content, kind = MODELS[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load(tmp_path / name)
    assert caught.value.form == f"M018.{kind}"


def test_a_model_is_none_of_them_whatever_its_name(tmp_path: Path) -> None:
    path = saved(cnn(0), tmp_path).rename(tmp_path / "net.pth")
    assert kind_of(path) is None
    assert load(path).path == path


def test_what_only_ends_too_early_is_damaged(tmp_path: Path) -> None:
    path = saved(cnn(0), tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError) as caught:
        load(path)
    assert caught.value.form == "M002.invalid"


def picture(path: Path) -> None:
    """Six by four pixels, left half black, right half white."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, 3:] = 255
    Image.fromarray(pixels).save(path)


def many(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for number in range(3):
            picture(folder / f"{number}.{name}")
        return folder

    return make


def bytes_in(name: str, content: bytes, *, alone: bool = False) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name if alone else folder

    return make


def classes(folder: Path) -> Path:
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        picture(folder / name / "0.png")
    return folder


HEIC = b"\0\0\0\x18ftypheic" + bytes(60)
VIDEO = b"\0\0\0\x18ftypisom" + bytes(60)
LFS = b"version https://git-lfs.github.com/spec/v1\n"
DATA: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty folder": (lambda folder: folder, "D004.folder"),
    "a folder a class": (classes, "D004.classes"),
    "gif": (many("gif"), "D003.gif"),
    "tiff": (many("tiff"), "D003.tiff"),
    "heic": (bytes_in("a.heic", HEIC), "D003.heic"),
    "videos": (bytes_in("a.mp4", VIDEO), "D003.video"),
    "one video": (bytes_in("a.mp4", VIDEO, alone=True), "D003.video"),
    "one picture": (bytes_in("a.png", b"\x89PNG\r\n" + bytes(9), alone=True), "D003.image"),
    "pointer": (bytes_in("a.npz", LFS, alone=True), "D003.lfs"),
    "page": (bytes_in("a.npy", b"<html></html>", alone=True), "D003.html"),
    "empty file": (bytes_in("a.npy", b"", alone=True), "D003.empty"),
    "model": (bytes_in("a.onnx", b"\x08\x08", alone=True), "D003.model"),
    "tensors": (bytes_in("a.pt", zipped("a/data.pkl"), alone=True), "D003.pytorch"),
    "archive": (bytes_in("a.zip", zipped("a/b.png"), alone=True), "D003.archive"),
    "texts": (bytes_in("a.csv", b"1,2\n"), "D004.folder"),
    "hidden only": (bytes_in(".DS_Store", b"x"), "D004.folder"),
}


@pytest.mark.parametrize("preprocess", [None, Preprocess()])
@pytest.mark.parametrize("case", DATA)
def test_wrong_data_get_the_advice_of_their_kind(
    tmp_path: Path, case: str, preprocess: Preprocess | None
) -> None:
    make, code = DATA[case]
    with pytest.raises(DataError) as caught:
        open_source(make(tmp_path), [IMAGE], preprocess=preprocess)
    assert caught.value.form == code


def test_what_is_left_out_of_a_folder_is_counted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for name in ("a.heic", "b.heic", "c.mp4", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    source = open_source(tmp_path, [IMAGE], preprocess=Preprocess())
    assert (len(source), source.skipped) == (1, "2 .heic, 1 .mp4")
    assert source.slice(0, 1).skipped == source.skipped


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    height, width = upright.shape[:2]
    spec = InputSpec("image", np.dtype("float32"), (None, 3, height, width))
    found = next(open_source(tmp_path, [spec], preprocess=Preprocess(scale=1.0)).batches(1))
    np.testing.assert_array_equal(found.feeds["image"][0], upright.transpose(2, 0, 1))


def test_a_photograph_whose_notes_are_cut_short_is_upright(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.full((6, 6, 3), 9, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif.tobytes()[:20])
    spec = InputSpec("image", np.dtype("float32"), (None, 3, 6, 6))
    found = next(open_source(tmp_path, [spec], preprocess=Preprocess(scale=1.0)).batches(1))
    assert found.feeds["image"].shape == (1, 3, 6, 6)
    assert not recwarn.list


def test_an_archive_of_a_later_version_is_an_archive_that_cannot_be_read(tmp_path: Path) -> None:
    """zipfile says so with an exception of its own, as it does of one that is encrypted."""
    content, path = bytearray(zipped("x.npy")), tmp_path / "x.npz"
    content[content.index(b"PK\1\2") + 6] = 148  # the version that is needed, times ten
    path.write_bytes(content)
    assert kind_of(path) == "archive"
    with pytest.raises(DataError, match=r"D00\d"):
        open_source(path, [IMAGE])


def test_every_kind_has_its_name(tmp_path: Path) -> None:
    from lostbits.errors import messages
    from lostbits.language import Language, catalogue

    forms = messages.all_entries()["M018"].forms
    for language in Language:
        assert all(f"file_kind.{name}" in catalogue(language) for name in forms)


def test_onnx_begins_with_its_version() -> None:
    assert onnx.helper.make_model(onnx.GraphProto()).SerializeToString()[:1] == b"\x08"
