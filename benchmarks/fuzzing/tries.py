"""Which command is run on which broken input: a class of tries each, by a seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import onnx

from benchmarks.fuzzing import (
    edit_arrays,
    edit_bytes,
    edit_external,
    edit_images,
    edit_json,
    edit_model,
    edit_proto,
    edit_text,
    hostile,
    poison,
)
from benchmarks.fuzzing.corpus import (
    BRIEF,
    DATA,
    EXPORTS,
    FORMATS,
    MODEL,
    TARGET,
    TARGETS,
    Corpus,
    files_of,
)
from benchmarks.fuzzing.edit_arrays import npy, npz
from benchmarks.fuzzing.networks import SAMPLES, Network, normal, random_network
from benchmarks.fuzzing.tree import Entry, Tree

Argv = tuple[str, ...]
_OUT = ("--out", "../out")
_RECOVERIES = ("reconstruction", "adaround", "second_order", "equalization", "splitting")


@dataclass(frozen=True)
class Try:
    """A command and all that it finds.

    Attributes:
        what: What was edited, and how.
        argv: The command's words; paths start in ``work``.
        tree: Files, beside the furniture of a playground.
        misspelt: Whether the command line itself may be wrong.
    """

    what: str
    argv: Argv
    tree: Tree
    misspelt: bool = False


def made(corpus: Corpus, kind: str, seed: str) -> Try:
    """The try of a class that belongs to a seed."""
    return CLASSES[kind](corpus, Random(f"{kind} {seed}"))


# ---- commands ----------------------------------------------------------------------------------


def _diagnosis(dice: Random) -> Argv:
    """``diagnose``, with options that have to do with the way the work goes."""
    more = dice.choice(

        (
(), (), (), ("--quiet",), ("--metric", "kl"), ("--method", "permutation"), ("--batch", "3"),
("--json", "../out/copy.json"), ("--format", "json"), ("--memory", "1GiB"),
("--quiet", "--json", "-"), ("--lang", "zh-Hant"), ("--set", "x=percentile"),
),
    )  # fmt: skip
    target = () if dice.random() < 0.2 else ("--target", dice.choice(TARGETS))
    return ("diagnose", MODEL, "--data", DATA, *BRIEF, *target, *more, *_OUT)


def _on_model(dice: Random) -> Argv:
    """Any command that takes a float model."""
    target = ("--target", dice.choice(TARGETS))
    more: Argv
    match dice.randrange(20):
        case 0 | 1:
            methods = dice.choice(("", "", "", *_RECOVERIES))
            more = ("--budget", "1s", "--threads", "1", "--methods", methods)
            return ("recover", MODEL, "--data", DATA, *more, *target, *_OUT)
        case 2 | 3 | 4:
            name, fitting = dice.choice(list(EXPORTS.items()))
            formats = fitting if dice.random() < 0.7 else dice.choice(FORMATS)
            more = ("--to", formats, "--target", name, "--tensorrt", "10.3.0")
            return ("export", MODEL, "--data", DATA, *more, *_OUT)
        case 5 | 6:
            backend = dice.choice(("onnxruntime", "onnxruntime", "onnxruntime-plain", "openvino"))
            more = ("--backend", backend, "--samples", "4")
            return ("verify", MODEL, "--data", DATA, *more, *target)
        case 7 | 8:
            return _inspection(MODEL, dice)
        case _:
            return _diagnosis(dice)


def _inspection(file: str, dice: Random) -> Argv:
    more = dice.choice(((), ("--model", MODEL), ("--json", "-"), ("--json", "../out/copy.json")))
    target = ("--target", dice.choice(TARGETS)) if dice.random() < 0.3 else ()
    return ("inspect", file, *more, *target)


def _on_parameters(file: str, dice: Random) -> Argv:
    """Any command that takes somebody else's parameters."""
    if dice.random() < 0.55:
        return _inspection(file, dice)
    return (*_diagnosis(dice), "--plan", file)


# ---- models ------------------------------------------------------------------------------------


