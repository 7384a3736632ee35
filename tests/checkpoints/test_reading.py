"""`read_checkpoint` gives what was saved, in every format."""

import collections
import io
import pathlib
import pickle
import sys
import time
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from swin_umamba.checkpoints import CheckpointError, Placeholder, read_checkpoint
from swin_umamba.checkpoints.pickle_data import PickleReader
from swin_umamba.checkpoints.tensor_data import TORCH_BUILDERS, TORCH_CONSTANTS

from .checkpoints import CfgNode, module_with, released_checkpoint, vmamba_weights, write_torch_zip

FORMATS = {
    "zip": {},
    "zip, protocol 1": {"pickle_protocol": 1},
    "zip, protocol 4": {"pickle_protocol": 4},
    "zip, protocol 5": {"pickle_protocol": 5},
    "before PyTorch 1.6": {"_use_new_zipfile_serialization": False},
    "before PyTorch 1.6, protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64]
DTYPES += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.bool]


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        assert torch.equal(_bits(a), _bits(b))
    elif isinstance(a, np.ndarray | np.generic):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def _bits(tensor):
    return tensor.contiguous().flatten().view(torch.uint8)


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    tensor = torch.randint(-100, 100, shape).to(draw(st.sampled_from(DTYPES)))
    match draw(st.sampled_from(["whole", "transposed", "sliced", "expanded"])):
        case "transposed" if tensor.dim() == 2:
            return tensor.t()
        case "sliced" if tensor.dim() > 0:
            return tensor[tensor.shape[0] // 2 :]
        case "expanded":
            return tensor[None].expand(3, *tensor.shape)
    return tensor


@st.composite
def arrays(draw):
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    dtype = draw(st.sampled_from(["f4", ">f8", "i2", "u1", "?", "c8", "U3", "S2"]))
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    return np.asfortranarray(array) if draw(st.booleans()) else array


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.complex_numbers(allow_nan=False),
    st.sampled_from([torch.float16, torch.Size([2, 3]), torch.device("cuda", 1), bytearray(b"\0\xff"), {1, "a"}]),
    st.sampled_from([np.float64(0.5), np.float32(3), np.int64(-7), np.bool_(True), np.str_("fold")]),
)
contents = st.recursive(
    scalars | tensors() | arrays(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(collections.OrderedDict),
    ),
    max_leaves=8,
)


@given(contents, st.sampled_from(list(FORMATS.values())))
def test_gives_what_was_saved(tmp_path_factory, content, save_options):
    path = tmp_path_factory.mktemp("reading") / "checkpoint.pth"
    torch.save(content, path, **save_options)
    assert_same(read_checkpoint(path), content)


