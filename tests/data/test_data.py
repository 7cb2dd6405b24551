"""Every format that samples come in, every message about them, and the laws of a source."""

import doctest
import re
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader
from PIL import Image

import lostbits.data
from lostbits.data import InputSpec, Preprocess, Source, conversion, open_source, read_labels
from lostbits.errors import DataError

Array = NDArray[Any]

X = InputSpec("x", np.dtype("float32"), (None, 3))
PAIR = InputSpec("x", np.dtype("float32"), (None, 2))
IDS = InputSpec("ids", np.dtype("int64"), (None, 2))
IMAGE = InputSpec("image", np.dtype("float32"), (None, 3, 4, 6))
SCALE = InputSpec("scale", np.dtype("float32"), ())


def values(count: int, *shape: int, dtype: str = "float32") -> Array:
    return np.arange(count * int(np.prod(shape))).reshape(count, *shape).astype(dtype)


def static(size: int, *shape: int) -> InputSpec:
    return InputSpec("x", np.dtype("float32"), (size, *shape))


def read(source: Source, size: int = 4) -> dict[str, Array]:
    """All samples, after a check that batches are what they claim to be."""
    batches = list(source.batches(size))
    assert [b.first for b in batches] == [
        sum(b.size for b in batches[:i]) for i in range(len(batches))
    ]
    assert sum(b.size for b in batches) == len(source)
    return {
        name: np.concatenate([b.feeds[name][: b.size] for b in batches])
        for name in batches[0].feeds
    }


def assert_reads(source: Source, **expected: Array) -> None:
    """The source gives these samples, twice, with any batch size."""
    for size in (1, 2, 100):
        found = read(source, size)
        assert list(found) == list(expected)
        for name, x in expected.items():
            np.testing.assert_array_equal(found[name], x, strict=True)


@contextmanager
def error(code: str, *culprits: str) -> Iterator[None]:
    """The error of this code, whose message has all its parts and names every culprit."""
    with pytest.raises(DataError) as caught:
        yield
    message = str(caught.value)
    assert caught.value.code == code, message
    assert re.match(r"(?s)D\d{3}: .+: .+: .+: .+", message), message
    assert [c for c in culprits if c not in message] == [], message


# ------------------------------------------------------------------------------------ files


def test_npy_is_one_array_for_the_only_input(tmp_path: Path) -> None:
    x = values(5, 3)
    np.save(tmp_path / "calibration.npy", x)
    source = open_source(tmp_path / "calibration.npy", [X])
    assert source.description == "calibration.npy, 5 samples"
    assert_reads(source, x=x)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_has_one_array_for_every_input(tmp_path: Path, save: Callable[..., None]) -> None:
    x, ids = values(5, 3), values(5, 2, dtype="int64")
    save(tmp_path / "d.npz", ids=ids, x=x)
    assert_reads(open_source(str(tmp_path / "d.npz"), [X, IDS]), x=x, ids=ids)


def test_arrays_stored_by_columns_are_read_too(tmp_path: Path) -> None:
    x = np.asfortranarray(values(5, 3))
    np.save(tmp_path / "d.npy", x)
    assert_reads(open_source(tmp_path / "d.npy", [X]), x=x)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["d.npy", "d.npz"])
def test_memory_does_not_grow_with_a_file(tmp_path: Path, name: str) -> None:
    wide = InputSpec("x", np.dtype("float32"), (None, 65536))
    np.save(tmp_path / "d.npy", np.ones((256, 65536), np.float32))  # 64 MiB
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.write(tmp_path / "d.npy", "x.npy", zipfile.ZIP_DEFLATED, 1)
    source = open_source(tmp_path / name, [wide])
    tracemalloc.start()
    assert sum(batch.size for batch in source.batches(8)) == 256
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 2**20


def test_a_folder_of_files_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    x, ids = values(6, 3), values(6, 2, dtype="int64")
    np.savez(tmp_path / "c.npz", x=x[4:], ids=ids[4:])
    np.savez(tmp_path / "a.npz", x=x[:3], ids=ids[:3])
    np.savez(tmp_path / "b.npz", x=x[3], ids=ids[3])  # one sample without an axis for it
    (tmp_path / "README").touch()
    source = open_source(tmp_path, [X, IDS])
    assert source.description == f"{tmp_path.name}/, 6 samples"
    assert_reads(source, x=x, ids=ids)


def test_a_folder_of_single_samples_stored_by_columns(tmp_path: Path) -> None:
    x = values(2, 4, 5)
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", np.asfortranarray(x[i]))
    spec = InputSpec("x", np.dtype("float32"), (None, 4, 5))
    assert_reads(open_source(tmp_path, [spec]), x=x)


def test_an_input_list_names_raw_files_of_the_only_input(tmp_path: Path) -> None:
    x = values(2, 3)
    (tmp_path / "raw").mkdir()
    for i in range(2):
        x[i].astype("<f4").tofile(tmp_path / "raw" / f"{i}.raw")
    (tmp_path / "input_list.txt").write_text("#out\n%out\n\nraw/0.raw\r\nraw/1.raw\n")
    source = open_source(tmp_path / "input_list.txt", [X])
    assert source.description == "input_list.txt, 2 samples"
    assert_reads(source, x=x)


@pytest.mark.parametrize("line", ["x.raw ids.raw", "ids:=ids.raw x:=x.raw"])
def test_an_input_list_names_files_of_several_inputs(tmp_path: Path, line: str) -> None:
    x, ids = values(1, 3), values(1, 2)
    x.tofile(tmp_path / "x.raw")
    ids.tofile(tmp_path / "ids.raw")
    (tmp_path / "list.txt").write_text(line)
    source = open_source(tmp_path / "list.txt", [X, IDS])
    assert_reads(source, x=x, ids=ids.astype(np.int64))


