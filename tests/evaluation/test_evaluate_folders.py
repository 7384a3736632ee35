"""Evaluation of whole folders: means, files written, and wrong input, through the command."""

from __future__ import annotations

import csv
import errno
import json
import os
import unicodedata

import nibabel
import numpy as np
import pytest
import SimpleITK
from skimage import io
from swin_umamba.commands import evaluate as evaluate_command
from swin_umamba.commands.one_line_parser import OneLineParser
from swin_umamba.common.exit_codes import execute
from swin_umamba.evaluation import METRICS, Evaluation, EvaluationError, evaluate_folders

EXACT = {"rel": 0, "abs": 1e-12}


def write(path, labels, spacing=(1.0, 1.0, 1.0), affine=None):
    path.parent.mkdir(exist_ok=True)
    if path.name.endswith((".nii.gz", ".nii")):
        affine = np.diag([*spacing, 1.0]) if affine is None else affine
        nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    elif path.name.endswith(".nrrd"):
        image = SimpleITK.GetImageFromArray(labels)
        image.SetSpacing(spacing[::-1])
        SimpleITK.WriteImage(image, path)
    else:
        io.imsave(path, labels, check_contrast=False)


def run(*args):
    parser = OneLineParser(prog="evaluate")
    evaluate_command.add_arguments(parser)
    return execute(evaluate_command.run, parser.parse_args([str(arg) for arg in args]), parser.prog)


