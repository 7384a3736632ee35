"""No code of a file runs, whatever is in it.

The pickles here run commands or code with pickle.load, or would like to. An audit hook hears of each import,
compilation, process and lookup by pickle while `read_checkpoint` is at work.
"""

import codecs
import contextlib
import copyreg
import io
import os
import pickle
import random
import struct
import sys
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from swin_umamba.checkpoints import CheckpointError, read_checkpoint

from .checkpoints import vmamba_weights, write_torch_zip

FORBIDDEN = ("exec", "compile", "import", "pickle.find_class", "os.", "subprocess.", "socket.", "ctypes.", "shutil.")
ALLOWED = ("os.listdir", "os.scandir")

_heard = None


def _hear(event, arguments):
    if _heard is not None and event.startswith(FORBIDDEN) and event not in ALLOWED:
        _heard.append((event, arguments))


sys.addaudithook(_hear)


@contextlib.contextmanager
def nothing_runs():
    global _heard
    _heard = []
    try:
        yield
        assert _heard == []
    finally:
        _heard = None


@pytest.fixture(scope="module", autouse=True)
def _imported_before(tmp_path_factory):
    """What the first call imports for itself is not the file's doing."""
    read_checkpoint(write_torch_zip(tmp_path_factory.mktemp("before") / "a.pth", b"N."))
    for codec in ("cp437", "raw_unicode_escape", "ascii", "latin1"):  # of zipfile and pickletools
        codecs.lookup(codec)


def text(string):
    content = string.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def name(module, attribute):
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module, attribute):
    return text(module) + text(attribute) + b"\x93"


COMMAND = text("touch ran-code-of-a-checkpoint")
CODE = text("__import__('os').system('touch ran-code-of-a-checkpoint')")
SYSTEM = name("os", "system")
PAYLOADS = {
    "os.system": SYSTEM + COMMAND + b"\x85R",
    "posix.system": name("posix", "system") + COMMAND + b"\x85R",
    "os.system by STACK_GLOBAL": stack_name("os", "system") + COMMAND + b"\x85R",
    "dotted name": stack_name("torch.serialization", "os.system") + COMMAND + b"\x85R",
    "eval": name("builtins", "eval") + CODE + b"\x85R",
    "eval of Python 2": name("__builtin__", "eval") + CODE + b"\x85R",
    "exec by NEWOBJ": name("builtins", "exec") + CODE + b"\x85\x81",
    "exec by NEWOBJ_EX": name("builtins", "exec") + CODE + b"\x85}\x92",
    "os.system by OBJ": b"(" + SYSTEM + COMMAND + b"o",
    "os.system by INST": b"(" + COMMAND + b"ios\nsystem\n",
    "getattr of an import": (
        name("builtins", "getattr") + name("builtins", "__import__") + text("os") + b"\x85R" + text("system")
        + b"\x86R" + COMMAND + b"\x85R"
    ),
    "operator.attrgetter": name("operator", "attrgetter") + text("system") + b"\x85R" + name("os", "path") + b"\x85R",
    "functools.partial": name("functools", "partial") + SYSTEM + COMMAND + b"\x86R)R",
    "map": name("builtins", "list") + name("builtins", "map") + SYSTEM + b"]" + COMMAND + b"a\x86R\x85R",
    "eval as __setstate__": (
        name("some.module", "Class") + b")\x81}" + text("__setstate__") + name("builtins", "eval") + b"sb" + CODE + b"b"
    ),
    "state of a tensor's class": name("torch", "Tensor") + b")\x81" + name("builtins", "eval") + CODE + b"\x86b",
    "slots of a class": (
        name("collections", "OrderedDict") + b"N}" + text("__setitem__") + SYSTEM + b"s\x86b)R"
        + COMMAND + b"Ns"
    ),
    "attributes of an OrderedDict": (
        name("collections", "OrderedDict") + b")R}" + text("__class__") + SYSTEM + b"sb" + COMMAND + b"Ns"
    ),
    "copyreg._reconstructor": (
        name("copyreg", "_reconstructor") + SYSTEM + name("builtins", "object") + COMMAND + b"\x87R"
    ),
    "copyreg.__newobj__": name("copyreg", "__newobj__") + name("builtins", "exec") + CODE + b"\x86R",
    "copyreg.add_extension": (
        name("copyreg", "add_extension") + text("os") + text("system") + b"K\x0b\x87R0\x82\x0b" + COMMAND + b"\x85R"
    ),
    "defaultdict of os.system": name("collections", "defaultdict") + SYSTEM + b"\x85R",
    "numpy scalar of a function": (
        name("numpy._core.multiarray", "scalar") + SYSTEM + COMMAND + b"\x86R"
    ),
    "numpy scalar of an object": (
        name("numpy._core.multiarray", "scalar") + name("numpy", "dtype") + text("O8") + b"\x85R"
        + SYSTEM + COMMAND + b"\x85R\x86R"
    ),
    "numpy array of a function's class": (
        name("numpy._core.multiarray", "_reconstruct") + SYSTEM + b"K\x00\x85C\x01b\x87R(K\x01K\x01\x85"
        + name("numpy", "dtype") + text("O8") + b"\x85R\x89]" + SYSTEM + COMMAND + b"\x85Ratb"
    ),
    "numpy.load": name("numpy", "load") + COMMAND + b"N\x88\x87R",
    "numpy.f2py": name("numpy.testing._private.utils", "runstring") + CODE + b"}\x86R",
    "pickle.loads": name("pickle", "loads") + b"C\x04cos\n\x85R",
    "torch.load": name("torch.serialization", "load") + COMMAND + b"\x85R",
    "torch.hub": name("torch.hub", "load") + COMMAND + b"\x85R",
    "torch.storage._load_from_bytes": name("torch.storage", "_load_from_bytes") + b"C\x04cos\n\x85R",
    "function of a tensor's subclass": (
        name("torch._tensor", "_rebuild_from_type_v2") + b"(" + SYSTEM + SYSTEM + COMMAND + b"\x85}tR"
    ),
    "tensor's hooks": (
        name("torch._utils", "_rebuild_parameter") + name("torch", "zeros") + b"K\x01\x85R\x88" + SYSTEM + b"\x87R"
    ),
    "persistent id": (
        b"(" + text("storage") + SYSTEM + text("0") + text("cpu") + b"K\x01tQ"
    ),
    "persistent id of a module": b"(" + text("module") + SYSTEM + COMMAND + COMMAND + b"tQ",
    "codec": name("_codecs", "encode") + text("abc") + text("unicode_internal_os") + b"\x86R",
    "runpy": name("runpy", "_run_code") + CODE + b"}\x86R",
    "sys.modules": name("sys", "modules") + text("os") + SYSTEM + b"s",
}  # fmt: skip