def test_a_raw_file_for_a_model_of_fixed_batch_is_one_sample(tmp_path: Path) -> None:
    values(1, 3).tofile(tmp_path / "x.raw")
    (tmp_path / "list.txt").write_text("x.raw\nx.raw\nx.raw\n")
    sizes = [b.size for b in open_source(tmp_path / "list.txt", [static(2, 3)]).batches(1)]
    assert sizes == [2, 1]


# ------------------------------------------------------------------------------------ images


def save_image(path: Path, pixels: Array) -> None:
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def pixels() -> Array:
    return np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3))


@pytest.fixture
def photos(tmp_path: Path, pixels: Array) -> Path:
    """Two images of height 4 and width 6."""
    folder = tmp_path / "photos"
    folder.mkdir()
    save_image(folder / "a.png", pixels[0])
    save_image(folder / "b.BMP", pixels[1])
    return folder


def test_images_are_scaled_and_normalised_in_the_layout_of_the_model(
    photos: Path, pixels: Array
) -> None:
    settings = Preprocess(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    expected = ((pixels / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.25, 2.0]).transpose(0, 3, 1, 2)
    source = open_source(photos, [IMAGE], preprocess=settings)
    assert source.description == "photos/, 2 samples"
    np.testing.assert_allclose(read(source)["image"], expected, rtol=1e-5, atol=1e-6)
    assert read(source)["image"].flags.c_contiguous


def test_layout_and_channels_follow_the_model(photos: Path, pixels: Array) -> None:
    last = InputSpec("image", np.dtype("float32"), (1, 4, 6, 3))
    found = read(open_source(photos, [last], preprocess=Preprocess(scale=1.0)))["image"]
    np.testing.assert_array_equal(found, pixels)
    grey = InputSpec("image", np.dtype("float32"), (None, 1, 4, 6))
    found = read(open_source(photos, [grey], preprocess=Preprocess(scale=1.0)))["image"]
    np.testing.assert_allclose(found[:, 0], pixels @ [0.299, 0.587, 0.114], atol=1)


def test_colour_order_layout_and_size_may_be_set(photos: Path, pixels: Array) -> None:
    settings = Preprocess(size=(4, 6), scale=1.0, layout="NHWC", colour="BGR")
    free = InputSpec("image", np.dtype("float32"), (None, None, None, None))
    found = read(open_source(photos, [free], preprocess=settings))["image"]
    np.testing.assert_array_equal(found, pixels[..., ::-1])


def test_an_input_of_bytes_takes_unscaled_pixels(photos: Path, pixels: Array) -> None:
    spec = InputSpec("image", np.dtype("uint8"), (None, 4, 6, 3))
    found = read(open_source(photos, [spec], preprocess=Preprocess(scale=1.0)))["image"]
    np.testing.assert_array_equal(found, pixels.astype(np.uint8), strict=True)
    with error("D012", "preprocess 'scale'", "uint8", "fractions"):
        open_source(photos, [spec], preprocess=Preprocess())


def test_stretch_keeps_all_of_the_image_and_crop_its_centre(tmp_path: Path) -> None:
    stripes = np.zeros((8, 24, 3))
    stripes[:, 8:16] = 255  # black, white, black
    save_image(tmp_path / "wide.png", stripes)
    spec = InputSpec("image", np.dtype("float32"), (None, 3, 8, 8))

    def mean(settings: Preprocess) -> float:
        return float(read(open_source(tmp_path, [spec], preprocess=settings))["image"].mean())

    assert mean(Preprocess()) == pytest.approx(1 / 3, abs=0.01)
    assert mean(Preprocess(resize="crop")) == 1
    assert mean(Preprocess(resize="crop", shorter=16)) == 1
    narrow = InputSpec("image", np.dtype("float32"), (None, 3, 16, 4))
    settings = Preprocess(resize="crop")
    assert read(open_source(tmp_path, [narrow], preprocess=settings))["image"].mean() == 1


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_image_files_of_every_kind_are_read(tmp_path: Path, suffix: str, mode: str) -> None:
    image = Image.new("RGB", (6, 4), (128, 128, 128))
    image = image.quantize() if mode == "P" else image.convert(mode)
    path = tmp_path / f"i.{suffix}"
    (image.convert("RGB") if suffix in ("jpg", "jpeg", "webp") else image).save(path)
    found = read(open_source(tmp_path, [IMAGE], preprocess=Preprocess(scale=1.0)))["image"]
    np.testing.assert_allclose(found, 128, atol=3)


def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path) -> None:
    Image.new("RGBA", (6, 4), (10, 20, 30, 255)).save(tmp_path / "i.png")
    found = read(open_source(tmp_path, [IMAGE], preprocess=Preprocess(scale=1.0)))["image"]
    assert found[0, :, 0, 0].tolist() == [10, 20, 30]


def test_transparent_images_and_those_of_16_bits_are_refused(tmp_path: Path) -> None:
    Image.new("RGBA", (6, 4), (10, 20, 30, 99)).save(tmp_path / "i.png")
    with error("D013", "i.png", "transparent"):
        open_source(tmp_path, [IMAGE], preprocess=Preprocess())
    Image.fromarray(np.full((4, 6), 999, np.uint16)).save(tmp_path / "i.png")
    with error("D013", "i.png", "I;16"):
        open_source(tmp_path, [IMAGE], preprocess=Preprocess())


