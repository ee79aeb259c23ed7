"""Atomic writes, and checks of folders."""

import os

import pytest

from centerdet.files import check_folder, make_folder, remove_leftovers, write_atomically


def test_a_file_is_written_and_replaced(tmp_path):
    for content in (b"first", b"second"):
        write_atomically(tmp_path / "a.txt", content)
        assert (tmp_path / "a.txt").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    write_atomically(tmp_path / "a.txt", b"old")

    def fail(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"cannot write .*a\.txt: No space left on device"):
        write_atomically(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".a.txt.0123456789abcdef.centerdet.tmp").write_text("")
    (tmp_path / ".link.0123456789abcdef.centerdet.tmp").symlink_to("other")
    (tmp_path / ".folder.0123456789abcdef.centerdet.tmp").mkdir()
    for name in (".a.txt.7.tmp", ".vimrc.tmp", "b.tmp", "c.txt"):
        (tmp_path / name).write_text("")
    before = {path.name for path in tmp_path.iterdir()}
    remove_leftovers(tmp_path)
    assert before - {path.name for path in tmp_path.iterdir()} == {".a.txt.0123456789abcdef.centerdet.tmp"}


def test_folders_are_checked_before_the_work(tmp_path):
    check_folder(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="there is no writable folder .*nowhere; make it, or choose another"):
        check_folder(tmp_path / "nowhere" / "a.txt")
    with pytest.raises(ValueError, match="it is a folder; name a file in it"):
        check_folder(tmp_path)


def test_folders_are_made_with_those_above_them(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot make the folder .*inside: .*choose another"):
        make_folder(tmp_path / "file" / "inside")
