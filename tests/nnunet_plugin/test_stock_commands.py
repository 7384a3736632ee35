"""nnU-Net's own commands from raw data to an exported model, with a trainer of this package."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread
from swin_umamba.nnunet_plugin import EXT_TRAINER

from .conftest import Stock

# As a user would make a shorter training of a smaller network, in a folder of their own.
SHORT_TRAINER = """\
import torch
from swin_umamba import SwinUMambaD
from swin_umamba.trainers.registry import nnUNetTrainerSwinUMambaDScratch


class nnUNetTrainerSwinUMambaDShort(nnUNetTrainerSwinUMambaDScratch):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 1
        self.num_iterations_per_epoch = 2
        self.num_val_iterations_per_epoch = 1

    @classmethod
    def build_network_architecture(
        cls, plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision=True
    ):
        return SwinUMambaD(num_input_channels, num_output_channels, enable_deep_supervision, embed_dim=8)
"""
MODEL = ("-d", "901", "-c", "2d", "-tr", "nnUNetTrainerSwinUMambaDShort", "-f", "0")


def _labels(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: imread(path) for path in sorted(folder.glob("*.png"))}


@pytest.mark.slow
def test_stock_commands_train_predict_and_export(stock, make_data_set, tmp_path):
    dataset = make_data_set(tmp_path / "nnUNet_raw", held_out=3)
    own = tmp_path / "own_trainers"
    own.mkdir()
    (own / "short.py").write_text(SHORT_TRAINER)
    stock = Stock(tmp_path, stock.python_path, os.pathsep.join([str(EXT_TRAINER), str(own)]))

    def run(command, *arguments):
        done = stock.run(command, *arguments)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done

    run("nnUNetv2_plan_and_preprocess", "-d", 901, "-c", "2d", "-np", 1)
    run("nnUNetv2_train", 901, "2d", 0, "-tr", "nnUNetTrainerSwinUMambaDShort", "-device", "cpu")
    model = tmp_path / "nnUNet_results" / dataset.name / "nnUNetTrainerSwinUMambaDShort__nnUNetPlans__2d"
    assert json.loads((model / "fold_0" / "validation" / "summary.json").read_text())["foreground_mean"]

    images = dataset / "imagesTs"
    device = ("-device", "cpu", "-npp", 1, "-nps", 1)
    run("nnUNetv2_predict", *MODEL, *device, "--disable_tta", "-i", images, "-o", tmp_path / "stock")
    run("swin-umamba", "predict", images, tmp_path / "ours", "--checkpoint", model, "--precision", "float32")
    ours, theirs = _labels(tmp_path / "ours"), _labels(tmp_path / "stock")
    assert list(ours) == list(theirs) == [f"disc_ts{case}.png" for case in range(3)]
    for case in ours:
        np.testing.assert_array_equal(ours[case], theirs[case])

    archive = tmp_path / "model.zip"
    run("nnUNetv2_export_model_to_zip", *MODEL, "-o", archive)
    with zipfile.ZipFile(archive) as content:
        names = {Path(name).name for name in content.namelist()}
    assert {"checkpoint_final.pth", "plans.json", "dataset.json"} <= names
    other = Stock(tmp_path / "elsewhere", stock.python_path, stock.ext_trainer)
    (other.root / "nnUNet_results").mkdir(parents=True)
    done = other.run("nnUNetv2_install_pretrained_model_from_zip", archive)
    assert done.returncode == 0, done.stderr
    installed = other.root / "nnUNet_results" / dataset.name / model.name / "fold_0" / "checkpoint_final.pth"
    run("swin-umamba", "predict", images, tmp_path / "installed", "--checkpoint", installed)
    for case, labels in _labels(tmp_path / "installed").items():
        np.testing.assert_array_equal(labels, ours[case])