def test_preprocess_settings_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('size = 224\nmean = [0, 0.5, 1]\nstd = 2\nresize = "crop"\nshorter = 256\n')
    assert Preprocess.from_toml(path) == Preprocess(
        size=(224, 224), mean=(0, 0.5, 1), std=(2,), resize="crop", shorter=256
    )
    path.write_text("size = [3, 4]\nscale = 1")
    assert Preprocess.from_toml(path) == Preprocess(size=(3, 4), scale=1)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("means = 0", "did you mean 'mean'?"),
        ("mean = []", "'mean'"),
        ("mean = ['a']", "'mean'"),
        ("std = 0", "'std'"),
        ("std = true", "'std'"),
        ("scale = 'x'", "'scale'"),
        ("size = [1, 2, 3]", "'size'"),
        ("size = 0", "'size'"),
        ("layout = 'HWC'", "'layout': must be 'NCHW' or 'NHWC': 'HWC'"),
        ("colour = 'rgb'", "'colour'"),
        ("resize = 'fit'", "'resize'"),
        ("shorter = 256", "'shorter'"),
        ("resize = 'crop'\nshorter = 2.5", "'shorter'"),
    ],
)
def test_a_wrong_preprocess_setting_is_named(tmp_path: Path, text: str, culprit: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with error("D012", culprit):
        Preprocess.from_toml(tmp_path / "p.toml")


def test_a_preprocess_file_must_be_there_and_be_toml(tmp_path: Path) -> None:
    (tmp_path / "imagenet.toml").write_text("size =")
    with error("D001", "imagnet.toml", "did you mean 'imagenet.toml'?"):
        Preprocess.from_toml(tmp_path / "imagnet.toml")
    with error("D002", "imagenet.toml", "TOMLDecodeError"):
        Preprocess.from_toml(tmp_path / "imagenet.toml")


def test_settings_that_contradict_the_model_are_named(photos: Path) -> None:
    def fails(code: str, culprit: str, shape: tuple[int | None, ...], **settings: Any) -> None:
        with error(code, culprit):
            spec = InputSpec("image", np.dtype("float32"), shape)
            open_source(photos, [spec], preprocess=Preprocess(**settings))

    fails("D012", "'size'", (None, 3, None, 6))
    fails("D012", "'layout'", (None, 7, 8, 9))
    fails("D012", "'mean'", (None, 3, 4, 6), mean=(1.0, 2.0))
    fails("D012", "'std'", (None, 1, 4, 6), std=(1.0, 2.0, 3.0))
    fails("D012", "'shorter'", (None, 3, 4, 6), resize="crop", shorter=5)
    fails("D013", "GRAY", (None, 3, 4, 6), colour="GRAY")
    fails("D007", "2 axes", (None, 3))
    fails("D012", "5 x 5", (None, 3, 4, 6), size=(5, 5))
    with error("D005", "'image', 'scale'"):
        open_source(photos, [IMAGE, SCALE], preprocess=Preprocess())


def test_preprocess_settings_are_for_images_and_images_need_them(photos: Path) -> None:
    with error("D012", "photos", "images need preprocess settings"):
        open_source(photos, [IMAGE])
    np.save(photos.parent / "d.npy", values(2, 3))
    for data in (photos.parent, photos.parent / "d.npy", values(2, 3)):
        with error("D012", "preprocess settings are for folders of images"):
            open_source(data, [X], preprocess=Preprocess())


# ------------------------------------------------------------------------------------ objects


class Pairs(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([index, 0.0, 1.0], requires_grad=True), index % 2


def pairs_loader(*, shuffle: bool = False) -> Any:
    return torch.utils.data.DataLoader(Pairs(), batch_size=3, shuffle=shuffle)


class CountingReader(CalibrationDataReader):  # type: ignore[misc]
    """Reads 3 batches of 2 samples."""

    def __init__(self) -> None:
        self.next = 0

    def get_next(self) -> dict[str, Array] | None:
        self.next += 1
        return {"x": np.full((2, 3), self.next, np.float32)} if self.next <= 3 else None


class RewindableReader(CountingReader):
    def rewind(self) -> None:
        self.next = 0


def two_batches() -> Iterator[dict[str, Array]]:
    yield {"x": values(3, 3)}
    yield {"x": values(1, 3)}


def test_arrays_and_dicts_of_arrays_are_samples() -> None:
    x, ids = values(5, 3), values(5, 2, dtype="int64")
    assert_reads(open_source(x, [X]), x=x)
    assert_reads(open_source(torch.tensor(x), [X]), x=x)
    assert_reads(open_source({"ids": ids, "x": x}, [X, IDS]), x=x, ids=ids)
    assert_reads(open_source({"x": x.tolist(), "ids": ids}, [X, IDS]), x=x, ids=ids)
    assert open_source({"x": x}, [X]).description == "dict, 5 samples"


def test_iterables_give_batches_as_dicts_arrays_or_tuples() -> None:
    x, ids = values(5, 3), values(5, 2, dtype="int64")
    assert_reads(open_source([x[:2], x[2:]], [X]), x=x)
    assert_reads(open_source([(x[:2],), (x[2:], "labels")], [X]), x=x)
    assert_reads(open_source([{"x": x[:2]}, {"x": x[2:2]}, {"x": x[2:]}], [X]), x=x)
    assert_reads(open_source(((x[:2], ids[:2]), [x[2:], ids[2:], 0]), [X, IDS]), x=x, ids=ids)


def test_a_torch_loader_gives_samples_without_labels() -> None:
    source = open_source(pairs_loader(), [X])
    assert source.description == "DataLoader, 7 samples"
    x = np.stack([np.arange(7), np.zeros(7), np.ones(7)], axis=1).astype(np.float32)
    assert_reads(source, x=x)


def test_a_calibration_reader_gives_samples_when_it_rewinds() -> None:
    x = np.repeat(np.arange(1, 4), 2)[:, None].repeat(3, axis=1).astype(np.float32)
    assert_reads(open_source(RewindableReader(), [X]), x=x)
    assert_reads(open_source(CountingReader, [X]), x=x)
    with error("D011", "CountingReader", "rewind()"):
        open_source(CountingReader(), [X])


def test_a_callable_is_called_for_every_pass() -> None:
    x = np.concatenate([values(3, 3), values(1, 3)])
    assert_reads(open_source(two_batches, [X]), x=x)
    assert_reads(open_source(lambda: [x], [X]), x=x)


def test_a_callable_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "samples_of_mine.py").write_text(
        "import numpy as np\nbatch = np.ones((2, 3), np.float32)\n"
        "def calibration():\n    yield {'x': batch}\n"
        "class Many:\n    @staticmethod\n    def more():\n        return [batch, batch]\n"
    )
    monkeypatch.setattr("sys.path", [p for p in __import__("sys").path if p])
    monkeypatch.chdir(tmp_path)
    source = open_source("samples_of_mine:calibration", [X])
    assert source.description == "samples_of_mine:calibration, 2 samples"
    assert_reads(source, x=np.ones((2, 3), np.float32))
    assert len(open_source("samples_of_mine:Many.more", [X])) == 4
    with error("D016", "samples_of_mine:calibratoin", "did you mean 'calibration'?"):
        open_source("samples_of_mine:calibratoin", [X])
    with error("D016", "samples_of_mine:batch", "ndarray"):
        open_source("samples_of_mine:batch", [X])
    with error("D016", "no_such_module:f", "ModuleNotFoundError"):
        open_source("no_such_module:f", [X])


def failing() -> Iterator[Array]:
    yield values(1, 3)
    raise RuntimeError("disk on fire")


@pytest.mark.parametrize(
    ("function", "culprit"),
    [
        (failing, "failing: must yield batches: RuntimeError: disk on fire"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: None, "NoneType"),
        (lambda: {"x": values(1, 3)}, "dict"),
        (lambda: values(1, 3), "ndarray"),
        (lambda: "text", "str"),
    ],
)
def test_a_callable_that_does_not_yield_is_refused(
    function: Callable[[], object], culprit: str
) -> None:
    with error("D016", culprit):
        open_source(function, [X])


@pytest.mark.parametrize(
    "make", [lambda: iter([values(2, 3)]), two_batches, lambda: map(str, [1]), lambda: zip([1])]
)
def test_what_can_be_read_once_only_is_refused(make: Callable[[], object]) -> None:
    made = make()
    with error("D011", type(made).__name__, "give a list, a callable"):
        open_source(made, [X])


@pytest.mark.parametrize(
    ("item", "culprit"),
    [
        ("text", "str"),
        (3, "int"),
        ((values(1, 3),) * 3, "tuple of 3"),
        (([[1.0], [2.0, 3.0]],), "inhomogeneous"),
        ([1.0, 2.0], "shape ()"),
        (torch.ones((1, 3), dtype=torch.bfloat16), "BFloat16"),
    ],
)
def test_items_that_are_no_batches_are_refused(item: object, culprit: str) -> None:
    with error("D007" if culprit.startswith("shape") else "D017", "list, item 0", culprit):
        open_source([item], [X])


def test_samples_must_be_the_same_on_every_pass() -> None:
    rng = np.random.default_rng(0)
    source = open_source(lambda: [rng.random((2, 3))], [X])
    with error("D018", "item 0", "others than at first"):
        read(source)
    source = open_source(pairs_loader(shuffle=True), [X])
    with error("D018", "DataLoader"):
        for _ in range(9):
            read(source)
    growing: list[Array] = [values(2, 3)]
    source = open_source(growing, [X])
    assert_reads(source, x=values(2, 3))
    growing.clear()
    with error("D018", "list", "0 instead of 2"):
        read(source)


def test_a_named_type_of_data_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").touch()
    with error("D003", "d.csv", "'.csv'"):
        open_source(tmp_path / "d.csv", [X])
    with error("D003", "int"):
        open_source(3, [X])
    np.save(tmp_path / "d.npy", values(1, 3))
    save_image(tmp_path / "i.png", np.zeros((4, 6, 3)))
    with error("D003", "'d.npy' and 'i.png'"):
        open_source(tmp_path, [X])


# ------------------------------------------------------------------------------------ messages


def test_a_missing_path_is_compared_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "calibration.npz").touch()
    with error("D001", "calibraton.npz", "did you mean 'calibration.npz'?"):
        open_source(tmp_path / "calibraton.npz", [X])
    with error("D001", "there is no 'zzz'", "check the path"):
        open_source(str(tmp_path / "zzz" / "d.npz"), [X])
    with error("D001", "there is no 'x'"):
        open_source(tmp_path / "calibration.npz" / "x", [X])


