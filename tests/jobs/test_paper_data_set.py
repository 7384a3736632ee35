"""A training on one of the paper's data sets, by its id, from ImageNet weights, to the paper's metric."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK
import torch
from swin_umamba.checkpoints.encoder_file import find_pretrained_file
from swin_umamba.commands.train import main
from swin_umamba.networks.vmamba_tiny import VMambaTiny
from swin_umamba.paper.data_sets import ABDOMEN_MR


@pytest.fixture
def abdomen_mr(tmp_path):
    """A tiny Dataset702_AbdomenMR below ``nnUNet_raw``: each organ is a square."""
    folder = tmp_path / "nnUNet_raw" / ABDOMEN_MR.name
    label = np.zeros((3, 64, 64), dtype=np.uint8)
    for organ in ABDOMEN_MR.labels.values():
        row, column = divmod(organ - 1, 4)
        label[:, 15 * row + 4 : 15 * row + 14, 15 * column + 4 : 15 * column + 14] = organ
    rng = np.random.default_rng(0)
    for part in ("Tr", "Ts"):
        for kind in ("images", "labels"):
            (folder / f"{kind}{part}").mkdir(parents=True)
        for case in range(2):
            image = (20 * label + rng.normal(0, 5, label.shape)).astype(np.float32)
            for array, path in ((image, f"images{part}/mr{case}_0000"), (label, f"labels{part}/mr{case}")):
                volume = SimpleITK.GetImageFromArray(array)
                volume.SetSpacing((1.0, 1.0, 5.0))
                SimpleITK.WriteImage(volume, str(folder / f"{path}.nii.gz"))
    (folder / "dataset.json").write_text(json.dumps(ABDOMEN_MR.dataset_json(2)))
    return folder


@pytest.fixture
def imagenet_weights(tmp_path):
    path = tmp_path / "vmamba.pth"
    torch.save({"model": VMambaTiny().state_dict(), "epoch": 292}, path)
    return path


def test_weights_are_needed(abdomen_mr, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("SWIN_UMAMBA_PRETRAINED", "nnUNet_raw"):
        monkeypatch.delenv(name, raising=False)
    assert main(["702", "--model", "swin-umamba"]) == 2
    error = capsys.readouterr().err
    assert "vssmtiny_dp01_ckpt_epoch_292.pth" in error
    assert "--no-pretrained" in error
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["vssmtiny_dp01_ckpt_epoch_292.pth", "vmamba_tiny_e292.pth"])
def test_weights_are_found_where_the_authors_code_looks(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SWIN_UMAMBA_PRETRAINED", raising=False)
    path = tmp_path / "data" / "pretrained" / "vmamba" / name
    path.parent.mkdir(parents=True)
    path.touch()
    assert find_pretrained_file("--no-pretrained") == path


@pytest.mark.slow
def test_the_papers_protocol_needs_no_options(train_py, abdomen_mr, imagenet_weights, tmp_path):
    small = ("--epochs", "2", "--iterations", "1", "--batch-size", "1", "--patch-size", "64", "64", "--device", "cpu")
    done = train_py.run("702", *small, "--pretrained", imagenet_weights, "--freeze-epochs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "VMamba-Tiny" in done.stdout
    for rule in ("as published", "as defined"):
        assert f"the paper's metric (abdomen) {rule}: DSC 0." in done.stdout
    folder = tmp_path / "results" / f"{ABDOMEN_MR.name}-swin-umamba-d"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["settings"]["fold"] == "all"
    assert metrics["training"]["trainer"] == "nnUNetTrainerSwinUMambaD"
    assert metrics["training"]["pretrained"]["encoder_coverage"] > 0.99
    for key in ("evaluation", "evaluation_as_published"):
        assert metrics[key]["n_cases"] == 2
        assert set(metrics[key]["dsc"]["per_class"]) == set(ABDOMEN_MR.labels)
        assert json.loads((folder / key / "summary.json").read_text()) == metrics[key]