def models(corpus: Corpus, dice: Random) -> Try:
    """A model, edited by its meaning, by its fields, or by its bytes; or unlucky samples for it."""
    name, network = _network(corpus, dice)
    model, feeds = _copy(network.model), network.feeds
    match dice.randrange(20):
        case 0:
            how, content = "bytes", edit_bytes.edited(model.SerializeToString(), dice)
        case 1 | 2:
            for _ in range(dice.choice((1, 1, 2, 4))):
                edit_proto.edit(model, dice)
            how, content = "fields", model.SerializeToString()
        case 3 | 4 | 5:
            how, content = "unlucky samples", model.SerializeToString()
            feeds = {key: edit_arrays.unlucky(x, dice) for key, x in feeds.items()}
        case number:
            how = edit_model.edited(model, dice, mildly=number < 15)
            content = model.SerializeToString()
    tree: Tree = {"in/net.onnx": content, "in/x.npz": npz(feeds), "in/w.data": bytes(4000)}
    if dice.random() < 0.02:
        tree["in/net.onnx"] = poison.entry(dice)
    return _renamed(Try(f"{name}: {how}", _on_model(dice), tree), dice)


def _network(corpus: Corpus, dice: Random) -> tuple[str, Network]:
    if dice.random() < 0.35:
        return "random", random_network(dice)
    name = dice.choice(list(corpus.networks))
    return name, corpus.networks[name]


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _renamed(one: Try, dice: Random) -> Try:
    """Now and then, with a hostile name for the model's file."""
    if dice.random() > 0.08:
        return one
    new = hostile.file_name(dice, ".onnx")
    argv = tuple(f"../in/{new}" if word == MODEL else word for word in one.argv)
    tree = {
        f"in/{new}" if name == "in/net.onnx" else name: entry for name, entry in one.tree.items()
    }
    return Try(f"{one.what}, as {new!r}", argv, tree)


def external(corpus: Corpus, dice: Random) -> Try:
    """A model, or a quantized file, whose values lie in another file, or are said to."""
    quantized = dice.random() < 0.5
    network = corpus.networks[dice.choice(("convolutions", "dense", "attention"))]
    source = corpus.parameters["qdq-onnxruntime/model_qdq.onnx"]
    model = onnx.load_model_from_string(source) if quantized else _copy(network.model)
    tree = files_of(corpus.plain if quantized else network)
    data = edit_external.outsourced(model)
    for _ in range(dice.choice((1, 1, 2))):
        edit_external.edit(model, dice)
    file = "q.onnx" if quantized else "net.onnx"
    beside = edit_external.beside(data)
    if dice.random() < 0.25:
        del beside["in/w.data"]
    tree |= {**beside, f"in/{file}": model.SerializeToString()}
    argv = _on_parameters(f"../in/{file}", dice) if quantized else _on_model(dice)
    if quantized and dice.random() < 0.2:
        argv = (
            "verify",
            f"../in/{file}",
            "--backend",
            "onnxruntime",
            "--data",
            DATA,
            "--against",
            MODEL,
        )
    return Try("external data of " + ("a quantized file" if quantized else "a model"), argv, tree)


# ---- data --------------------------------------------------------------------------------------


def data(corpus: Corpus, dice: Random) -> Try:
    """Samples, labels, settings of images and targets, edited."""
    return dice.choice(_DATA)(corpus, dice)


def _arrays(corpus: Corpus, dice: Random) -> Try:
    network = corpus.networks[dice.choice(("convolutions", "dense", "two inputs", "static"))]
    content = edit_arrays.edited(npz(network.feeds), dice)
    return Try("npz", _diagnosis(dice), {**files_of(network), "in/x.npz": content})


def _array(corpus: Corpus, dice: Random) -> Try:
    network = corpus.networks[dice.choice(("convolutions", "dense", "recurrent"))]
    content = edit_arrays.edited(npy(network.feeds["x"]), dice)
    argv = _instead(_on_model(dice), DATA, "../in/x.npy")
    return Try("npy", argv, {**files_of(network), "in/x.npy": content})


def _instead(argv: Sequence[str], old: str, new: str) -> Argv:
    return tuple(new if word == old else word for word in argv)


def _folder(corpus: Corpus, dice: Random) -> Try:
    x = corpus.plain.feeds["x"]
    tree: Tree = {f"in/folder/{n}.npy": npy(x[n] if n % 2 else x[n : n + 1]) for n in range(4)}
    _damage(tree, "in/folder/", edit_arrays.edited, dice)
    argv = _instead(_diagnosis(dice), DATA, "../in/folder")
    return Try("folder of arrays", argv, {**files_of(corpus.plain), **tree})