def test_damaged_files_are_named(tmp_path: Path) -> None:
    def fails(path: Path, reason: str) -> None:
        with error("D002", path.name, reason):
            open_source(path, [X])

    for name in ("bad.npy", "bad.npz"):
        (tmp_path / name).write_bytes(b"nonsense")
        fails(tmp_path / name, "")
    np.save(tmp_path / "short.npy", values(5, 3))
    whole = (tmp_path / "short.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:-4])
    fails(tmp_path / "short.npy", "ends within row 4")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    fails(tmp_path / "objects.npy", "pickled")
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("x.npy", "text")
    fails(tmp_path / "text.npz", "magic")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    fails(tmp_path / "list.txt", "UnicodeDecodeError")


@pytest.mark.parametrize("cut", [9, 60, -100])
def test_damaged_images_are_named(photos: Path, cut: int) -> None:
    path = photos / "a.png"
    path.write_bytes(path.read_bytes()[:cut])
    with error("D002", "a.png"):
        open_source(photos, [IMAGE], preprocess=Preprocess())


def test_data_without_samples_are_refused(tmp_path: Path) -> None:
    with error("D004", tmp_path.name, "it is empty"):
        open_source(tmp_path, [X])
    (tmp_path / "empty.txt").write_text("# out\n")
    with error("D004", tmp_path.name, "1 others, as 'empty.txt'"):
        open_source(tmp_path, [X])
    with error("D004", "empty.txt"):
        open_source(tmp_path / "empty.txt", [X])
    np.save(tmp_path / "d.npy", values(0, 3))
    nothing: list[object] = [tmp_path / "d.npy", tmp_path, values(0, 3), [], lambda: iter(())]
    for data in nothing:
        with error("D004"):
            open_source(data, [X])


def test_a_missing_or_misspelt_name_is_compared_with_the_model(tmp_path: Path) -> None:
    image = InputSpec("image", np.dtype("float32"), (None, 3))
    with error("D005", "input 'image'", "there are 'imag'", "rename 'imag' to it"):
        open_source({"imag": values(2, 3)}, [image])
    with error("D005", "input 'image'", "there are no arrays", "add one"):
        open_source({}, [image])
    with error("D006", "'imagee'", "did you mean 'image'?"):
        open_source({"image": values(2, 3), "imagee": 0}, [image])
    np.savez(tmp_path / "d.npz", x=values(2, 3))
    with error("D005", "d.npz", "input 'ids'", "there are 'x'"):
        open_source(tmp_path / "d.npz", [X, IDS])
    np.save(tmp_path / "d.npy", values(2, 3))
    for data in (tmp_path / "d.npy", values(2, 3), [values(2, 3)]):
        with error("D005", "one array for 'x', 'ids'", ".npz"):
            open_source(data, [X, IDS])


def test_a_shape_that_does_not_fit_is_shown_beside_the_one_that_does() -> None:
    with error("D007", "'image'", "(samples, 3, 4, 6)", "(2, 4, 6, 3)", "NHWC", "(0, 3, 1, 2)"):
        open_source(np.zeros((2, 4, 6, 3)), [IMAGE])
    last = InputSpec("image", np.dtype("float32"), (None, 4, 6, 3))
    with error("D007", "(samples, 4, 6, 3)", "NCHW", "(0, 2, 3, 1)"):
        open_source(np.zeros((2, 3, 4, 6)), [last])
    with error("D007", "(3, 4, 6)", "x[None]"):
        open_source(np.zeros((3, 4, 6)), [IMAGE])
    free = InputSpec("x", np.dtype("float32"), (None, None, 2))
    with error("D007", "(samples, any, 2)", "shape (5, 3)", "axis 0"):
        open_source(np.zeros((5, 3)), [free])
    with error("D007", "list, item 1", "shape (2, 4)"):
        open_source([values(2, 3), values(2, 4)], [X])
    with error("D007", "shape ()"):
        open_source(np.float32(1), [X])


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("float64", "float32"),
        ("float32", "float16"),
        ("uint8", "float32"),
        ("int32", "int64"),
        ("int64", "float32"),
        ("int64", "uint8"),
        ("bool", "float32"),
        ("int64", "bool"),
        (">f4", "float32"),
    ],
)
def test_types_are_converted_where_nothing_but_precision_is_lost(found: str, wanted: str) -> None:
    x = np.array([[0, 1, 1]], found)
    source = open_source(x, [InputSpec("x", np.dtype(wanted), (None, 3))])
    assert_reads(source, x=x.astype(wanted))


