"""What is copied from nnU-Net, torch and the kernels, or used of them though private, is there and the same."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.crossval_split import generate_crossval_split
from skimage.io import imsave
from swin_umamba.checkpoints import torch_file
from swin_umamba.common.images import nnunet_readers
from swin_umamba.datasets import raw_dataset
from swin_umamba.jobs import planning
from swin_umamba.prediction import trained_model
from swin_umamba.trainers import paper_trainer

CSRC = Path(__file__).resolve().parents[2] / "csrc"


def _default(function, parameter):
    return inspect.signature(function).parameters[parameter].default


def test_constants_of_nnunet(tmp_path):
    assert _default(generate_crossval_split, "n_splits") == raw_dataset.FOLDS
    assert _default(ExperimentPlanner.__init__, "plans_name") == planning.PLANS_NAME
    source = inspect.getsource(nnUNetTrainer)
    assert {*re.findall(r"clip_grad_norm_\(.*?(\d+)\)", source)} == {str(paper_trainer.GRADIENT_NORM_LIMIT)}
    assert f'"{trained_model.FINAL}"' in source.replace("'", '"')
    imsave(tmp_path / "a.png", np.zeros((4, 4), np.uint8), check_contrast=False)
    spacing = NaturalImage2DIO().read_images((str(tmp_path / "a.png"),))[1]["spacing"]
    assert spacing == (nnunet_readers._FLAT_DEPTH, 1, 1)


@pytest.mark.parametrize(
    "name", ["subfiles", "get_identifiers_from_splitted_dataset_folder", "create_lists_from_splitted_dataset_folder"]
)
def test_nnunet_lists_files_by_the_function_that_is_replaced(name):
    function = getattr(import_module("nnunetv2.utilities.utils"), name)
    assert name == "subfiles" or "subfiles(" in inspect.getsource(function)


def test_constants_of_torch():
    assert torch.serialization.MAGIC_NUMBER == torch_file.LEGACY_MAGIC_NUMBER
    assert torch.serialization.PROTOCOL_VERSION == torch_file.LEGACY_PROTOCOL


@pytest.mark.parametrize(
    "name",
    [
        "torch._C._functorch.get_unwrapped",
        "torch._C._functorch.is_batchedtensor",
        "torch._disable_dynamo",
        "torch._dynamo.OptimizedModule",
        "torch.autograd.forward_ad._current_level",
    ],
)
def test_private_names_of_torch_are_there(name):
    import torch._dynamo

    value = torch
    for part in name.split(".")[1:]:
        value = getattr(value, part)


@pytest.mark.parametrize(
    ("name", "file", "constant"),
    [
        ("CHUNK", "kernels/cpu/tuning.h", "kChunk"),
        ("CUDA_CHUNK", "kernels/cuda/kernels.h", "kChunk"),
        ("RESCANNED", "kernels/cpu/tuning.h", "kRescanned"),
    ],
)
def test_constants_of_the_kernels(name, file, constant):
    found = re.findall(rf"constexpr \w+ {constant} = (\d+);", (CSRC / file).read_text())
    assert found == [str(getattr(import_module("swin_umamba_ext.ops.common"), name))]
