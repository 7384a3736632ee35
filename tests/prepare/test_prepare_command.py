"""What holds for every data set: resuming, whole files only, an untouched download, an unknown layout."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import pytest
from swin_umamba.common.errors import UserError
from swin_umamba.common.files import lock_folder
from swin_umamba.prepare import DATASETS
from swin_umamba.prepare import preparation as preparation_module
from swin_umamba.prepare.microscopy import plan
from swin_umamba.prepare.preparation import write_dataset


def test_second_run_writes_nothing(cellseg, tmp_path, tools):
    assert "9 files written, 0 were there" in tools.prepared("microscopy", cellseg, tmp_path / "raw")
    before = tools.contents(tmp_path / "raw")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "raw").rglob("*.png")}
    assert "0 files written, 9 were there" in tools.prepared("microscopy", cellseg, tmp_path / "raw")
    assert tools.contents(tmp_path / "raw") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_changed_source_is_converted_again(cellseg, tmp_path, tools):
    tools.prepared("microscopy", cellseg, tmp_path / "raw")
    later = time.time() + 10
    os.utime(cellseg / "Training-labeled" / "images" / "cell_00001.png", (later, later))
    # The image, and the label whose size was checked against it.
    assert "2 files written, 7 were there" in tools.prepared("microscopy", cellseg, tmp_path / "raw")


def test_failed_run_is_resumed(cellseg, tmp_path, tools):
    """A run that meets an unreadable file keeps what it wrote, has no dataset.json, and goes on after the repair."""
    image = cellseg / "Tuning" / "images" / "cell_00001.tiff"
    whole = image.read_bytes()
    image.write_bytes(whole[:50])
    assert "cell_00001.tiff" in tools.refused("microscopy", cellseg, tmp_path / "raw", "--workers", 1)
    folder = tmp_path / "raw" / "Dataset703_NeurIPSCell"
    assert not (folder / "dataset.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*/*.*")}
    # The training set at least; the copy behind the wrong image may or may not have begun.
    assert len(finished) in (6, 7)
    image.write_bytes(whole)
    shown = tools.prepared("microscopy", cellseg, tmp_path / "raw")
    assert f"{9 - len(finished)} files written, {len(finished)} were there" in shown
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_killed_run_leaves_whole_files_only(cellseg, tmp_path, tools):
    """The process dies inside a write; the next run finishes to the same data set as one that was never killed."""
    tools.prepared("microscopy", cellseg, tmp_path / "expected")
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from swin_umamba.prepare.microscopy import plan\n"
        "from swin_umamba.prepare import preparation\n"
        "files = plan(Path(sys.argv[1])).files\n"
        "whole = preparation.replace_atomically\n"
        "class Dying:\n"
        "    def __init__(self, path): self.file = whole(path)\n"
        "    def __enter__(self): self.target = self.file.__enter__(); return self\n"
        "    def write(self, content):\n"
        "        self.target.write(content[:20]); self.target.flush(); os._exit(9)\n"
        "    def __exit__(self, *error): pass\n"
        "count = iter(range(99))\n"
        "preparation.replace_atomically = lambda path: Dying(path) if next(count) == 4 else whole(path)\n"
        "preparation.write_dataset(plan(Path(sys.argv[1])), Path(sys.argv[2]), 1)\n"
    )
    folder = tmp_path / "raw" / "Dataset703_NeurIPSCell"
    ended = subprocess.run([sys.executable, "-c", script, str(cellseg), str(folder)], check=False)
    assert ended.returncode == 9
    expected = tools.contents(tmp_path / "expected" / "Dataset703_NeurIPSCell")
    left = tools.contents(folder)
    partial = [name for name in left if name.endswith(".partial")]
    assert len(partial) == 1
    assert len(left) == 6
    assert all(content == expected[name] for name, content in left.items() if name not in partial)
    tools.prepared("microscopy", cellseg, tmp_path / "raw")
    assert tools.contents(folder) == expected


def test_every_file_is_reported_to_the_progress_bar(cellseg, tmp_path):
    preparation = plan(cellseg)
    calls = []
    assert write_dataset(preparation, tmp_path / "set", 3, lambda: calls.append(1)) == 9
    assert len(calls) == 9
    assert write_dataset(preparation, tmp_path / "set", 3, lambda: calls.append(1)) == 0
    assert len(calls) == 18


def test_destination_overlapping_the_download_is_refused(cellseg, tools):
    before = tools.contents(cellseg)
    for destination in (cellseg, cellseg / "raw", cellseg / "Tuning"):
        assert "overlaps the download" in tools.refused("microscopy", cellseg, destination)
    assert tools.contents(cellseg) == before


def test_foreign_files_in_the_destination_are_refused(cellseg, tmp_path, tools):
    foreign = tmp_path / "raw" / "Dataset703_NeurIPSCell" / "imagesTr" / "mine_0000.png"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    assert "imagesTr/mine_0000.png" in tools.refused("microscopy", cellseg, tmp_path / "raw")
    assert tools.contents(tmp_path / "raw") == {"Dataset703_NeurIPSCell/imagesTr/mine_0000.png": b"mine"}


def test_destination_may_be_the_folder_of_the_data_set_itself(cellseg, tmp_path, tools):
    folder = tmp_path / "raw" / "Dataset703_NeurIPSCell"
    assert tools.run("microscopy", cellseg, folder) == 0
    assert (folder / "dataset.json").is_file()


@pytest.mark.parametrize("dataset", DATASETS)
def test_unknown_layout_tells_what_was_expected_and_found(dataset, tmp_path, tools):
    source = tmp_path / "download"
    source.mkdir()
    message = tools.refused(dataset, source, tmp_path / "raw")
    assert "expected" in message
    assert "found an empty folder" in message
    (source / "notes.txt").touch()
    (source / "pictures").mkdir()
    assert "found notes.txt, pictures/" in tools.refused(dataset, source, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("dataset", DATASETS)
def test_download_of_another_data_set_is_refused(dataset, amos, tmp_path, tools):
    if dataset != "abdomen-mr":
        assert "is no download of" in tools.refused(dataset, amos, tmp_path / "raw")


def test_paths_of_the_wrong_kind_are_refused(cellseg, tmp_path, tools):
    (tmp_path / "file").touch()
    assert "is no folder" in tools.refused("microscopy", tmp_path / "file", tmp_path / "raw")
    assert "is no folder" in tools.refused("microscopy", tmp_path / "nowhere", tmp_path / "raw")
    assert "is a file" in tools.refused("microscopy", cellseg, tmp_path / "file")


@pytest.mark.parametrize("destination", ["/proc/x", "/dev/null/x"])
def test_a_destination_that_cannot_be_made_is_told(destination, cellseg, tools):
    message = tools.refused("microscopy", cellseg, destination)
    assert f"cannot write to the folder {destination}/Dataset703_NeurIPSCell: " in message
    assert "choose another DST" in message


def test_a_full_disk_is_told_and_the_same_command_goes_on(cellseg, tmp_path, tools, monkeypatch):
    whole, paths = preparation_module.replace_atomically, []

    def filling_up(path):
        paths.append(path)
        if len(paths) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path)

    with monkeypatch.context() as full:
        full.setattr(preparation_module, "replace_atomically", filling_up)
        message = tools.refused("microscopy", cellseg, tmp_path / "raw", "--workers", 1)
    folder = tmp_path / "raw" / "Dataset703_NeurIPSCell"
    assert f"cannot write to {folder}: No space left on device; when that is mended, the same command" in message
    assert not (folder / "dataset.json").exists()
    assert "6 files written, 3 were there" in tools.prepared("microscopy", cellseg, tmp_path / "raw")


def test_a_source_that_goes_away_is_told(cellseg, tmp_path):
    preparation = plan(cellseg)
    write_dataset(preparation, tmp_path / "set", 1)
    source = cellseg / "Training-labeled" / "images" / "cell_00002.bmp"
    source.unlink()
    with pytest.raises(UserError, match=f"cannot read {source}: No such file or directory"):
        write_dataset(preparation, tmp_path / "set", 1)


def test_a_folder_that_another_process_prepares_is_left_alone(cellseg, tmp_path, tools):
    folder = tmp_path / "raw" / "Dataset703_NeurIPSCell"
    with lock_folder(folder, "wait"):
        message = tools.refused("microscopy", cellseg, tmp_path / "raw")
    assert f"another process is at work in {folder}; wait for it, or choose another DST" in message
    assert list(tools.contents(folder)) == [".lock"]


def test_workers_stop_at_the_first_error(cellseg, tmp_path):
    """Files that wait behind a wrong one are not made."""
    preparation = plan(cellseg)
    made = []

    def fail():
        raise UserError("wrong")

    files = [preparation_module.OutputFile("imagesTr/first", (), fail)]
    for number in range(300):
        files.append(preparation_module.OutputFile(f"imagesTr/{number}", (), lambda n=number: made.append(n) or b""))
    stopping = preparation_module.Preparation(preparation.definition, "", files, {})
    with pytest.raises(UserError, match="wrong"):
        write_dataset(stopping, tmp_path / "set", 1)
    assert len(made) < 300
    assert not (tmp_path / "set" / "dataset.json").exists()
