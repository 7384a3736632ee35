"""What is given in the place of a checkpoint is named, with what to do."""

import gzip
import os
import shutil
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from swin_umamba.checkpoints import CheckpointError, load_pretrained, read_checkpoint
from swin_umamba.common.errors import UserError

from .checkpoints import CfgNode, module_with, vmamba_weights

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1\nsize 12345\n"


def write(path, content):
    path.write_bytes(content)
    return path


def compress(path):
    torch.save({"a": torch.zeros(2)}, path)
    packed = path.with_suffix(".gz")
    with open(path, "rb") as source, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    return packed


def pack_tar(path):
    with tarfile.open(path, "w") as archive:
        archive.add(write(path.with_name("checkpoint_final.pth"), b"weights"), "checkpoint_final.pth")
    return path


def pack_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fold_0/checkpoint_final.pth", b"weights")
    return path


def script(path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    return path


def folder(path, *files):
    path.mkdir()
    for file in files:
        (path / file).touch()
    return path


def array(path):
    np.save(path, np.zeros(3))
    return path.with_suffix(".pth.npy")


FILES = {
    "absent": (lambda path: path, "there is no file"),
    "folder": (lambda path: folder(path), "is a folder; give the checkpoint inside"),
    "run folder": (lambda path: folder(path, "checkpoint_final.pth"), "it holds checkpoint_final.pth"),
    "empty": (lambda path: write(path, b""), "is empty"),
    "text": (lambda path: write(path, b"Quota exceeded\nTry again later\n"), r"text file \('Quota exceeded' …\)"),
    "UTF-8 text": (lambda path: write(path, "Größe überschritten\n".encode() * 40), "text file"),
    "JSON": (lambda path: write(path, b'{"message": "Not Found"}'), "text file"),
    "page": (lambda path: write(path, b"\n<!DOCTYPE html><html>Sign in</html>"), "is a web page"),
    "LFS pointer": (lambda path: write(path, LFS), "Git LFS pointer.*git lfs pull"),
    "gzip": (compress, "compressed with gzip; unpack it"),
    "tar": (pack_tar, "tar archive; unpack it"),
    "zip": (pack_zip, "zip archive, but not one of torch.save"),
    "empty zip": (lambda path: write(path, b"PK\x05\x06" + b"\0" * 18), "empty zip archive"),
    "TorchScript": (script, "TorchScript program"),
    "NumPy": (array, "is a NumPy array"),
    "HDF5": (lambda path: write(path, b"\x89HDF\r\n\x1a\n" + b"\0" * 99), "is an HDF5 file"),
    "pickle": (lambda path: write(path, b"\x80\x04\x95\x02\0\0\0\0\0\0\0}."), "pickle that torch.save did not write"),
    "bytes": (lambda path: write(path, b"\xff\xd8\xff\xe0" + b"\0" * 99), "begins with the bytes ff d8 ff e0"),
    "safetensors, cut": (
        lambda path: write(path.with_suffix(".safetensors"), struct.pack("<Q", 200) + b'{"a":{"dtype":"F32"'),
        "not a whole safetensors file",
    ),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("kind", FILES)
def test_is_named(tmp_path, kind):
    make, message = FILES[kind]
    path = make(tmp_path / "vmamba.pth")
    with pytest.raises(CheckpointError, match=message) as raised:
        read_checkpoint(path)
    assert isinstance(raised.value, UserError)
    assert isinstance(raised.value, ValueError)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth is a pipe or a device, not a file"):
        read_checkpoint(tmp_path / "a.pth")


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.pth", b"PK\x03\x04")

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(CheckpointError, match=r"cannot read .*a\.pth: Permission denied"):
        read_checkpoint(path)


def test_an_incomplete_download_tells_its_size(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"model": vmamba_weights()}, path)
    size = path.stat().st_size // 2
    write(path, path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=rf"incomplete or damaged \({size} bytes; .*download or copy it again"):
        read_checkpoint(path)


CONTENTS = {
    "no weights": ({"epoch": 3, "config": "tiny"}, "a dict with the keys 'epoch', 'config', and no weights"),
    "nothing": ({}, "an empty dict"),
    "a tensor": (torch.zeros(3), "an object of the type Tensor"),
    "NaN": ({"model": {"a": torch.tensor([1.0, float("nan")]), "b": torch.ones(2)}}, "in 1 of 2 tensors, .* a;"),
    "infinity": ({"model": {"a": torch.tensor([float("-inf")], dtype=torch.bfloat16)}}, "NaN or infinite"),
    "one network in two wraps": ({"_orig_mod.a": torch.zeros(1), "a": torch.zeros(1)}, "differ only in the prefixes"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_content_without_usable_weights_is_named(tmp_path, make_network, network_class, kind):
    content, message = CONTENTS[kind]
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(make_network(network_class), tmp_path / "a.pth")


@pytest.mark.parametrize("key", ["model", None])
def test_a_pickled_network_is_named(tmp_path, make_network, network_class, key):
    with module_with("some.package", Network=CfgNode):
        network = CfgNode({"weight": torch.zeros(2)})
        torch.save({key: network} if key else network, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"object of the class some\.package\.Network"):
        load_pretrained(make_network(network_class), tmp_path / "a.pth")