@pytest.mark.parametrize(
    ("x", "wanted"),
    [
        (np.array([0.0]), "int64"),
        (np.array([256]), "uint8"),
        (np.array([-1]), "uint64"),
        (np.array([2**24 + 1]), "float32"),
        (np.array([2]), "bool"),
        (np.array(["a"]), "float32"),
        (np.array([1j]), "float32"),
    ],
)
def test_other_types_are_refused(x: Array, wanted: str) -> None:
    with error("D008", "'x' takes " + wanted, str(x.dtype)):
        open_source(x, [InputSpec("x", np.dtype(wanted), (None,))])


def test_inputs_must_have_equal_numbers_of_samples() -> None:
    with error("D009", "'x' has 2", "'ids' has 3"):
        open_source({"x": values(2, 3), "ids": values(3, 2, dtype="int64")}, [X, IDS])


def test_values_that_are_not_finite_are_counted_where_they_are(tmp_path: Path) -> None:
    x = values(9, 3)
    x[7, 1:] = np.nan, np.inf
    with error("D010", "'x'", "sample 7 has 2"):
        read(open_source(x, [X]))
    with error("D010", "list, item 1", "sample 7 has 2"):
        open_source([x[:5], x[5:]], [X])
    np.save(tmp_path / "a.npy", x[:6])
    np.save(tmp_path / "b.npy", x[6:])
    source = open_source(tmp_path, [X])
    with error("D010", "b.npy", "sample 7 has 2"):
        read(source)
    assert len(read(source.slice(0, 7))["x"]) == 7
    with error("D010", "b.npy", "sample 7 has 2"):
        read(source.slice(7, 9))
    half = InputSpec("x", np.dtype("float16"), (None, 1))
    with error("D010", "float16", "sample 0 has 1"):
        open_source(np.array([[1e6]]), [half])


def test_raw_files_of_the_wrong_size_are_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.raw")
    values(2, 3).tofile(tmp_path / "a.raw")
    with error("D014", "a.raw", "12 bytes", "24 bytes"):
        open_source(tmp_path / "list.txt", [X])
    free = InputSpec("x", np.dtype("float32"), (None, None))
    with error("D014", "'x'", "(None, None)"):
        open_source(tmp_path / "list.txt", [free])
    (tmp_path / "list.txt").write_text("\nb.raw")
    with error("D001", "b.raw", "did you mean 'a.raw'?"):
        open_source(tmp_path / "list.txt", [X])


@pytest.mark.parametrize(
    ("line", "culprit"),
    [
        ("a.raw", "'a.raw'"),
        ("a.raw b.raw c.raw", "'a.raw b.raw c.raw'"),
        ("x:=a.raw idz:=b.raw", "did you mean 'ids'?"),
        ("x:=a.raw x:=b.raw", "'x:=a.raw x:=b.raw'"),
    ],
)
def test_lines_that_do_not_name_a_file_for_every_input(
    tmp_path: Path, line: str, culprit: str
) -> None:
    (tmp_path / "list.txt").write_text(f"# out\n{line}\n")
    with error("D015", "list.txt, line 2", culprit):
        open_source(tmp_path / "list.txt", [X, IDS])


