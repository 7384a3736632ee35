"""Which device each process of a distributed training gets, without a GPU."""

from pathlib import Path

import pytest
import torch
from swin_umamba.device import choose_device, choose_device_of_process
from swin_umamba.errors import UserError
from swin_umamba.training.processes import Place

SECOND_OF_TWO = Place(rank=3, count=4, local_rank=1, local_count=2)


@pytest.fixture
def two_gpus(monkeypatch):
    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr("swin_umamba_ext.library.CUDA_LIBRARY", Path("_cuda.so"))
    return current


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_every_process_of_a_node_has_a_gpu_of_its_own(two_gpus, name):
    assert choose_device_of_process(name, SECOND_OF_TWO) == torch.device("cuda", 1)
    assert two_gpus == [torch.device("cuda", 1)]


def test_a_single_process_has_the_gpu_that_was_named(two_gpus):
    assert choose_device_of_process("cuda:1", Place()) == torch.device("cuda", 1)
    assert choose_device_of_process("auto", Place()) == torch.device("cuda", 0)


def test_processes_share_the_cpu():
    assert choose_device_of_process("cpu", SECOND_OF_TWO) == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "local_rank", "message"),
    [
        ("cuda:0", 1, "--device cuda:0: every process has a device of its own; say --device cuda"),
        ("cuda", 2, "there are 2 GPUs"),
    ],
)
def test_a_device_for_all_and_too_few_devices_are_refused(two_gpus, name, local_rank, message):
    with pytest.raises(UserError, match=message):
        choose_device_of_process(name, Place(rank=2, count=4, local_rank=local_rank, local_count=4))


def test_a_gpu_without_our_kernels_is_left_alone_and_said(two_gpus, monkeypatch, capsys):
    monkeypatch.setattr("swin_umamba_ext.library.CUDA_LIBRARY", None)
    for choose in (choose_device, lambda name: choose_device_of_process(name, SECOND_OF_TWO)):
        assert choose("auto") == torch.device("cpu")
        assert "this installation has no CUDA kernels" in capsys.readouterr().err
        with pytest.raises(UserError, match=r"^--device cuda.*: this installation has no CUDA kernels;.*--device cpu"):
            choose("cuda")
    assert not two_gpus
