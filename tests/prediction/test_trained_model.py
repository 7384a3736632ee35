"""Reading models: which files, what is missing, and that nothing in them runs."""

from __future__ import annotations

import copy
import dataclasses
import json
import os

import numpy as np
import pytest
import torch
from swin_umamba.common.errors import UserError
from swin_umamba.networks.build import build_model
from swin_umamba.paper.systems import SYSTEMS, find_system
from swin_umamba.prediction import load_predictor, read_model
from swin_umamba.prediction.predictor import _laid_out, _NoRandomNumbers
from swin_umamba.trainers.registry import TRAINER_CLASSES

from .conftest import CPU


def test_a_run_and_its_checkpoint_are_the_same_model(make_checkpoint):
    path = make_checkpoint("run/checkpoint.pth")
    by_file, by_folder = read_model(path), read_model(path.parent)
    assert by_folder.files == by_file.files == (path,)
    assert by_folder.digest == by_file.digest
    assert by_file.configuration == "2d"
    assert by_file.mirroring_axes == (0, 1)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_weights_tell_whether_the_network_scans(make_checkpoint, name):
    # SwinUNETR reads values while it is built; the others need no memory for their weights.
    with torch.device("cpu" if name == "swinunetr" else "meta"):
        network = build_model(name)
    model = dataclasses.replace(read_model(make_checkpoint()), weights=(network.state_dict(),))
    assert model.needs_kernels == SYSTEMS[name].needs_kernels


def test_folds_of_a_trained_model(make_checkpoint):
    folder = make_checkpoint("model/fold_all/checkpoint_final.pth").parent.parent
    assert [file.parent.name for file in read_model(folder).files] == ["fold_all"]
    for fold in (1, 0):
        make_checkpoint(f"model/fold_{fold}/checkpoint_final.pth", seed=fold)
    assert [file.parent.name for file in read_model(folder).files] == ["fold_0", "fold_1"]
    assert [file.parent.name for file in read_model(folder / "fold_1").files] == ["fold_1"]


def test_plans_above_the_fold_go_before_those_in_the_checkpoint(make_checkpoint):
    path = make_checkpoint("model/fold_0/checkpoint_final.pth")
    inside = read_model(path)
    plans = {**inside.plans, "plans_name": "edited"}
    (path.parent.parent / "plans.json").write_text(json.dumps(plans))
    assert read_model(path).plans["plans_name"] == "nnUNetPlans"
    (path.parent.parent / "dataset.json").write_text(json.dumps(inside.dataset_json))
    assert read_model(path).plans["plans_name"] == "edited"
    assert read_model(path).digest != inside.digest
    (path.parent.parent / "plans.json").write_text("{")
    with pytest.raises(UserError, match=r"cannot read .*plans\.json"):
        read_model(path)


def test_what_a_training_leaves_beside_the_weights_is_read(make_checkpoint):
    """nnU-Net's own checkpoints hold NumPy scalars and the optimizer, which weights_only=True refuses."""
    path = make_checkpoint(logging={"dice": [np.float64(0.5)]}, optimizer_state={"step": torch.zeros(())})
    assert read_model(path).trainer_name == "nnUNetTrainerTiny"


class _Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_checkpoint_runs(make_checkpoint, tmp_path):
    path = make_checkpoint(logging=_Evil(tmp_path / "was_here"))
    read_model(path)
    assert not (tmp_path / "was_here").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network_weights": None}, "has no 'network_weights'"),
        ({"trainer_name": None}, "has no 'trainer_name'"),
        ({"init_args": {}}, "does not say which configuration"),
        ({"init_args": {"configuration": "2d"}}, "holds no plans"),
    ],
)
def test_what_a_checkpoint_lacks_is_said(make_checkpoint, changes, message):
    with pytest.raises(UserError, match=message):
        read_model(make_checkpoint(**changes))


def test_no_checkpoint_is_an_error(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_model(tmp_path / "none.pth")
    with pytest.raises(UserError, match=r"holds no checkpoint\.pth"):
        read_model(tmp_path)


def test_a_truncated_checkpoint_is_an_error(make_checkpoint):
    path = make_checkpoint()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"checkpoint\.pth"):
        read_model(path)