# ------------------------------------------------------------------------------------ laws


parts_of_a_data_set = st.lists(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 5), st.just(3)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    min_size=1,
    max_size=5,
).filter(lambda parts: sum(map(len, parts)) > 0)


@pytest.mark.slow
@given(parts=parts_of_a_data_set, size=st.integers(1, 12))
def test_neither_items_nor_batches_change_the_samples(parts: list[Array], size: int) -> None:
    x = np.concatenate(parts)
    source = open_source(parts, [X])
    assert len(source) == len(x)
    sizes = [batch.size for batch in source.batches(size)]
    assert all(s == size for s in sizes[:-1])
    np.testing.assert_array_equal(read(source, size)["x"], x, strict=True)
    np.testing.assert_array_equal(read(source, size)["x"], x, strict=True)
    assert source.fingerprint() == open_source(x, [X]).fingerprint()


@pytest.mark.slow
@given(parts=parts_of_a_data_set, data=st.data(), fixed=st.sampled_from([None, 1, 2, 4]))
def test_slices_are_sources_too(parts: list[Array], data: st.DataObject, fixed: int | None) -> None:
    x = np.concatenate(parts)
    source = open_source(parts, [InputSpec("x", np.dtype("float32"), (fixed, 3))])
    a, b, c, d = sorted(data.draw(st.lists(st.integers(0, len(x)), min_size=4, max_size=4)))
    if a < b <= c < d:
        part = source.slice(a, d)
        np.testing.assert_array_equal(read(part, 3)["x"], x[a:d])
        np.testing.assert_array_equal(read(part.slice(b - a, c - a + 1))["x"], x[b : c + 1])
        assert part.slice(b - a, d - a).fingerprint() == source.slice(b, d).fingerprint()


@pytest.mark.slow
@given(count=st.integers(1, 9), fixed=st.integers(1, 5), size=st.integers(1, 7))
def test_a_fixed_batch_is_filled_up_with_the_last_sample(count: int, fixed: int, size: int) -> None:
    x = values(count, 2)
    batches = list(open_source(x, [static(fixed, 2)]).batches(size))
    assert all(batch.feeds["x"].shape == (fixed, 2) for batch in batches)
    assert [batch.size for batch in batches[:-1]] == [fixed] * (len(batches) - 1)
    filled = np.concatenate([batch.feeds["x"] for batch in batches])
    np.testing.assert_array_equal(filled[:count], x)
    np.testing.assert_array_equal(filled[count:], np.repeat(x[-1:], len(filled) - count, axis=0))


def test_slices_describe_themselves_and_must_not_be_empty() -> None:
    source = open_source(values(9, 3), [X])
    assert source.slice(2, 5).description == "ndarray, samples 2 to 4 of 9"
    assert source.slice(0, 9).description == "ndarray, 9 samples"
    for start, stop in ((3, 3), (-1, 2), (0, 10)):
        with pytest.raises(ValueError, match=r"within 0\.\.9"):
            source.slice(start, stop)


def test_sizes_and_inputs_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next(open_source(values(9, 3), [X]).batches(0))
    with pytest.raises(ValueError, match="at least one input"):
        open_source(values(9, 3), [])


def test_a_fingerprint_knows_names_types_values_and_order(tmp_path: Path) -> None:
    x = values(4, 3)
    np.savez_compressed(tmp_path / "d.npz", x=x)
    known = open_source(x, [X]).fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", known)
    assert known == open_source(tmp_path / "d.npz", [X]).fingerprint()
    assert known == open_source(x.astype(np.float64), [static(3, 3)]).fingerprint()
    others = [
        open_source(x[::-1], [X]),
        open_source(x[:3], [X]),
        open_source(x, [InputSpec("y", X.dtype, X.shape)]),
        open_source(x, [InputSpec("x", np.dtype("float64"), X.shape)]),
        open_source(x.reshape(4, 3, 1), [InputSpec("x", X.dtype, (None, 3, 1))]),
    ]
    assert len({known, *(source.fingerprint() for source in others)}) == 6


def test_batches_end_where_the_shape_of_samples_changes() -> None:
    free = InputSpec("x", np.dtype("float32"), (None, None))
    parts = [values(2, 3), values(1, 3), values(3, 4), values(1, 3)]
    batches = list(open_source(parts, [free]).batches(2))
    assert [b.feeds["x"].shape for b in batches] == [(2, 3), (1, 3), (2, 4), (1, 4), (1, 3)]
    assert [b.first for b in batches] == [0, 2, 3, 5, 6]


def test_feeds_may_be_written_to_without_harm() -> None:
    x = values(4, 3)
    x.flags.writeable = False
    source = open_source([x], [X])
    for batch in source.batches(4):
        batch.feeds["x"][:] = 7
    assert_reads(source, x=values(4, 3))