@pytest.mark.parametrize("use_zip", [True, False], ids=["zip", "before PyTorch 1.6"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_code_does_not_run(tmp_path, monkeypatch, payload, use_zip):
    monkeypatch.chdir(tmp_path)
    weights = b"}" + text("model") + PAYLOADS[payload] + b"s"
    path = write_file(tmp_path / "a.pth", b"\x80\x04" + weights + b".", use_zip)
    with nothing_runs(), contextlib.suppress(CheckpointError):
        read_checkpoint(path)
    assert os.listdir() == ["a.pth"]


def write_file(path, pickled, use_zip):
    if use_zip:
        return write_torch_zip(path, pickled, {"0": b"\0" * 4})
    with open(path, "wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": sys.byteorder == "little"}):
            pickle.dump(value, file, 2)
        file.write(pickled)
        pickle.dump([], file, 2)
    return path


def test_the_hook_hears_what_pickle_does(tmp_path):
    """So that silence above means something."""
    with pytest.raises(AssertionError, match=r"pickle\.find_class"), nothing_runs():
        assert pickle.loads(b"\x80\x04" + name("builtins", "eval") + text("1 + 1") + b"\x85R.") == 2


def test_a_known_extension_does_not_run(tmp_path):
    """Numbers for names that a program has agreed on come out of a cache, past all lookups of names."""
    copyreg.add_extension("os", "getpid", 0xEB)
    try:
        pickle.loads(b"\x80\x02\x82\xeb.")
        path = write_torch_zip(tmp_path / "a.pth", b"\x80\x02\x82\xeb)R.")
        with nothing_runs(), pytest.raises(CheckpointError, match="EXT1"):
            read_checkpoint(path)
    finally:
        copyreg.remove_extension("os", "getpid", 0xEB)
        copyreg.clear_extension_cache()


@given(st.randoms(use_true_random=False), st.lists(st.sampled_from(sorted(PAYLOADS)), min_size=1, max_size=4))
def test_shuffled_instructions_do_not_run(tmp_path_factory, randoms, payloads):
    """Pieces of the above in any order, with instructions in between."""
    glue = [b"0", b"2", b"(", b"t", b"R", b"b", b"s", b"a", b"e", b"u", b"\x81", b"}", b"]", b")", b"\x94", b"h\x00"]
    pieces = [*(PAYLOADS[payload] for payload in payloads), *randoms.choices(glue, k=8)]
    randoms.shuffle(pieces)
    path = tmp_path_factory.mktemp("shuffled") / "a.pth"
    write_torch_zip(path, b"\x80\x04" + b"".join(pieces) + b".", {"0": b"\0" * 4})
    with nothing_runs(), contextlib.suppress(CheckpointError):
        read_checkpoint(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint in both formats."""
    folder = tmp_path_factory.mktemp("files")
    content = {"network_weights": vmamba_weights(4, (1, 1, 1, 1)), "logging": {"loss": [np.float32(0.5)]}}
    for file, use_zip in (("zip.pth", True), ("legacy.pth", False)):
        torch.save(content, folder / file, _use_new_zipfile_serialization=use_zip)
    return folder


@given(data=st.data(), use_zip=st.booleans())
def test_changed_bytes_are_an_error_or_harmless(tmp_path_factory, files, data, use_zip):
    original = files / ("zip.pth" if use_zip else "legacy.pth")
    content = bytearray(original.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        # Where the instructions are, rather than the numbers.
        position = data.draw(st.integers(0, 20_000) | st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("changed") / "a.pth"
    path.write_bytes(content)
    with nothing_runs():
        try:
            read = read_checkpoint(path)
        except CheckpointError:
            return
    if use_zip:
        expected = read_checkpoint(original)["network_weights"]
        assert all(torch.equal(read["network_weights"][key], value) for key, value in expected.items())


@given(data=st.data(), use_zip=st.booleans())
def test_an_incomplete_file_is_an_error(tmp_path_factory, files, data, use_zip):
    content = (files / ("zip.pth" if use_zip else "legacy.pth")).read_bytes()
    path = tmp_path_factory.mktemp("incomplete") / "a.pth"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(CheckpointError, match=str(path)):
        read_checkpoint(path)


def test_hashing_a_tower_of_tuples_is_refused(tmp_path):
    """A dict key of 100 nested pairs takes 2**100 steps to hash."""
    tower = b")" + b"2\x86" * 100
    path = write_torch_zip(tmp_path / "a.pth", b"\x80\x04}" + tower + b"Ns.")
    with pytest.raises(CheckpointError, match="key of type tuple"):
        read_checkpoint(path)


def tensor_pickle(offset, size, stride, count=4):
    """A pickled float tensor on the four bytes of storage 0."""
    buffer = io.BytesIO()
    pickler = pickle._Pickler(buffer, 2)
    pickler.write(b"\x80\x02" + name("torch._utils", "_rebuild_tensor_v2") + b"(")
    pickler.write(b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu"))
    pickler.save(count)
    pickler.write(b"tQ")
    for value in (offset, size, stride):
        pickler.save(value)
    pickler.write(b"\x89NtR.")
    return buffer.getvalue()


def test_a_tensor_within_its_storage_is_read(tmp_path):
    path = write_torch_zip(
        tmp_path / "a.pth", tensor_pickle(1, (1, 3), (3, 1)), {"0": np.arange(4, dtype="f4").tobytes()}
    )
    assert read_checkpoint(path).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    "claim",
    [
        (0, (5,), (1,)),
        (2, (3,), (1,)),
        (0, (3,), (2,)),
        (-1, (1,), (1,)),
        (0, (-1,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (2**32, 2**32), (2**32, 1)),
        (2**63, (1,), (1,)),
        (0, (2**70, 0), (1, 1)),
        (0, (1,), (1,), 5),
        (0, (1,), (1,), 2**62),
        ("0", (1,), (1,)),
        (0, [1], [1]),
        (0, None, None),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, claim):
    """Reading it would show other memory of the process."""
    path = write_torch_zip(tmp_path / "a.pth", tensor_pickle(*claim), {"0": b"\0" * 16})
    with pytest.raises(CheckpointError):
        read_checkpoint(path)


def test_a_legacy_file_cannot_ask_for_more_memory_than_it_has(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer, _use_new_zipfile_serialization=False)
    content = buffer.getvalue()
    start = content.index(b"cpuq") + 3
    # BINPUT n, then the number of elements as BININT1.
    assert content[start : start + 1] == b"q"
    huge = b"\x8a\x07" + (2**50).to_bytes(7, "little")
    path = tmp_path / "a.pth"
    path.write_bytes(content[: start + 2] + huge + content[start + 4 :])
    with pytest.raises(CheckpointError, match="larger than the file"):
        read_checkpoint(path)


def test_a_small_file_cannot_ask_for_much_by_strides(tmp_path):
    path = write_torch_zip(tmp_path / "a.pth", tensor_pickle(0, (2_600_000_000,), (0,)), {"0": b"\0" * 16})
    with pytest.raises(CheckpointError, match="claims more elements than its storage holds"):
        read_checkpoint(path)


@pytest.mark.parametrize("record", ["data.pkl", "data/0"])
@pytest.mark.parametrize("claim", ["honest", "of 16 bytes"])
def test_a_small_file_cannot_ask_for_much_by_compression(tmp_path, record, claim):
    """A record of 256 MB in 256 kB, or of a small one by its name, is refused before it is unpacked."""
    zeros = zlib.compressobj(9, zlib.DEFLATED, -15)
    size = 2**28
    packed = b"".join(zeros.compress(bytes(2**24)) for _ in range(size >> 24)) + zeros.flush()
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("data.pkl", tensor_pickle(0, (4,), (1,))), ("data/0", b"\0" * 16)):
            archive.writestr(f"archive/{name}", b"?" * len(packed) if name == record else content, zipfile.ZIP_STORED)
    content = path.read_bytes().replace(b"?" * len(packed), packed)
    for at in (30, 46):
        # The first name is in the record's own header, the last in the archive's directory.
        record_name = f"archive/{record}".encode()
        start = (content.index(record_name) if at == 30 else content.rindex(record_name)) - at
        header = bytearray(content[start : start + at])
        method, sizes = (8, 18) if at == 30 else (10, 20)
        header[method : method + 2] = (8).to_bytes(2, "little")
        header[sizes + 4 : sizes + 8] = (size if claim == "honest" else 16).to_bytes(4, "little")
        content = content[:start] + bytes(header) + content[start + at :]
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"unpack to much more|CRC-32"):
            read_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_other_compressions_are_refused(tmp_path):
    """Their decompressors give all at once; PyTorch knows neither."""
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("archive/data.pkl", b"N.")
    with pytest.raises(CheckpointError, match="compressed in a way that PyTorch does not know"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("use_zip", [True, False], ids=["zip", "before PyTorch 1.6"])
@pytest.mark.parametrize(
    "pickled",
    {
        "a list of lists is called": b"]" + b"2\x86" * 100 + b")R",
        "its name is a storage's": b"(" + text("storage") + b")" + b"2\x86" * 100 + text("0") + text("cpu")
        + b"K\x01tQ",
        "its name is a key": b"(" + text("storage") + name("torch", "FloatStorage") + b")" + b"2\x86" * 100
        + text("cpu") + b"K\x01tQ",
        "a class of it": name("copyreg", "_reconstructor") + b")" + b"2\x86" * 100 + b"NN\x87R",
        "an array of it": name("numpy._core.numeric", "_frombuffer") + b"(C\x00" + name("numpy", "dtype") + b")"
        + b"2\x86" * 100 + b"\x85R" + b"K\x00\x85" + text("C") + b"tR",
        "calls of calls": name("a", "b") + b")R" * 20_000,
        "copies of a text": name("_codecs", "encode") + text("x" * 100_000) + b"\x85\x94R0"
        + (name("_codecs", "encode") + b"h\x00R\x85" + b"0") * 20_000,
        "sets of a list": b"(" + b"K\x01" * 100_000 + b"l\x85\x940" + (name("builtins", "set") + b"h\x00R0") * 20_000
        + b"N",
        "numbers with one hash": b"}(" + b"".join(
            b"\x8a\x0a" + (number * (2**61 - 1)).to_bytes(10, "little") + b"N" for number in range(40_000)
        ) + b"u",
        "more than a program writes": b"]" + b"N0" * 200_000,
        "a name of 10 MB": name("a" * 10_000_000, "b"),
    }.items(),
    ids=lambda item: item[0] if isinstance(item, tuple) else item,
)  # fmt: skip
def test_a_small_pickle_ends_soon(tmp_path, monkeypatch, pickled, use_zip):
    monkeypatch.setattr("swin_umamba.checkpoints.pickle_data.INSTRUCTIONS", 300_000)
    path = write_file(tmp_path / "a.pth", b"\x80\x04" + pickled[1] + b".", use_zip)
    start = time.process_time()
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        message = str(error)
    else:
        message = ""
    assert time.process_time() - start < 20
    assert len(message) < 300


def test_random_bytes_are_an_error(tmp_path):
    generator = random.Random(0)
    path = tmp_path / "a.pth"
    for start in (b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04\x95", b"\0\0\0\0\0\0\0\0{"):
        for _ in range(50):
            path.write_bytes(start + generator.randbytes(200))
            with pytest.raises(CheckpointError):
                read_checkpoint(path)