def _damage(tree: Tree, start: str, edit: Callable[[bytes, Random], bytes], dice: Random) -> None:
    """Edit one of the files whose names begin so, or put something else in its place."""
    names = [n for n, entry in tree.items() if n.startswith(start) and isinstance(entry, bytes)]
    name = dice.choice(sorted(names))
    content = tree[name]
    assert isinstance(content, bytes)
    tree[name] = edit(content, dice) if dice.random() < 0.85 else poison.entry(dice)
    if dice.random() < 0.1:
        suffix = name[name.rfind(".") :]
        tree[f"{start}{hostile.file_name(dice, suffix)}"] = content


def _bomb(corpus: Corpus, dice: Random) -> Try:
    """A little archive that unpacks to very much, for an input whose size is left open."""
    network = corpus.networks["dense"]
    model = _copy(network.model)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "M"
    rows, row = dice.choice(((4, 1 << 26), (1 << 28, 6), (2, 1 << 29), (1 << 20, 600)))
    content = edit_arrays.zeros_in_little(rows, row)
    tree = {**files_of(network), "in/net.onnx": model.SerializeToString(), "in/x.npz": content}
    return Try(f"zeros, {rows} x {row}", _diagnosis(dice), tree)


def _labels(corpus: Corpus, dice: Random) -> Try:
    labels = [n % 4 for n in range(SAMPLES)]
    suffix = dice.choice((".txt", ".npy", ".npz"))
    text = "\n".join(map(str, labels)).encode()
    array = normal(SAMPLES).astype("int64") * 0 + labels
    match suffix:
        case ".txt":
            content = edit_text.edited(text, dice)
        case ".npy":
            content = edit_arrays.edited(npy(array), dice)
        case _:
            content = edit_arrays.edited(npz({"labels": array}), dice)
    argv = tuple(w for w in _diagnosis(dice) if w not in ("--samples", "4"))
    tree = {**files_of(corpus.plain), f"in/labels{suffix}": content}
    return Try(f"labels {suffix}", (*argv, "--labels", f"../in/labels{suffix}"), tree)


def _list(corpus: Corpus, dice: Random) -> Try:
    tree = {**files_of(corpus.plain), **corpus.raw}
    if dice.random() < 0.75:
        _damage(tree, "in/list", _edited_list, dice)
    else:
        _damage(tree, "in/raw/", edit_bytes.edited, dice)
    return Try("input list", _instead(_diagnosis(dice), DATA, "../in/list.txt"), tree)


def _edited_list(content: bytes, dice: Random) -> bytes:
    """A list that is edited, or that leads elsewhere."""
    if dice.random() < 0.6:
        return edit_text.edited(content, dice)
    # A list is named by the user, and may name files anywhere: none of those that are secret here.
    paths = [p for p in edit_external.LOCATIONS if "secret" not in p and "passwd" not in p]
    path = dice.choice(paths).encode()
    return content.replace(b"raw/2.raw", path)


def _images(corpus: Corpus, dice: Random) -> Try:
    tree = {**files_of(corpus.plain), **corpus.pictures}
    if dice.random() < 0.5:
        _damage(tree, "in/images/", edit_images.edited, dice)
    else:
        _damage(tree, "in/preprocess", edit_text.edited, dice)
    argv = _instead(_diagnosis(dice), DATA, "../in/images")
    return Try("images", (*argv, "--preprocess", "../in/preprocess.toml"), tree)


def _target(corpus: Corpus, dice: Random) -> Try:
    argv, words = [], list(_diagnosis(dice))
    while words:
        word = words.pop(0)
        if word == "--target":
            words.pop(0)
        else:
            argv.append(word)
    content = (
        edit_text.edited(TARGET, dice) if dice.random() < 0.9 else edit_bytes.edited(TARGET, dice)
    )
    tree = {**files_of(corpus.plain), "in/t.toml": content}
    return Try("target", (*argv, "--target", "../in/t.toml"), tree)


_DATA = (
    _arrays, _arrays, _array, _array, _folder, _labels, _labels, _list, _images, _images, _images,
    _target, _target, _bomb,
)  # fmt: skip


# ---- parameter files ---------------------------------------------------------------------------


def parameters(corpus: Corpus, dice: Random) -> Try:
    """A file of any format that the readers know, edited."""
    name = dice.choice(sorted(corpus.parameters))
    content = corpus.parameters[name]
    suffix = name[name.rfind(".") :]
    edited = file_edited(name, content, dice)
    if dice.random() < 0.05:
        other = corpus.parameters[dice.choice(sorted(corpus.parameters))]
        edited = edit_bytes.spliced(content, other, dice)
    file = hostile.file_name(dice, suffix) if dice.random() < 0.06 else f"p{suffix}"
    entry = poison.entry(dice) if dice.random() < 0.03 else edited
    tree = {**files_of(corpus.plain), f"in/{file}": entry}
    return Try(name, _on_parameters(f"../in/{file}", dice), tree)