def refused(capsys, *args):
    """Run the command, want exit code 2, no table, one line on stderr; return that line."""
    assert run(*args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.fixture
def volumes(tmp_path):
    """Three small abdomen cases; the second has no aorta and one slice of esophagus, the third is predicted empty."""
    rng = np.random.default_rng(1)
    for case in ("a", "b", "c"):
        reference = rng.integers(0, 14, (6, 5, 4)).astype(np.uint8)
        if case == "b":
            reference[reference == 5] = 0
            # One labelled slice: as published, no score of this organ in this case.
            reference[..., 1:][reference[..., 1:] == 10] = 0
            reference[0, 0, 0] = 10
        prediction = np.where(rng.random(reference.shape) < 0.7, reference, 0).astype(np.uint8)
        write(tmp_path / "ref" / f"{case}.nii.gz", reference, (1.5, 1.5, 3.0))
        write(tmp_path / "pred" / f"{case}.nii.gz", prediction * (case != "c"), (1.5, 1.5, 3.0))
    return tmp_path / "ref", tmp_path / "pred"


@pytest.mark.parametrize("published", [True, False])
def test_abdomen_score_is_the_mean_over_organs_of_means_over_cases(volumes, tmp_path, capsys, published):
    options = ["--as-published"] if published else []
    assert run(*volumes, "--metric", "abdomen", "--output", tmp_path / "out", *options) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    with (tmp_path / "out" / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["a", "b", "c"]
    for key in ("dsc", "nsd"):
        organs = [name for name in rows[0] if name.startswith(f"{key} ")]
        assert len(organs) == 13
        means = []
        for organ in organs:
            values = [float(row[organ]) for row in rows if row[organ] != ""]
            entry = summary[key]["per_class"][organ.removeprefix(f"{key} ")]
            assert entry == {
                "mean": pytest.approx(np.mean(values), **EXACT),
                "std": pytest.approx(np.std(values), **EXACT),
                "n": len(values),
            }
            means.append(np.mean(values))
            if published:
                assert values == [round(value, 4) for value in values]
        assert summary[key]["mean"] == pytest.approx(np.mean(means), **EXACT)
        assert summary[key]["per_class"]["esophagus"]["n"] == (2 if published else 3)
        assert summary[key]["std"] == pytest.approx(np.std([float(row[key]) for row in rows]), **EXACT)
        assert float(rows[2][organs[0]]) == 0
    assert summary["settings"]["as_published"] is published
    table = capsys.readouterr().out
    assert "inferior vena cava" in table
    assert f"{summary['dsc']['mean']:.4f}" in table


def test_measures_are_chosen_and_misses_counted(volumes, tmp_path, capsys):
    options = ["--metric", "abdomen", "--metrics", "hd95,lesion-f1", "--output", tmp_path / "out"]
    assert run(*volumes, *options) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    with (tmp_path / "out" / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["case", "hd95", "lesion_f1", "missed", "invented", "hd95 liver"]
    assert "dsc" not in summary
    # The third case is predicted empty: every organ is missed, and costs the diagonal of 6 × 5 × 4 voxels.
    assert (rows[2]["missed"], rows[2]["invented"]) == ("13", "0")
    assert float(rows[2]["hd95 liver"]) == pytest.approx((9.0**2 + 7.5**2 + 12.0**2) ** 0.5)
    assert summary["counts"] == {name: sum(int(row[name]) for row in rows) for name in ("missed", "invented")}
    table = capsys.readouterr().out
    assert "HD95" in table
    assert "lesion F1" in table


def test_endoscopy_score_is_the_mean_over_images(tmp_path):
    first = np.zeros((20, 20), dtype=np.uint8)
    first[2:10, 2:10] = 3
    write(tmp_path / "ref" / "a.png", first)
    write(tmp_path / "pred" / "a.png", first)
    second = np.zeros((20, 20), dtype=np.uint8)
    second[5:15, 5:15] = 1
    wrong = np.zeros_like(second)
    wrong[5:15, 5:10], wrong[0:2, 0:2] = 1, 3
    write(tmp_path / "ref" / "b.png", second)
    write(tmp_path / "pred" / "b.png", wrong)
    dsc = evaluate_folders(tmp_path / "ref", tmp_path / "pred", "endoscopy").summary()["dsc"]
    assert dsc["mean"] == pytest.approx((1 + (2 * 50 / 150 + 0) / 2) / 2, **EXACT)
    assert dsc["per_class"]["Large Needle Driver"] == {"mean": 0.5, "std": 0.5, "n": 2}
    assert dsc["per_class"]["Bipolar Forceps"]["n"] == 1
    assert dsc["per_class"]["Vessel Sealer"] == {"mean": None, "std": None, "n": 0}


def cell_images():
    cells = np.zeros((40, 40), dtype=np.uint16)
    for number, (y, x) in enumerate([(5, 5), (5, 20), (20, 5), (0, 30)], start=1):
        cells[y : y + 8, x : x + 8] = number
    prediction = np.where(cells > 0, 1, 0).astype(np.uint8)
    prediction[20:28, 5:13] = 2
    return cells, prediction


@pytest.mark.parametrize("options", [[], ["--as-published"]])
def test_cells(tmp_path, capsys, options):
    cells, prediction = cell_images()
    write(tmp_path / "ref" / "a_label.tiff", cells)
    write(tmp_path / "pred" / "a.png", prediction)
    assert run(tmp_path / "ref", tmp_path / "pred", "--metric", "cells", "--output", tmp_path / "out", *options) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["f1"]["mean"] == summary["f1"]["per_class"]["cell"]["mean"] == 0.8
    assert summary["counts"] == {
        "reference_cells": 3,
        "predicted_cells": 2,
        "true_positives": 2,
        "false_positives": 0,
        "false_negatives": 1,
    }
    header, line = (tmp_path / "out" / "cases.csv").read_text().splitlines()
    assert header == "case,f1,reference_cells,predicted_cells,true_positives,false_positives,false_negatives"
    assert line == "a,0.8,3,2,2,0,1"
    assert "0.8000" in capsys.readouterr().out


def test_cells_of_interior_references_are_not_taken_for_numbered_cells(tmp_path, capsys):
    _, prediction = cell_images()
    write(tmp_path / "ref" / "a.png", prediction)
    write(tmp_path / "pred" / "a.png", prediction)
    folders = (tmp_path / "ref", tmp_path / "pred", "--metric", "cells")
    assert "tell which with --reference-masks" in refused(capsys, *folders)
    assert run(*folders, "--reference-masks", "interior") == 0
    capsys.readouterr()
    numbered, _ = cell_images()
    write(tmp_path / "pred" / "a.png", numbered)
    assert "--prediction-masks instances" in refused(capsys, *folders, "--reference-masks", "interior")


def test_any_labels(tmp_path, plain):
    """Labels by the data set's names, a region, an ignore label, a tolerance for each."""
    dataset = {"labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}}
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 4, (8, 8, 1)).astype(np.uint8)
    prediction = rng.integers(0, 3, (8, 8, 1)).astype(np.uint8)
    write(tmp_path / "ref" / "a.nii.gz", reference, (2.0, 1.0, 5.0))
    write(tmp_path / "pred" / "a.nii.gz", prediction, (2.0, 1.0, 5.0))
    evaluation = evaluate_folders(tmp_path / "ref", tmp_path / "pred", "labels", tolerance={"core": 0.5})
    scored = reference[..., 0] != 3
    for name, labels, tolerance in (("whole", (1, 2), 2.0), ("core", (2,), 0.5)):
        r, p = (np.isin(x[..., 0], labels) & scored for x in (reference, prediction))
        assert evaluation.class_scores("dsc", name)[0] == pytest.approx(plain.dice(r, p), **EXACT)
        # The axis of length 1 is dropped: the contour is scored, not a slab.
        assert evaluation.class_scores("nsd", name)[0] == pytest.approx(plain.nsd(r, p, (2, 1), tolerance), **EXACT)
    assert evaluation.settings["tolerance"] == {"whole": 2.0, "core": 0.5}


def test_labels_of_nine_digits_stay_apart(tmp_path):
    """As atlases number their regions: in float32 these two would be one."""
    reference = np.zeros((8, 8, 4), np.uint32)
    reference[:3], reference[4:7] = 312782546, 312782550
    write(tmp_path / "ref" / "a.nii.gz", reference)
    write(tmp_path / "pred" / "a.nii.gz", np.where(reference == 312782550, np.uint32(312782546), reference))
    evaluation = evaluate_folders(tmp_path / "ref", tmp_path / "pred", "labels")
    assert evaluation.classes == ("label 312782546", "label 312782550")
    scores = [evaluation.class_scores("dsc", name)[0] for name in evaluation.classes]
    assert scores == pytest.approx([2 / 3, 0.0], **EXACT)


def test_a_label_absent_from_both_does_not_count(tmp_path):
    for case, labels in (("a", [[1, 2]]), ("b", [[1, 0]]), ("c", [[0, 0]])):
        for folder in ("ref", "pred"):
            write(tmp_path / folder / f"{case}.png", np.array(labels, dtype=np.uint8))
    evaluation = evaluate_folders(tmp_path / "ref", tmp_path / "pred", "labels")
    assert evaluation.classes == ("label 1", "label 2")
    assert len(evaluation.class_scores("dsc", "label 2")) == 1
    summary = evaluation.summary()
    assert summary["dsc"] | {"per_class": None} == {"mean": 1.0, "std": 0.0, "n": 2, "per_class": None}
    evaluation.write(tmp_path / "out")
    assert (tmp_path / "out" / "cases.csv").read_text().splitlines()[3] == "c,,,,,,"


def test_volumes_of_other_formats_keep_their_spacing(tmp_path, plain):
    reference, prediction = np.zeros((2, 6, 7, 8), dtype=np.uint8)
    reference[1:4, 1:4, 1:4] = prediction[2:5, 1:4, 1:4] = 1
    spacing = (4.0, 1.0, 0.5)
    write(tmp_path / "ref" / "a.nrrd", reference, spacing)
    write(tmp_path / "pred" / "a.nrrd", prediction, spacing)
    evaluation = evaluate_folders(tmp_path / "ref" / "a.nrrd", tmp_path / "pred" / "a.nrrd", "labels", tolerance=1)
    expected = plain.nsd(reference == 1, prediction == 1, spacing, 1)
    assert expected != pytest.approx(plain.nsd(reference == 1, prediction == 1, spacing[::-1], 1), abs=0.1)
    assert evaluation.class_scores("nsd", "label 1")[0] == pytest.approx(expected, **EXACT)


def test_single_files_need_not_have_one_name(tmp_path):
    write(tmp_path / "ref" / "truth.png", np.eye(5, dtype=np.uint8))
    write(tmp_path / "pred" / "guess.png", np.eye(5, dtype=np.uint8))
    evaluation = evaluate_folders(tmp_path / "ref" / "truth.png", tmp_path / "pred" / "guess.png", "endoscopy")
    assert isinstance(evaluation, Evaluation)
    assert list(evaluation.cases) == ["truth"]


def test_predictions_without_reference_are_told(volumes, capsys, tmp_path):
    write(volumes[1] / "d.nii.gz", np.zeros((2, 2, 2), dtype=np.uint8))
    assert run(*volumes, "--metric", "abdomen", "--output", tmp_path / "out") == 0
    assert "no reference: 1 predictions (d)" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["not_scored_without_reference"] == ["d"]


def test_2d_images_with_another_order_of_axes_are_not_mixed(tmp_path, capsys):
    write(tmp_path / "ref" / "a.nii.gz", np.ones((4, 4), dtype=np.uint8))
    write(tmp_path / "pred" / "a.png", np.ones((4, 4), dtype=np.uint8))
    folders = (tmp_path / "ref", tmp_path / "pred")
    assert "another order" in refused(capsys, *folders, "--metric", "labels", "--ignore-position")


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_volume_is_the_same_in_every_format(tmp_path, capsys, ending):
    reference, prediction = (
        np.random.default_rng(seed).integers(0, 2, (6, 7, 8)).astype(np.uint8) for seed in range(2)
    )
    for folder, labels in (("ref", reference), ("pred", prediction)):
        image = SimpleITK.GetImageFromArray(labels)
        image.SetSpacing((0.5, 1, 4))
        image.SetOrigin((3, -4, 5))
        for suffix in (".nii.gz", ending):
            (tmp_path / folder / suffix).mkdir(parents=True)
            SimpleITK.WriteImage(image, tmp_path / folder / suffix / f"a{suffix}")
    scores = [
        evaluate_folders(tmp_path / "ref" / first, tmp_path / "pred" / second, "labels", tolerance=1)
        for first, second in ((".nii.gz", ".nii.gz"), (".nii.gz", ending), (ending, ".nii.gz"))
    ]
    for metric in ("dsc", "nsd"):
        assert len({evaluation.class_scores(metric, "label 1")[0] for evaluation in scores}) == 1


def test_missing_prediction(volumes, capsys):
    (volumes[1] / "b.nii.gz").unlink()
    assert "1 of 3 reference cases have no prediction" in refused(capsys, *volumes, "--metric", "abdomen")


def test_other_shape(volumes, capsys):
    write(volumes[1] / "b.nii.gz", np.zeros((6, 5, 5), dtype=np.uint8), (1.5, 1.5, 3.0))
    message = refused(capsys, *volumes, "--metric", "abdomen")
    assert "case b" in message
    assert "(6, 5, 4)" in message
    assert "(6, 5, 5)" in message


def test_other_spacing(volumes, capsys):
    write(volumes[1] / "b.nii.gz", np.zeros((6, 5, 4), dtype=np.uint8), (1.5, 1.5, 3.1))
    assert "(1.5, 1.5, 3.1)" in refused(capsys, *volumes, "--metric", "abdomen")


def test_other_orientation(volumes, capsys):
    flipped = np.diag([-1.5, 1.5, 3.0, 1.0])
    write(volumes[1] / "b.nii.gz", np.zeros((6, 5, 4), dtype=np.uint8), affine=flipped)
    assert "--ignore-position" in refused(capsys, *volumes, "--metric", "abdomen")
    assert run(*volumes, "--metric", "abdomen", "--ignore-position") == 0


@pytest.mark.parametrize("name", ["b.nii.gz", "b.nii", "b.png", "b.tif", "b.nrrd"])
def test_unreadable_file(tmp_path, capsys, name):
    labels = np.eye(64, dtype=np.uint8) if name.endswith(("png", "tif")) else np.ones((16, 16, 16), dtype=np.uint8)
    for folder in ("ref", "pred"):
        write(tmp_path / folder / name, labels)
    whole = (tmp_path / "pred" / name).read_bytes()
    for damaged in (b"", b"no image", whole[: len(whole) // 2]):
        (tmp_path / "pred" / name).write_bytes(damaged)
        assert name in refused(capsys, tmp_path / "ref", tmp_path / "pred", "--metric", "labels")


@pytest.mark.parametrize(("value", "shown"), [(1.5, "1.5"), (np.nan, "nan"), (-1.0, "-1")])
def test_values_that_are_no_labels(volumes, capsys, value, shown):
    labels = np.ones((6, 5, 4), dtype=np.float32)
    labels[1, 2, 3] = value
    write(volumes[1] / "b.nii.gz", labels, (1.5, 1.5, 3.0))
    message = refused(capsys, *volumes, "--metric", "abdomen")
    assert "b.nii.gz" in message
    assert shown in message


def test_whole_numbers_of_floating_type_are_labels(volumes, tmp_path):
    expected = evaluate_folders(*volumes, "abdomen").summary()
    for path in volumes[1].iterdir():
        write(path, nibabel.load(path).get_fdata().astype(np.float32), (1.5, 1.5, 3.0))
    assert evaluate_folders(*volumes, "abdomen").summary() == expected


def test_unknown_label(volumes, capsys):
    write(volumes[1] / "b.nii.gz", np.full((6, 5, 4), 14, dtype=np.uint8), (1.5, 1.5, 3.0))
    assert "labels that the data set does not have: 14" in refused(capsys, *volumes, "--metric", "abdomen")


def test_colour_image(tmp_path, capsys):
    write(tmp_path / "ref" / "a.png", np.eye(9, dtype=np.uint8))
    write(tmp_path / "pred" / "a.png", np.zeros((9, 9, 3), dtype=np.uint8))
    message = refused(capsys, tmp_path / "ref", tmp_path / "pred", "--metric", "endoscopy")
    assert "(9, 9, 3); a label image has one channel" in message


def test_two_files_of_one_case(volumes, capsys):
    write(volumes[0] / "a.nii", np.zeros((6, 5, 4), dtype=np.uint8))
    assert "two files claim the case a" in refused(capsys, *volumes, "--metric", "abdomen")


@pytest.mark.parametrize(
    ("name", "reason"), [("e.jpg", "would not be scored: JPEG changes pixel values"), ("e.mgz", "is not read; convert")]
)
def test_a_reference_that_is_not_read_is_not_left_out(volumes, capsys, name, reason):
    (volumes[0] / name).write_bytes(b"content")
    assert reason in refused(capsys, *volumes, "--metric", "abdomen")
    (volumes[0] / name).rename(volumes[0] / f"a.{name[2:]}")
    assert run(*volumes, "--metric", "abdomen") == 0


def test_a_link_to_a_lost_reference_is_not_left_out(volumes, capsys, tmp_path):
    for folder in volumes:
        (folder / "e.nii.gz").symlink_to(tmp_path / "lost.nii.gz")
    assert "e.nii.gz is a link to a file that is not there" in refused(capsys, *volumes, "--metric", "abdomen")


def test_an_accent_is_the_same_in_both_ways_of_writing_it(tmp_path):
    for folder, form in (("ref", "NFC"), ("pred", "NFD")):
        write(tmp_path / folder / f"{unicodedata.normalize(form, 'Müller')}.png", np.eye(9, dtype=np.uint8))
    evaluation = evaluate_folders(tmp_path / "ref", tmp_path / "pred", "labels")
    assert evaluation.cases["Müller"].per_class["dsc"] == {"label 1": 1.0}


def test_wrong_dimensions(volumes, capsys, tmp_path):
    assert "scored in 2-D" in refused(capsys, *volumes, "--metric", "endoscopy")
    for folder in ("ref2", "pred2"):
        write(tmp_path / folder / "a.png", np.eye(5, dtype=np.uint8))
    assert "scored in 3-D" in refused(capsys, tmp_path / "ref2", tmp_path / "pred2", "--metric", "abdomen")


def test_folders_that_are_none(volumes, capsys, tmp_path):
    assert "does not exist" in refused(capsys, tmp_path / "nowhere", volumes[1], "--metric", "abdomen")
    (tmp_path / "empty").mkdir()
    assert "holds no label image" in refused(capsys, volumes[0], tmp_path / "empty", "--metric", "abdomen")
    (tmp_path / "file").touch()
    assert "is a file" in refused(capsys, *volumes, "--metric", "abdomen", "--output", tmp_path / "file")


@pytest.mark.parametrize("folder", ["/dev/null/scores", "/proc/scores"])
def test_an_output_that_cannot_be_made_is_told_before_the_scoring(volumes, capsys, monkeypatch, folder):
    scored = []
    monkeypatch.setattr("swin_umamba.evaluation.evaluation.evaluate_folders", lambda *args, **options: scored.append(1))
    message = refused(capsys, *volumes, "--metric", "abdomen", "--output", folder)
    assert f"cannot write to --output {folder}: " in message
    assert "name another folder" in message
    assert not scored


def test_scores_that_cannot_be_written_are_told(volumes, tmp_path, capsys, monkeypatch):
    def full(evaluation, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Evaluation, "write", full)
    assert run(*volumes, "--metric", "abdomen", "--output", tmp_path / "out") == 2
    assert f"cannot write to --output {tmp_path / 'out'}: No space left on device" in capsys.readouterr().err


def test_nothing_is_written_when_the_input_is_refused(volumes, tmp_path, capsys):
    (volumes[1] / "a.nii.gz").unlink()
    refused(capsys, *volumes, "--metric", "abdomen", "--output", tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_image_without_instruments_stops_as_published(tmp_path, capsys):
    for folder in ("ref", "pred"):
        write(tmp_path / folder / "a.png", np.zeros((5, 5), dtype=np.uint8))
    folders = (tmp_path / "ref", tmp_path / "pred", "--metric", "endoscopy")
    assert "case a: neither" in refused(capsys, *folders, "--as-published")
    assert evaluate_folders(*folders[:2], "endoscopy").summary()["dsc"]["mean"] == 1


def test_the_command_offers_every_metric(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        run("--help")
    assert f"--metric {{{','.join(METRICS)}}}" in capsys.readouterr().out


def test_the_summary_is_made_once(volumes):
    evaluation = evaluate_folders(*volumes, "abdomen")
    assert evaluation.summary() is evaluation.summary()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "labels", "--as-published"], "no published script"),
        (["--metric", "held-out", "--as-published"], "no published script"),
        (["--metric", "abdomen", "--tolerance", "3"], "own labels and tolerances"),
        (["--metric", "abdomen", "--prediction-masks", "instances"], "for --metric cells alone"),
        (["--metric", "labels", "--tolerance", "liver=3"], "unknown labels: liver"),
        (["--metric", "labels", "--tolerance", "-1"], "at least 0, got -1"),
        (["--metric", "labels", "--tolerance", "1", "2"], "given twice"),
        (["--metric", "labels", "--tolerance", "1", "liver=2"], "not both"),
        (["--metric", "labels", "--dataset-json", "nowhere.json"], "nowhere.json is no dataset.json"),
    ],
)
def test_options_that_do_not_fit(volumes, capsys, options, message):
    assert message in refused(capsys, *volumes, *options)


@pytest.mark.parametrize(
    "content", ["no json", "[]", '{"labels": 3}', '{"labels": {"background": 0}}', '{"labels": {"x": "y"}}']
)
def test_wrong_dataset_json(volumes, content):
    (volumes[0] / "dataset.json").write_text(content)
    with pytest.raises(EvaluationError, match=r"dataset\.json"):
        evaluate_folders(*volumes, "labels")


def test_a_full_disk_leaves_no_half_file_and_the_same_command_goes_on(volumes, tmp_path, capsys, monkeypatch):
    words = [*volumes, "--metric", "labels", "--output", tmp_path / "out"]

    def fill_up(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fill_up)
        assert run(*words) == 2
    assert "No space left on device; name another folder" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
    assert run(*words) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cases.csv", "summary.json"}
