"""nnU-Net's own commands make an ensemble of two runs, and choose it where it is best."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from skimage.io import imread

TRAINERS = ("nnUNetTrainerSwinUMambaDScratch", "nnUNetTrainerPlainConvUNet")


@pytest.mark.slow
def test_two_runs_become_an_ensemble(stock, train_py, finished, discs, tmp_path):
    other = tmp_path / "other"
    done = train_py.run(discs, *train_py.tiny, "--model", "nnunet", "--output", other, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = [finished[0], other]
    # What a user has to do: the folders of both below one nnUNet_results.
    (stock.root / "nnUNet_raw").symlink_to(discs.parent)
    shutil.copytree(runs[0] / "nnUNet_preprocessed", stock.root / "nnUNet_preprocessed")
    for run in runs:
        shutil.copytree(run / "nnUNet_results", stock.root / "nnUNet_results", dirs_exist_ok=True)

    def command(name, *words):
        done = stock.run(name, *words)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    # Of new images.
    folders = [tmp_path / f"predictions_{number}" for number in range(2)]
    for run, folder in zip(runs, folders, strict=True):
        model = ("--checkpoint", run / "checkpoint.pth", "--probabilities", "--precision", "float32", "--device", "cpu")
        command("swin-umamba", "predict", discs / "imagesTr", folder, *model)
    together = tmp_path / "together"
    command("nnUNetv2_ensemble", "-i", *folders, "-o", together, "-np", 1)
    names = sorted(path.stem for path in folders[0].glob("*.npz"))
    assert [path.stem for path in sorted(together.glob("*.png"))] == names
    for name in names:
        mean = np.mean([np.load(folder / f"{name}.npz")["probabilities"] for folder in folders], axis=0)
        np.testing.assert_array_equal(imread(together / f"{name}.png"), mean.argmax(axis=0)[0])

    # Of the cross-validation, which takes probabilities of the validation cases.
    results = stock.root / "nnUNet_results" / "Dataset901_Discs"
    for number, (run, trainer) in enumerate(zip(runs, TRAINERS, strict=True)):
        command("nnUNetv2_train", 901, "2d", 0, "-tr", trainer, "--val", "--npz", "-device", "cpu")
        # It averages over mirror images, so its scores are others than the run's.
        mirrored = tmp_path / f"mirrored_{number}"
        model = ("--checkpoint", run / "checkpoint.pth", "--mirroring", "--precision", "float32", "--device", "cpu")
        command("swin-umamba", "predict", discs / "imagesTr", mirrored, *model)
        validation = results / f"{trainer}__nnUNetPlans__2d" / "fold_0" / "validation"
        images = sorted(validation.glob("*.png"))
        assert len(images) == len(list(validation.glob("*.npz"))) == 2
        for path in images:
            np.testing.assert_array_equal(imread(path), imread(mirrored / path.name))
    said = command("nnUNetv2_find_best_configuration", 901, "-c", "2d", "-tr", *TRAINERS, "-f", 0, "-np", 1)
    (ensemble,) = (results / "ensembles").iterdir()
    dice = json.loads((ensemble / "summary.json").read_text())["foreground_mean"]["Dice"]
    assert f"{ensemble.name}: {dice}" in said
    found = json.loads((results / "inference_information.json").read_text())
    assert set(found["all_results"]) == {*(f"{trainer}__nnUNetPlans__2d" for trainer in TRAINERS), ensemble.name}