def file_edited(name: str, content: bytes, dice: Random) -> bytes:
    """By its kind, mostly; by its bytes, sometimes."""
    if dice.random() < 0.15:
        return edit_bytes.edited(content, dice)
    if name.endswith(".onnx"):
        model = onnx.load_model_from_string(content)
        edit_model.edited(model, dice)
        return model.SerializeToString()
    if content.lstrip().startswith((b"{", b"[")):
        return edit_json.edited(content, dice)
    if content.startswith((b"PK\3\4", b"\x93NUMPY")):
        return edit_arrays.edited(content, dice)
    return edit_text.edited(content, dice)


# ---- results -----------------------------------------------------------------------------------


def results(corpus: Corpus, dice: Random) -> Try:
    """``result.json`` for ``report``; the folder of a recovery for what goes on from it."""
    source = dice.choice((corpus.diagnosed, corpus.recovered))
    if dice.random() < 0.55:
        content = source["result.json"]
        assert isinstance(content, bytes)
        if dice.random() < 0.07:
            return Try("result.json", ("report", "../out"), {"out/result.json": poison.entry(dice)})
        return Try(
            "result.json", ("report", "../out"), {"out/result.json": file_edited("", content, dice)}
        )
    return _recovered(corpus, dice)


def _recovered(corpus: Corpus, dice: Random) -> Try:
    names = ("float.onnx", "quantized.onnx", "written.npz", "plan.json")
    folder = {name: corpus.recovered[name] for name in names}
    name = dice.choice(
        ("float.onnx", "written.npz", "written.npz", "plan.json", "plan.json", "quantized.onnx")
    )
    content = folder[name]
    assert isinstance(content, bytes)
    folder[name] = file_edited(name, content, dice) if dice.random() < 0.92 else poison.entry(dice)
    if name != "plan.json" and dice.random() < 0.7:
        folder["plan.json"] = poison.with_right_digests(folder)
    tree = {**files_of(corpus.plain), **{f"in/r/{n}": entry for n, entry in folder.items()}}
    return Try(f"{name} of a recovery", _on_recovered(dice), tree)


def _on_recovered(dice: Random) -> Argv:
    match dice.randrange(5):
        case 0 | 1:
            formats = ",".join(dice.sample(FORMATS, dice.choice((1, 1, 3))))
            return ("export", "../in/r", "--to", formats, "--tensorrt", "10.3.0", *_OUT)
        case 2 | 3:
            return (
                "verify",
                "../in/r",
                "--backend",
                "onnxruntime",
                "--data",
                DATA,
                "--samples",
                "4",
            )
        case _:
            return (
                *_diagnosis(dice),
                "--plan",
                f"../in/r/{dice.choice(('plan.json', 'quantized.onnx'))}",
            )


# ---- caches ------------------------------------------------------------------------------------


def caches(corpus: Corpus, dice: Random) -> Try:
    """What an interrupted run has left, edited, and the same command again."""
    name = dice.choice(("diagnose", "diagnose", "diagnose", "recover"))
    begun = corpus.interrupted[name]
    tree = dict(begun.tree)
    files = sorted(
        n for n, entry in tree.items() if n.startswith("out/") and isinstance(entry, bytes)
    )
    damaged = dice.sample(files, min(len(files), dice.choice((1, 1, 1, 2, 9))))
    for file in damaged:
        content = tree[file]
        assert isinstance(content, bytes)
        tree[file] = _kept(file, content, tree[dice.choice(files)], dice)
    if dice.random() < 0.1:
        _moved(tree, dice.choice(files), dice)
    names = ", ".join(file.rpartition("/")[2] for file in damaged)
    return Try(f"{names}, kept by {name}", begun.argv, tree)


def _kept(name: str, content: bytes, other: Entry, dice: Random) -> Entry:
    match dice.randrange(10):
        case 0 | 1:
            return poison.unnamed(dice)
        case 2:
            return poison.resealed(content, lambda body: poison.archive(body, dice))
        case 3:
            return other
        case 4 | 5:
            return edit_bytes.edited(content, dice)
        case _:
            return poison.resealed(content, lambda body: file_edited(name, body, dice))