def test_folds_of_two_trainers_are_refused(make_checkpoint):
    make_checkpoint("model/fold_0/checkpoint_final.pth")
    folder = make_checkpoint("model/fold_1/checkpoint_final.pth", trainer_name="nnUNetTrainer").parent.parent
    with pytest.raises(UserError, match="give one of them"):
        read_model(folder)


def test_plans_of_an_older_nnunet_are_understood(make_checkpoint, capsys):
    """As in the checkpoints of the authors, whose nnU-Net described the U-Net in the configuration itself."""
    inside = read_model(make_checkpoint())
    plans = copy.deepcopy(inside.plans)
    del plans["configurations"]["2d"]["architecture"]
    plans["configurations"]["2d"] |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 32,
        "unet_max_num_features": 512,
        "n_conv_per_stage_encoder": [2, 2],
        "n_conv_per_stage_decoder": [2],
        "num_pool_per_axis": [1, 1],
        "pool_op_kernel_sizes": [[1, 1], [2, 2]],
        "conv_kernel_sizes": [[3, 3], [3, 3]],
    }
    init_args = {"configuration": "2d", "plans": plans, "dataset_json": inside.dataset_json}
    with pytest.warns(UserWarning, match="old nnU-Net plans"):
        assert load_predictor(read_model(make_checkpoint(init_args=init_args)), CPU).n_channels == 1


def test_an_unknown_trainer_is_named(make_checkpoint, monkeypatch, capsys):
    def not_found(name):
        raise RuntimeError(f"Could not find requested nnunet trainer {name}")

    monkeypatch.setattr("nnunetv2.utilities.find_objects.recursive_find_trainer_class_by_name", not_found)
    with pytest.raises(UserError, match="trained by nnUNetTrainerOther, which is none of nnUNetTrainerSwinUMamba"):
        load_predictor(read_model(make_checkpoint(trainer_name="nnUNetTrainerOther")), CPU)


def test_weights_that_do_not_fit_are_an_error(make_checkpoint, capsys):
    with pytest.raises(UserError, match="do not fit the network of nnUNetTrainerTiny: Missing key"):
        load_predictor(read_model(make_checkpoint(network_weights={"a": torch.zeros(1)})), CPU)


def test_mirroring_a_model_trained_without_is_refused(make_checkpoint, capsys):
    model = read_model(make_checkpoint(inference_allowed_mirroring_axes=None))
    with pytest.raises(UserError, match="trained without mirroring"):
        load_predictor(model, CPU, mirroring=True)


def test_the_system_of_a_trainer_is_found_without_the_trainer():
    for name, trainer in TRAINER_CLASSES.items():
        system = find_system(name)
        assert (system.name, system.mixed_precision) == (trainer.model, trainer.mixed_precision)
    assert find_system("nnUNetTrainer") is None
    assert find_system("nnUNetTrainerUNETRScratch") is None


def test_drawing_into_a_range_ends_whatever_was_in_memory():
    with _NoRandomNumbers():
        for low, high in ((-2.0, 2.0), (-0.1, 0.1)):
            drawn = torch.nn.init.trunc_normal_(torch.full((9,), 1e30), a=low, b=high)
            assert ((drawn >= low) & (drawn <= high)).all()


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_network_without_random_weights_is_the_same_once_it_has_its_own(name):
    network = build_model(name, 1, 3, (64, 64), False)
    weights = network.state_dict()
    state = torch.get_rng_state()
    with _NoRandomNumbers():
        bare = build_model(name, 1, 3, (64, 64), False)
    if name == "swin-umamba-d":
        assert torch.equal(torch.get_rng_state(), state)
    bare.load_state_dict(_laid_out(weights, bare), assign=True)
    expected = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    found = {**dict(bare.named_parameters()), **dict(bare.named_buffers())}
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert torch.equal(value, expected[key]), key
        assert value.stride() == expected[key].stride(), key


def test_weights_of_half_precision_are_those_of_a_network_in_float32(make_checkpoint):
    model = read_model(make_checkpoint())
    half = {name: value.half() for name, value in model.weights[0].items()}
    (network,) = load_predictor(dataclasses.replace(model, weights=(half,)), CPU, precision="float32").networks
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
