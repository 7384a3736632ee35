"""Which device each process gets, and that a model which cannot use it is told before any work; without a GPU."""

from pathlib import Path

import pytest
import torch
from swin_umamba.common.device import check_device, choose_device, choose_device_of_process
from swin_umamba.common.errors import UserError
from swin_umamba.common.processes import Ranks

import swin_umamba_ext

SECOND_OF_TWO = Ranks(rank=3, world_size=4, local_rank=1, local_world_size=2)


@pytest.fixture
def two_gpus(monkeypatch):
    """Two GPUs that run the kernels; the list gets those that a process occupies."""
    occupied = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", occupied.append)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch, "empty", lambda *shape, device: None)
    monkeypatch.setattr(swin_umamba_ext, "cross_scan", lambda x: None)
    monkeypatch.setattr("swin_umamba_ext.library.CUDA_LIBRARY", Path("_cuda.so"))
    return occupied


@pytest.fixture(params=["no kernels", "an old GPU"])
def no_kernels(request, two_gpus, monkeypatch):
    """What is said where the kernels cannot run."""
    if request.param == "no kernels":
        monkeypatch.setattr("swin_umamba_ext.library.CUDA_LIBRARY", None)
        return "this installation has no CUDA kernels"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    return r"the CUDA kernels need compute capability 8.0, this GPU has 7.5"


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_every_process_of_a_node_has_a_gpu_of_its_own(two_gpus, name):
    assert choose_device_of_process(name, SECOND_OF_TWO, needs_kernels=True) == torch.device("cuda", 1)
    assert two_gpus == [torch.device("cuda", 1)]


def test_a_single_process_has_the_gpu_that_was_named(two_gpus):
    assert choose_device_of_process("cuda:1", Ranks(), needs_kernels=True) == torch.device("cuda", 1)
    assert choose_device_of_process("auto", Ranks(), needs_kernels=True) == torch.device("cuda", 0)


def test_processes_share_the_cpu():
    assert choose_device_of_process("cpu", SECOND_OF_TWO, needs_kernels=True) == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "local_rank", "message"),
    [
        ("cuda:0", 1, "--device cuda:0: every process has a device of its own; say --device cuda"),
        ("cuda", 2, "there are 2 GPUs"),
    ],
)
def test_a_device_for_all_and_too_few_devices_are_refused(two_gpus, name, local_rank, message):
    ranks = Ranks(rank=2, world_size=4, local_rank=local_rank, local_world_size=4)
    with pytest.raises(UserError, match=message):
        choose_device_of_process(name, ranks, needs_kernels=True)


def test_checking_a_gpu_does_not_occupy_it(two_gpus):
    assert check_device("cuda:1", needs_kernels=True) == torch.device("cuda", 1)
    assert check_device("auto", needs_kernels=True) == torch.device("cuda", 0)
    assert two_gpus == []


def test_a_gpu_that_cannot_run_the_kernels_is_left_alone_and_said(two_gpus, no_kernels, capsys):
    for choose in (
        lambda name: choose_device(name, needs_kernels=True),
        lambda name: choose_device_of_process(name, Ranks(0, 2, 0, 2), needs_kernels=True),
    ):
        assert choose("auto") == torch.device("cpu")
        assert no_kernels in capsys.readouterr().err
    assert not two_gpus


def test_an_installation_without_kernels_refuses_a_gpu(two_gpus, monkeypatch):
    monkeypatch.setattr("swin_umamba_ext.library.CUDA_LIBRARY", None)
    for choose in (
        lambda: choose_device("cuda", needs_kernels=True),
        lambda: choose_device_of_process("cuda", Ranks(0, 2, 0, 2), needs_kernels=True),
    ):
        with pytest.raises(UserError, match=r"^--device cuda.*: this installation has no CUDA kernels;.*--device cpu"):
            choose()
    assert not two_gpus


def test_an_old_gpu_that_is_named_is_taken_for_plain_operations(two_gpus, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert choose_device("cuda:1", needs_kernels=True) == torch.device("cuda", 1)
    assert choose_device("auto", needs_kernels=True) == torch.device("cpu")
    assert "--device cuda takes it all the same, with plain torch operations" in capsys.readouterr().err


def test_of_all_processes_the_first_says_that_the_gpu_is_left_alone(no_kernels, capsys):
    assert choose_device_of_process("auto", SECOND_OF_TWO, needs_kernels=True) == torch.device("cpu")
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_kernels")
def test_a_model_without_the_kernels_keeps_the_gpu(two_gpus, capsys):
    for name in ("auto", "cuda:0"):
        assert choose_device(name, needs_kernels=False) == torch.device("cuda", 0)
    assert choose_device_of_process("auto", SECOND_OF_TWO, needs_kernels=False) == torch.device("cuda", 1)
    assert len(two_gpus) == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            "swin_umamba on CUDA: no kernel image is available",
            "install again with TORCH_CUDA_ARCH_LIST=9.0 .*device cpu",
        ),
        ("CUDA error: all CUDA-capable devices are busy\nCompile with", r"devices are busy; use another device$"),
    ],
)
def test_a_trial_finds_a_gpu_that_does_not_work(two_gpus, monkeypatch, error, message):
    def fail(x):
        raise RuntimeError(error)

    monkeypatch.setattr(swin_umamba_ext, "cross_scan", fail)
    with pytest.raises(UserError, match=rf"--device cuda:1: the GPU cannot be used: .*{message}"):
        choose_device("cuda:1", needs_kernels=True)
    assert choose_device("cuda:1", needs_kernels=False) == torch.device("cuda", 1)