@given(st.dictionaries(st.text(max_size=3), tensors() | st.integers() | st.text(max_size=3), max_size=5))
def test_agrees_with_torch_where_torch_reads(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("reading") / "checkpoint.pth"
    torch.save(content, path)
    assert_same(read_checkpoint(path), torch.load(path, weights_only=True))


@pytest.mark.parametrize("name", FORMATS)
def test_tensors_share_storage_as_they_did(tmp_path, name):
    base = torch.arange(6.0).view(2, 3)
    torch.save({"base": base, "row": base[1]}, tmp_path / "a.pth", **FORMATS[name])
    read = read_checkpoint(tmp_path / "a.pth")
    read["base"][1, 0] = -1
    assert read["row"][0] == -1


@pytest.mark.parametrize("name", FORMATS)
def test_state_dict_keeps_the_versions_of_its_modules(tmp_path, name):
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    torch.save(network.state_dict(), tmp_path / "a.pth", **FORMATS[name])
    state = read_checkpoint(tmp_path / "a.pth")
    assert state._metadata == network.state_dict()._metadata
    network.load_state_dict(state)


@pytest.mark.parametrize("name", FORMATS)
def test_negative_and_conjugate_views_keep_their_sign(tmp_path, name):
    """Their storage holds the numbers before, and a bit says so."""
    numbers = torch.tensor([1 + 2j, 3 - 4j])
    content = {
        "conj": numbers.conj(),
        "neg": torch._neg_view(numbers.imag.clone()),
        "both": torch._neg_view(numbers.conj()),
    }
    torch.save(content, tmp_path / "a.pth", **FORMATS[name])
    read = read_checkpoint(tmp_path / "a.pth")
    assert read["conj"].tolist() == [1 - 2j, 3 + 4j]
    assert read["neg"].tolist() == [-2, 4]
    assert read["both"].tolist() == [-1 + 2j, -3 - 4j]
    assert [(value.is_conj(), value.is_neg()) for value in read.values()] == [(1, 0), (0, 1), (1, 1)]


def test_an_archive_that_was_compressed_is_read(tmp_path):
    content = {"a": torch.randn(1000), "zeros": torch.zeros(100_000), "empty": torch.zeros(0)}
    torch.save(content, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as source, zipfile.ZipFile(tmp_path / "b.pth", "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "b.pth").stat().st_size < 20_000
    assert_same(read_checkpoint(tmp_path / "b.pth"), content)


def test_a_parameter_is_a_tensor_without_gradient(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "an attribute"
    torch.save({"weight": parameter}, tmp_path / "a.pth")
    weight = read_checkpoint(tmp_path / "a.pth")["weight"]
    assert type(weight) is torch.Tensor
    assert not weight.requires_grad
    assert weight.tolist() == [1, 1]


def test_relatives_of_dict_are_dicts(tmp_path):
    content = {"log": collections.defaultdict(list, {"loss": [1.0]}), "n": collections.Counter("aab")}
    torch.save(content, tmp_path / "a.pth")
    assert_same(read_checkpoint(tmp_path / "a.pth"), {"log": {"loss": [1.0]}, "n": {"a": 2, "b": 1}})


@pytest.mark.parametrize("name", FORMATS)
def test_reads_the_released_layout_without_yacs(tmp_path, monkeypatch, name):
    weights = vmamba_weights()
    released_checkpoint(weights, tmp_path / "a.pth", **FORMATS[name])
    monkeypatch.setitem(sys.modules, "yacs.config", None)
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert_same(dict(checkpoint["model"]), weights)
    assert checkpoint["epoch"] == 292
    assert checkpoint["optimizer"]["state"][0]["exp_avg"].shape == weights["patch_embed.proj.weight"].shape
    config = checkpoint["config"]
    assert isinstance(config, Placeholder)
    assert config.class_name == "yacs.config.CfgNode"
    assert config.mapping["MODEL"].mapping == {"TYPE": "vssm", "NUM_CLASSES": 1000}
    assert config.state == {"__immutable__": True}
    assert CfgNode.made == 0


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_objects_become_placeholders_with_their_content(protocol):
    class Stack(list):
        def __init__(self, *items):
            super().__init__(items)
            self.limit = 3

    class Slots:
        __slots__ = ("size",)

    with module_with("some.package", Stack=Stack, Slots=Slots):
        slots = Slots()
        slots.size = 7
        content = [Stack(1, 2), pathlib.PurePosixPath("a/b"), *([slots] if protocol > 1 else [])]
        pickled = pickle.dumps(content, protocol)
    stack, path, *slots = PickleReader(io.BytesIO(pickled), TORCH_BUILDERS, TORCH_CONSTANTS, None).read()
    assert stack.class_name == "some.package.Stack"
    assert stack.sequence == [1, 2]
    assert stack.state == {"limit": 3}
    assert repr(stack) == "<some.package.Stack, not rebuilt>"
    assert path.class_name == "pathlib.PurePosixPath"
    assert path.arguments == ("a", "b")
    assert [item.state for item in slots] == [(None, {"size": 7})] * len(slots)


def test_reads_what_numpy_1_wrote(tmp_path):
    content = {"loss": np.float32(0.5), "lrs": np.arange(3.0)}
    pickled = pickle.dumps(content, 2)
    assert b"numpy._core" in pickled
    path = write_torch_zip(tmp_path / "a.pth", pickled.replace(b"numpy._core", b"numpy.core"))
    assert_same(read_checkpoint(path), content)


def test_a_log_of_many_arrays_is_read_in_linear_time(tmp_path):
    """Quadratic, these took 20 s; now 0.3 s."""
    arrays = [np.arange(3.0) + epoch for epoch in range(8000)]
    torch.save({"first": arrays[0], "log": arrays, "last": arrays[-1]}, tmp_path / "a.pth")
    start = time.process_time()
    read = read_checkpoint(tmp_path / "a.pth")
    assert time.process_time() - start < 5
    assert read["first"] is read["log"][0]
    assert read["last"] is read["log"][-1]
    np.testing.assert_array_equal(read["log"], arrays)


def test_arrays_of_objects_and_structures_are_not_rebuilt(tmp_path):
    content = {
        "objects": np.array([1, "a", None], dtype=object),
        "structure": np.zeros(2, dtype=[("x", "f4"), ("y", "i2")]),
        "time": np.datetime64("2024-02-18"),
    }
    torch.save(content, tmp_path / "a.pth")
    assert all(isinstance(value, Placeholder) for value in read_checkpoint(tmp_path / "a.pth").values())


def test_sparse_tensors_are_not_rebuilt(tmp_path):
    torch.save({"sparse": torch.eye(3).to_sparse()}, tmp_path / "a.pth")
    assert isinstance(read_checkpoint(tmp_path / "a.pth")["sparse"], Placeholder)


def test_a_list_can_hold_itself(tmp_path):
    content = [1]
    content.append(content)
    torch.save(content, tmp_path / "a.pth")
    read = read_checkpoint(tmp_path / "a.pth")
    assert read[1] is read


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin"])
def test_reads_safetensors_whatever_the_file_is_called(tmp_path, name):
    weights = {"a": torch.randn(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
    save_file(weights, tmp_path / name, metadata={"format": "pt"})
    assert_same(read_checkpoint(tmp_path / name), weights)


@pytest.mark.parametrize("beginning", [b"\x80\x02", b"\x1f\x8b", b"PK\x05"])
def test_reads_safetensors_however_long_their_header_is(tmp_path, beginning):
    """A safetensors file begins with the length of its header, which may look like another format's signature."""
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].ljust(int.from_bytes(beginning, "little"))
    (tmp_path / "b").write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    assert_same(read_checkpoint(tmp_path / "b"), {"a": torch.ones(2)})


def test_a_damaged_bit_is_noticed(tmp_path):
    """torch.load reads it as another number."""
    path = tmp_path / "a.pth"
    torch.save({"a": torch.full((1000,), 0.5)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.tensor(0.5).numpy().tobytes()) + 400] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged .*CRC-32"):
        read_checkpoint(path)