def test_items_grow_no_larger_than_a_file_needs(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((40, 3, 224, 224), np.float32)  # several items
    np.save(tmp_path / "d.npy", x)
    source = open_source(tmp_path / "d.npy", [InputSpec("x", X.dtype, (None, 3, 224, 224))])
    np.testing.assert_array_equal(read(source, 16)["x"], x)
    np.testing.assert_array_equal(read(source.slice(17, 39), 16)["x"], x[17:39])


# ------------------------------------------------- inputs that share no batch axis


def test_one_fixed_batch_axis_rules_the_others() -> None:
    one = InputSpec("one", np.dtype("float32"), (1,))
    source = open_source({"x": values(3, 3), "one": values(3)}, [X, one])
    shapes = [{n: x.shape for n, x in b.feeds.items()} for b in source.batches(8)]
    assert shapes == [{"x": (1, 3), "one": (1,)}] * 3


@pytest.mark.parametrize("shape", [(3, 1, 3), (3, 3)])
def test_an_input_without_axes_makes_every_run_take_one_sample(shape: tuple[int, ...]) -> None:
    x, scale = values(9).reshape(shape), values(3)
    source = open_source({"x": x, "scale": scale}, [X, SCALE])
    batches = list(source.batches(8))
    assert [(b.first, b.size) for b in batches] == [(0, 1), (1, 1), (2, 1)]
    for i, batch in enumerate(batches):
        np.testing.assert_array_equal(batch.feeds["x"], x[i].reshape(1, 3), strict=True)
        np.testing.assert_array_equal(
            batch.feeds["scale"], scale[i : i + 1].reshape(()), strict=True
        )
    same = open_source({"x": x.reshape(3, 1, 3), "scale": scale}, [X, SCALE])
    assert source.fingerprint() == same.fingerprint()


def test_different_fixed_sizes_of_axis_0_are_part_of_a_sample(tmp_path: Path) -> None:
    specs = [InputSpec("a", X.dtype, (4, 2)), InputSpec("b", X.dtype, (1, 2))]
    a, b = values(3, 4, 2), values(3, 2)
    source = open_source({"a": a, "b": b}, specs)
    shapes = [{n: x.shape for n, x in batch.feeds.items()} for batch in source.batches(8)]
    assert shapes == [{"a": (4, 2), "b": (1, 2)}] * 3
    with error("D007", "'a'", "(samples, 4, 2)"):
        open_source({"a": values(3, 2), "b": b}, specs)
    a[0].tofile(tmp_path / "a.raw")
    b[0].tofile(tmp_path / "b.raw")
    (tmp_path / "list.txt").write_text("a.raw b.raw")
    assert len(open_source(tmp_path / "list.txt", specs)) == 1


# ------------------------------------------------------------------------------------ labels


def test_labels_are_class_numbers_from_any_file(tmp_path: Path) -> None:
    labels = np.array([3, 1, 2], np.uint8)
    np.save(tmp_path / "l.npy", labels)
    np.savez(tmp_path / "l.npz", labels)
    (tmp_path / "l.txt").write_text("3\n1\n\n 2\n")
    for name in ("l.npy", "l.npz", "l.txt"):
        found = read_labels(tmp_path / name, 3)
        np.testing.assert_array_equal(found, labels.astype(np.int64), strict=True)


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def fails(code: str, culprit: str, name: str, count: int = 3) -> None:
        with error(code, name, culprit):
            read_labels(tmp_path / name, count)

    np.save(tmp_path / "l.npy", np.arange(3))
    fails("D019", "4 samples need 4 labels: there are 3", "l.npy", 4)
    fails("D001", "did you mean 'l.npy'?", "i.npy")
    np.save(tmp_path / "f.npy", np.arange(3.0))
    fails("D020", "float64", "f.npy")
    np.save(tmp_path / "o.npy", np.eye(3, dtype=int))
    fails("D020", "argmax", "o.npy")
    np.savez(tmp_path / "two.npz", a=labels_of(3), b=labels_of(3))
    fails("D002", "one array, not 2", "two.npz")
    (tmp_path / "l.txt").write_text("1\ncat\n3")
    fails("D020", "line 2", "l.txt")
    (tmp_path / "l.txt").write_text("99999999999999999999")
    fails("D020", "line 1", "l.txt", 1)
    (tmp_path / "l.csv").touch()
    fails("D003", "'.csv'", "l.csv")


def labels_of(count: int) -> Array:
    return np.arange(count)


# ------------------------------------------------------------------------------------ texts


def test_examples_run() -> None:
    for module in (conversion, lostbits.data.preprocess):
        assert doctest.testmod(module).failed == 0


@settings(max_examples=30)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12))),
)
def test_a_cursor_reads_any_chunks_in_any_order(sizes: list[int], wanted: Any) -> None:
    samples = np.arange(sum(sizes) * 2, dtype=np.float32).reshape(-1, 2)
    parts = np.split(samples, np.cumsum(sizes)[:-1])
    source = open_source([{"x": part} for part in parts], [PAIR])
    source = source.slice(min(1, len(source) - 1), len(source))
    expected, cursor = samples[-len(source) :], source.cursor()
    for start, length in wanted:
        chunk = range(min(start, len(source) - 1), min(start + length, len(source)))
        batches = list(cursor.batches(chunk, 3))
        firsts = list(range(chunk.start, chunk.stop, 3))
        assert [b.first for b in batches] == firsts
        read = np.concatenate([b.feeds["x"] for b in batches])
        np.testing.assert_array_equal(read, expected[chunk.start : chunk.stop])


def test_a_cursor_that_goes_forward_reads_every_item_once() -> None:
    passes = []

    def batches() -> Iterator[NDArray[np.float32]]:
        passes.append(1)
        yield from np.zeros((12, 5, 2), np.float32)

    source = open_source(batches, [PAIR])
    passes.clear()
    cursor = source.cursor()
    for start in range(0, 60, 20):
        assert sum(b.size for b in cursor.batches(range(start, start + 8), 4)) == 8
    assert len(passes) == 1


@pytest.mark.parametrize(("size", "least", "step"), [(8, 32, 32), (5, 32, 35), (64, 32, 64)])
def test_chunks_are_whole_batches(size: int, least: int, step: int) -> None:
    source = open_source(np.zeros((100, 2), np.float32), [PAIR])
    chunks = source.chunks(size, least)
    assert [s.start for s in chunks] == list(range(0, 100, step))
    assert [i for s in chunks for i in s] == list(range(100))
    fixed = open_source(np.zeros((100, 2), np.float32), [static(3, 2)])
    assert {len(s) for s in fixed.chunks(size, least)[:-1]} == {33}


# ------------------------------------------------- inputs without a batch axis, or another one

