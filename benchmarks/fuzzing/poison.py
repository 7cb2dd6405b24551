"""What is put in the place of a file: objects that run something when they are read, and worse."""

import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from random import Random

from benchmarks.fuzzing.hostile import POISON
from benchmarks.fuzzing.tree import Entry, Folder, Hole, Link, Pipe, Tree


def _short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def _call(module: str, name: str, arguments: bytes) -> bytes:
    """A pickle that calls something when it is read."""
    return b"\x80\x04" + _short(module) + _short(name) + b"\x93" + arguments + b"R."


_COMMAND = _short(f"touch {POISON}") + b"\x85"
_WORDS = b"](" + _short("touch") + _short(POISON) + b"e\x85"
_CODE = _short(f"__import__('os').system('touch {POISON}')") + b"\x85"
_SEAL = hashlib.sha256().digest_size
PICKLES = (
    _call("os", "system", _COMMAND),
    _call("posix", "system", _COMMAND),
    _call("subprocess", "Popen", _WORDS),
    _call("builtins", "eval", _CODE),
    _call("builtins", "exec", _CODE),
    _call("lostbits.grid", "np.f2py.subprocess.Popen", _WORDS),
    _call("lostbits.workers.cache", "os.system", _COMMAND),
    _call("lostbits.verbs.result_files", "shutil.os.system", _COMMAND),
    _call("numpy.f2py", "subprocess.Popen", _WORDS),
    _call("numpy.testing._private.utils", "runstring", _CODE[:-1] + b"}\x86"),
    _call("numpy_evil", "anything", _COMMAND),
    _call("importlib", "import_module", _short("antigravity") + b"\x85"),
    b"cos\nsystem\n(S'touch " + POISON.encode() + b"'\ntR.",
    b"\x80\x04" + b"]" * 5000 + b".",
    b"\x80\x05\x8d" + struct.pack("<Q", 1 << 60),
)


def _objects(pickled: bytes) -> bytes:
    """A .npy file that says that it holds objects."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + pickled


def content(dice: Random) -> bytes:
    """Bytes that run something where they are unpickled."""
    pickled = dice.choice(PICKLES)
    return dice.choice((pickled, pickled, _objects(pickled), archive(b"", dice)))


def archive(around: bytes, dice: Random) -> bytes:
    """An archive with such a member, beside those of another one if it is an archive."""
    stream = io.BytesIO(around if around.startswith(b"PK\3\4") else b"")
    name = dice.choice(("x.npy", "0.npy", "names.npy", "grid.npy", "arr_0.npy", "data.pkl"))
    with zipfile.ZipFile(stream, "a") as file:
        if name in file.namelist():
            name = "more.npy"
        file.writestr(zipfile.ZipInfo(name), _objects(dice.choice(PICKLES)))
    return stream.getvalue()


def entry(dice: Random) -> Entry:
    """Something else in the place of a file that was named."""
    return dice.choice(
        (
            content(dice), content(dice), content(dice), Pipe(), Folder(), Link("nowhere"), b"",
            Link("/dev/zero"), Hole(1 << 33), Hole(1 << 42),
        )
    )  # fmt: skip


def unnamed(dice: Random) -> Entry:
    """The same in the place of a file that nobody has named; links may lead to what is secret."""
    links = "/etc/passwd", "../../secret/secret.txt", "../../../secret/secret.txt"
    return Link(dice.choice(links)) if dice.random() < 0.2 else entry(dice)


def resealed(content: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """The content after an edit; a checksum at its end is that of the new content then."""
    body, seal = content[:-_SEAL], content[-_SEAL:]
    if hashlib.sha256(body).digest() != seal:
        return edit(content)
    edited = edit(body)
    return edited + hashlib.sha256(edited).digest()


def link_to(place: str, target: str) -> Link:
    """A link at one place of a tree to another one."""
    return Link(os.path.relpath(target, os.path.dirname(place)))


def with_right_digests(folder: Tree) -> bytes:
    """The plan of a recovery, with the digests of the files as they are now."""
    plan = folder["plan.json"]
    assert isinstance(plan, bytes)
    facts = json.loads(plan)
    for name in facts.get("digests", {}):
        if isinstance(file := folder.get(name), bytes):
            facts["digests"][name] = hashlib.sha256(file).hexdigest()
    return json.dumps(facts).encode()