def _moved(tree: Tree, file: str, dice: Random) -> None:
    """A folder that is a link, or files that nobody has asked for."""
    folder = file.rpartition("/")[0]
    match dice.randrange(3):
        case 0:
            tree[f"{folder}/{hostile.file_name(dice, '.npz')}"] = b"x"
        case 1:
            tree[f"{folder}/more/deep/er.npz"] = b"x"
        case _:
            moved = {n: e for n, e in tree.items() if n.startswith(f"{folder}/")}
            for name, entry in moved.items():
                del tree[name]
                tree[name.replace("out/", "in/kept/", 1)] = entry
            tree.pop(folder, None)
            tree[folder] = poison.link_to(folder, folder.replace("out/", "in/kept/", 1))


# ---- options -----------------------------------------------------------------------------------

_VALUES = (
    "0", "-1", "-5", "1", "2", "1e400", "nan", "inf", "", " ", "1" * 30, "9223372036854775808",
    "abc", "0x10", "1_000", "²", "٣", "1.5", "-0", "1GiB", "0GiB", "-1GiB", "1e30GiB", "1h", "0s",
    "-3s", "nans",
)  # fmt: skip
_OPTIONS = {
    "diagnose": (
        "--seed --memory --batch --samples --permutations --set --metric --method --format "
        "--target --threads --lang --labels --calibration --plan --preprocess --json --data --out"
    ),
    "recover": (
        "--seed --memory --budget --goal --methods --evaluation --samples --set --export --inputs"
    ),
    "export": "--to --tensorrt --target --samples --data --out",
    "verify": "--tolerance --backend --against --samples --target --calibration",
}
_WORDS = (
    "sqnr_db>=nan", "sqnr_db>=", ">=", "sqnr_db>=1e400", "agreement>=2", "accuracy_drop<=0", "x=",
    "=x", "w=float", "w=16bit", "y=percentile", "../out/notes.txt", "../out/notes.txt/x",
    "/dev/full", "n" * 300, "../in", "../in/nothing", "..", "qdq,qdq", ",", "-equalization",
    "equalization,-equalization", "module:f", "os:system", "../in/nothing.toml", "10.3", "x.y.z",
    "json,json", "console", "plan",
)  # fmt: skip


def options(corpus: Corpus, dice: Random) -> Try:
    """Sound files, and words on the command line that are not."""
    verb = dice.choice(("diagnose", "diagnose", "diagnose", "export", "verify", "recover"))
    base: dict[str, Argv] = {
        "diagnose": ("diagnose", MODEL, "--data", DATA, *BRIEF, *_OUT),
        "recover": ("recover", MODEL, "--data", DATA, "--budget", "1s", *_OUT),
        "export": ("export", MODEL, "--to", "qdq", "--data", DATA, *_OUT),
        "verify": ("verify", MODEL, "--backend", "onnxruntime", "--data", DATA),
    }
    more: list[str] = []
    for option in dice.sample(_OPTIONS[verb].split(), dice.choice((1, 1, 2))):
        more.append(f"{option}={_value_of(option, dice)}")
    tree = files_of(corpus.networks["dense"])
    return Try(" ".join(more)[:80], (*base[verb], *more), tree, misspelt=True)


def _value_of(option: str, dice: Random) -> str:
    if option in ("--out", "--json"):  # whatever is named there is the user's wish: stay in ``out``
        places = "new", "a/b/c", "notes.txt/x", "n" * 300, hostile.file_name(dice, ".json")
        return f"../out/{dice.choice(places)}"
    # What is named may be read, and its beginning shown: not these, which hold what must not be.
    given = {".", "/etc/passwd"}
    names = [name for name in hostile.NAMES if "\0" not in name and name not in given]
    return dice.choice((dice.choice(_VALUES), dice.choice(_WORDS), dice.choice(names)))


CLASSES: dict[str, Callable[[Corpus, Random], Try]] = {
    "models": models,
    "external": external,
    "data": data,
    "parameters": parameters,
    "results": results,
    "caches": caches,
    "options": options,
}
# How often each class comes, of all tries.
SHARES = {
    "models": 8, "external": 3, "data": 6, "parameters": 8, "results": 4, "caches": 4, "options": 2,
}  # fmt: skip


def kind_of(seed: str, only: Sequence[str] = ()) -> str:
    """The class of a try."""
    shares = {name: share for name, share in SHARES.items() if not only or name in only}
    return Random(f"kind {seed}").choices(list(shares), list(shares.values()))[0]