FEATURES = InputSpec("x", X.dtype, (None, 5, 4))
TABLE = InputSpec("table", X.dtype, (5, 4))


def fed(data: object, specs: list[InputSpec]) -> list[dict[str, Array]]:
    return [batch.feeds for batch in open_source(data, specs).batches(8)]


@pytest.mark.parametrize("samples", [7, 5])  # 5: axis 0 of the table could count them
def test_an_input_of_fixed_shape_without_batch_axis_is_the_same_for_all(
    samples: int, tmp_path: Path
) -> None:
    x, table = values(samples, 5, 4), values(5, 4)
    np.savez(tmp_path / "d.npz", x=x, table=table)
    for data in ({"x": x, "table": table}, tmp_path / "d.npz"):
        source = open_source(data, [FEATURES, TABLE])
        assert "table" in source.description
        batches = list(source.batches(8))
        assert len(source) == len(batches) == samples
        for i, batch in enumerate(batches):
            np.testing.assert_array_equal(batch.feeds["x"], x[i : i + 1], strict=True)
            np.testing.assert_array_equal(batch.feeds["table"], table, strict=True)


def test_an_input_without_batch_axis_may_differ_from_sample_to_sample(tmp_path: Path) -> None:
    x, table = values(3, 5, 4), values(3, 5, 4)
    for i in range(3):
        np.savez(tmp_path / f"{i}.npz", x=x[i : i + 1], table=table[i])
    pairs = [{"x": x[i : i + 1], "table": table[i]} for i in range(3)]
    for data in ({"x": x, "table": table}, tmp_path, pairs):
        for i, feeds in enumerate(fed(data, [FEATURES, TABLE])):
            np.testing.assert_array_equal(feeds["x"], x[i : i + 1], strict=True)
            np.testing.assert_array_equal(feeds["table"], table[i], strict=True)


def test_a_number_is_the_same_for_all_samples() -> None:
    rate = InputSpec("rate", np.dtype("int64"), ())
    feeds = fed({"x": values(3, 3), "rate": np.array(16000)}, [X, rate])
    assert [(f["x"].shape, int(f["rate"])) for f in feeds] == [((1, 3), 16000)] * 3


@pytest.mark.parametrize("form", ["stacked", "as the model", "files"])
def test_the_batch_axis_may_be_another(form: str, tmp_path: Path) -> None:
    """Time first, as recurrent layers take it."""
    x = InputSpec("x", X.dtype, (None, None, 4), 1)
    state = InputSpec("state", X.dtype, (2, None, 3), 1)
    steps, states = values(6, 7, 1, 4), values(6, 2, 1, 3)
    data: object = {"x": steps, "state": states}
    if form == "as the model":
        data = {"x": np.concatenate(list(steps), 1), "state": np.concatenate(list(states), 1)}
    if form == "files":
        for i in range(6):
            np.savez(tmp_path / f"{i}.npz", x=steps[i], state=states[i])
        data = tmp_path
    for i, feeds in enumerate(fed(data, [x, state])):
        np.testing.assert_array_equal(feeds["x"], steps[i], strict=True)
        np.testing.assert_array_equal(feeds["state"], states[i], strict=True)


def test_whole_runs_may_be_stacked() -> None:
    x = values(6, 1, 5, 4)
    feeds = fed(x, [InputSpec("x", X.dtype, (1, 5, 4))])
    assert len(feeds) == 6
    np.testing.assert_array_equal(feeds[3]["x"], x[3], strict=True)
    with error("D007"):
        open_source(x, [FEATURES])


# ----------------------------------------------------- inputs whose axis 0 counts unlike things

NODES = InputSpec("nodes", X.dtype, (None, 5), counted="n")
EDGES = InputSpec("edges", np.dtype("int64"), (2, None))
LINKS = InputSpec("links", np.dtype("int64"), (None, 2), counted="e")
PROMPT = InputSpec("prompt", np.dtype("int64"), (None, 12), counted="texts")


@pytest.mark.parametrize("ends", [EDGES, LINKS], ids=["fixed", "named"])
def test_files_of_graphs_are_one_run_each(ends: InputSpec, tmp_path: Path) -> None:
    sizes = [(3, 7), (4, 4), (1, 1)]  # of the second and the third the numbers are equal
    for i, (n, e) in enumerate(sizes):
        edges = np.ones((2, e) if ends is EDGES else (e, 2), np.int64)
        arrays: dict[str, Any] = {"nodes": values(n, 5), ends.name: edges}
        np.savez(tmp_path / f"{i}.npz", **arrays)
    feeds = fed(tmp_path, [NODES, ends])
    assert [(f["nodes"].shape[0], f[ends.name].size // 2) for f in feeds] == sizes


def test_inputs_that_one_name_counts_must_be_equal_in_a_folder_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "0.npz", nodes=values(3, 5), links=np.ones((4, 2), np.int64))
    with error("D009", "'nodes' has 3", "'links' has 4"):
        open_source(tmp_path, [NODES, replace(LINKS, counted="n")])
    with error("D009"):
        open_source(tmp_path, [replace(NODES, counted=""), replace(LINKS, counted="")])


def test_what_each_sample_is_held_against_is_the_same_for_all(tmp_path: Path) -> None:
    data: dict[str, Any] = {"nodes": values(6, 5), "prompt": np.arange(36).reshape(3, 12)}
    np.savez(tmp_path / "d.npz", **data)
    for form in (data, tmp_path / "d.npz"):
        source = open_source(form, [NODES, PROMPT])
        assert len(source) == 6
        assert "prompt" in source.description
        for i, batch in enumerate(source.batches(4)):
            np.testing.assert_array_equal(batch.feeds["nodes"], data["nodes"][i : i + 1])
            np.testing.assert_array_equal(batch.feeds["prompt"], data["prompt"])
    assert len(fed({"nodes": values(6, 5), "prompt": np.ones((6, 12), int)}, [NODES, PROMPT])) == 1
