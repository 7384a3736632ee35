"""Scores of a run's held-out cases: `evaluate --metric held-out` repeats them to the last digit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient
from scipy.ndimage import gaussian_filter
from skimage.io import imread, imsave
from swin_umamba.commands import cli
from swin_umamba.datasets import Case, RawDataset, open_raw_dataset
from swin_umamba.evaluation import EvaluationError, evaluate_folders
from swin_umamba.evaluation.held_out import score_cases, summarise
from swin_umamba.evaluation.rules import HELD_OUT
from swin_umamba.evaluation.scores import describe, worst_median_best
from swin_umamba.runs.settings import Settings


def test_statistics_are_of_the_values():
    assert describe([0.0, 0.5, 1.0, 1.0]) == {
        "mean": 0.625,
        "std": pytest.approx(np.sqrt(((0.625**2) + 0.125**2 + 2 * 0.375**2) / 4)),
        "median": 0.75,
        "min": 0.0,
        "max": 1.0,
    }


@given(means=st.lists(st.floats(0, 1), min_size=3, max_size=9))
def test_three_different_cases_are_chosen(means):
    places = worst_median_best(means)
    assert list(places.values()) == ["worst", "median", "best"]
    worst, median, best = (means[index] for index in places)
    assert worst == min(means)
    assert best == max(means)
    assert sum(mean <= median for mean in means) > len(means) / 2
    assert sum(mean >= median for mean in means) >= len(means) / 2


def test_few_cases_have_no_median():
    assert worst_median_best([0.3]) == {0: "only"}
    assert worst_median_best([0.7, 0.3]) == {1: "worst", 0: "best"}


def test_a_class_that_neither_mask_has_is_marked(make_data_set, tmp_path):
    dataset = open_raw_dataset(make_data_set(tmp_path, training=1, held_out=2))
    (tmp_path / "predictions").mkdir()
    for case in dataset.held_out:
        label = imread(case.label)
        label[label == 2] = 1
        imsave(case.label, label, check_contrast=False)
        imsave(tmp_path / "predictions" / case.label.name, label, check_contrast=False)
    scores = score_cases(dataset, dataset.held_out, tmp_path / "predictions", NaturalImage2DIO(), tolerance=1.0)
    assert [case.absent for case in scores.values()] == [("core",), ("core",)]
    summary = summarise(scores)
    assert summary["per_case"]["disc_ts0"]["absent"] == ["core"]
    assert summary["dsc"]["per_class"]["core"]["mean"] == 1


def same_numbers(summary, per_case, held_out):
    """Whether a summary as in ``summary.json``, and its cases, have the floats of ``held_out`` in ``metrics.json``."""
    assert list(per_case) == list(held_out["per_case"])
    for key in ("dsc", "nsd"):
        assert {name: case.per_class[key] for name, case in per_case.items()} == {
            name: case[key] for name, case in held_out["per_case"].items()
        }
        for seen, expected in (
            (summary[key], held_out[key]),
            *((seen, held_out[key]["per_class"][name]) for name, seen in summary[key]["per_class"].items()),
        ):
            assert (seen["mean"], seen["std"]) == (expected["mean"], expected["std"])
        assert list(summary[key]["per_class"]) == list(held_out[key]["per_class"])
    assert summary["n_cases"] == held_out["cases"]
    return True


def test_a_trained_run_is_scored_again_to_the_last_digit(finished, discs, capsys, tmp_path):
    """Its held-out cases are the validation cases of the fold, in a folder with those that it was trained on."""
    run = finished[0]
    settings, held_out = (json.loads((run / "metrics.json").read_text())[key] for key in ("settings", "held_out"))
    folders = discs / "labelsTr", run / "predictions"
    evaluation = evaluate_folders(*folders, "held-out")
    assert same_numbers(evaluation.summary(), evaluation.cases, held_out)
    assert settings["nsd_tolerance"] == Settings.nsd_tolerance == HELD_OUT.default_tolerance
    cli.main(["evaluate", *map(str, folders), "--metric", "held-out", "--output", str(tmp_path)])
    assert f"{held_out['nsd']['mean']:.4f} ± {held_out['nsd']['std']:.4f}" in capsys.readouterr().out
    assert json.loads((tmp_path / "summary.json").read_text())["dsc"]["mean"] == held_out["dsc"]["mean"]


def test_images(make_data_set, tmp_path):
    """Twelve cases, whose order by the names of the images differs from that of the labels; an absent class."""
    dataset = open_raw_dataset(make_data_set(tmp_path, training=1, held_out=12))
    (tmp_path / "predictions").mkdir()
    for number, case in enumerate(dataset.held_out):
        label = imread(case.label)
        if number % 4 == 0:
            label[label == 2] = 1
            imsave(case.label, label, check_contrast=False)
        predicted = np.roll(label, number % 5 + 1, axis=number % 2)
        imsave(tmp_path / "predictions" / case.label.name, predicted, check_contrast=False)
    folders = dataset.folder / "labelsTs", tmp_path / "predictions"
    for tolerance in (1.0, 2.5):
        scores = score_cases(dataset, dataset.held_out, folders[1], NaturalImage2DIO(), tolerance)
        evaluation = evaluate_folders(*folders, "held-out", tolerance=tolerance)
        assert same_numbers(evaluation.summary(), evaluation.cases, summarise(scores))
        assert all(case.absent == scores[name].absent for name, case in evaluation.cases.items())
    assert [case.identifier for case in dataset.held_out] != sorted(evaluation.cases, key="{}.png".format)
    others = evaluate_folders(*folders, "labels", tolerance=2.5).summary()
    assert others["dsc"]["per_class"]["core"]["n"] == 9
    assert evaluation.summary()["dsc"]["per_class"]["core"]["n"] == 12


@pytest.mark.parametrize("reader", [SimpleITKIO, SimpleITKIOWithReorient, NibabelIO, NibabelIOWithReorient])
def test_volumes_of_anisotropic_spacing(make_data_set, tmp_path, reader):
    """Volumes turned in several ways, one of a single slice; a region and an ignore label."""
    folder = make_data_set(tmp_path, training=1)
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    description = {"labels": labels, "file_ending": ".nii.gz", "overwrite_image_reader_writer": reader.__name__}
    (folder / "dataset.json").write_text(json.dumps(json.loads((folder / "dataset.json").read_text()) | description))
    rng = np.random.default_rng(0)
    turns = [np.eye(3), -np.eye(3)[[2, 0, 1]], np.eye(3)[[1, 2, 0]], np.diag([-1, 1, -1])]
    cases = []
    for number, turn in enumerate(turns):
        affine = np.eye(4)
        affine[:3, :3] = turn * rng.uniform(0.3, 4, 3)
        label = gaussian_filter(rng.normal(size=(4, 12, 10, 1 if number == 3 else 8)), (0, 1.5, 1.5, 1.5)).argmax(0)
        predicted = np.where(rng.random(label.shape) < 0.95, np.roll(label, 1, axis=number % 2), 0)
        for place, array in (("labelsTs", label), ("predictions", np.where(predicted == 3, 1, predicted))):
            (folder / place).mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array.astype(np.uint8), affine), folder / place / f"v{number}.nii.gz")
        cases.append(Case(f"v{number}", (), folder / "labelsTs" / f"v{number}.nii.gz"))
    dataset = RawDataset(folder, json.loads((folder / "dataset.json").read_text()), (), tuple(cases), None)
    scores = score_cases(dataset, cases, folder / "predictions", reader(), 1.5)
    evaluation = evaluate_folders(folder / "labelsTs", folder / "predictions", "held-out", tolerance=1.5)
    assert same_numbers(evaluation.summary(), evaluation.cases, summarise(scores))
    assert 0 < evaluation.summary()["nsd"]["mean"] < 1


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_volumes_of_other_formats(make_data_set, tmp_path, ending):
    dataset = open_raw_dataset(make_data_set(tmp_path, training=1))
    dataset = replace(dataset, description={**dataset.description, "file_ending": ending})
    rng = np.random.default_rng(0)
    for place in ("labelsTs", "predictions"):
        (tmp_path / place).mkdir()
        image = SimpleITK.GetImageFromArray(rng.integers(0, 3, (5, 7, 9)).astype(np.uint8))
        image.SetSpacing((0.7, 1.1, 3.3))
        SimpleITK.WriteImage(image, tmp_path / place / f"v{ending}")
    case = Case("v", (), tmp_path / "labelsTs" / f"v{ending}")
    held_out = summarise(score_cases(dataset, [case], tmp_path / "predictions", SimpleITKIO(), 1.0))
    options = {"dataset_json": dataset.folder / "dataset.json"}
    evaluation = evaluate_folders(tmp_path / "labelsTs", tmp_path / "predictions", "held-out", **options)
    assert same_numbers(evaluation.summary(), evaluation.cases, held_out)


def test_of_training_cases_those_that_were_predicted_are_scored(make_data_set, tmp_path):
    dataset = open_raw_dataset(make_data_set(tmp_path, training=3, held_out=2))
    (tmp_path / "predictions").mkdir()
    for case in (*dataset.training[:2], *dataset.held_out[:1]):
        shutil.copy(case.label, tmp_path / "predictions")
    evaluation = evaluate_folders(dataset.folder / "labelsTr", tmp_path / "predictions", "held-out")
    assert list(evaluation.cases) == ["disc_tr0", "disc_tr1"]
    assert evaluation.without_reference == ["disc_ts0"]
    for folder, metric in (("labelsTs", "held-out"), ("labelsTr", "labels")):
        with pytest.raises(EvaluationError, match=r"1 of . reference cases have no prediction"):
            evaluate_folders(dataset.folder / folder, tmp_path / "predictions", metric)
    (tmp_path / "predictions" / "disc_tr0.png").unlink()
    (tmp_path / "predictions" / "disc_tr1.png").unlink()
    with pytest.raises(EvaluationError, match="3 of 3 reference cases have no prediction"):
        evaluate_folders(dataset.folder / "labelsTr", tmp_path / "predictions", "held-out")
