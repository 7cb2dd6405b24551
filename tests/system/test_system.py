"""Files as a whole or not at all, and sizes that are asked about before memory is taken."""

import doctest
import os
import stat
import threading
from pathlib import Path

import pytest

from lostbits.system import memory
from lostbits.system.files import read_file, replace_file, size_of
from lostbits.system.memory import excess, installed


def test_documented_examples() -> None:
    assert doctest.testmod(memory).failed == 0


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.json"
    replace_file(path, b"old")
    replace_file(path, [memoryview(b"ne"), memoryview(b"w")])
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["result.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_mask()


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_what_ends_the_writing_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(type(error)):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_content_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, rename = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        order.append("sync")
        sync(descriptor)

    def renamed(old: str, new: Path) -> None:
        order.append("name")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    replace_file(tmp_path / "x", b"content")
    assert order == ["sync", "name", "sync"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    replace_file(pipe, b"result")
    reader.join()
    assert read == [b"result"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_is_replaced_and_its_target_is_not_written(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_bytes(b"theirs")
    link.symlink_to(victim)
    replace_file(link, b"ours")
    assert (victim.read_bytes(), link.read_bytes()) == (b"theirs", b"ours")


def test_no_more_is_read_than_a_file_of_its_kind_may_have(tmp_path: Path) -> None:
    hole = tmp_path / "hole"
    with hole.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="at most 1,000"):
        read_file(hole, most=1000)
    with pytest.raises(ValueError, match="may be taken"):
        read_file(hole)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="it is"):
            read_file(path)
        with pytest.raises(OSError, match="it is"):
            size_of(path)


def test_a_link_is_followed_only_where_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    assert read_file(tmp_path / "link") == b"content"
    with pytest.raises(OSError, match="link"):
        read_file(tmp_path / "link", follow=False)


def test_a_need_above_the_memory_is_told_with_both_numbers() -> None:
    assert excess(installed()) is None
    assert excess(10**400) is not None
    found = excess(installed() + (1 << 30))
    assert found is not None
    assert found.count("GiB") == 2
