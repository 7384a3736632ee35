"""Dataset702_AbdomenMR from AMOS22 and from U-Mamba's release."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

ORGANS_OF_AMOS_LABELS = {
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "gallbladder",
    5: "esophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "inferior vena cava",
    10: "pancreas",
    11: "right adrenal gland",
    12: "left adrenal gland",
    13: "duodenum",
}


def test_amos_mr_scans_become_the_training_set(amos, tmp_path, tools):
    shown = tools.prepared("abdomen-mr", amos, tmp_path / "raw")
    folder = tmp_path / "raw" / "Dataset702_AbdomenMR"
    cases = ["amos_0507", "amos_0540", "amos_0600"]
    assert sorted(p.name for p in (folder / "imagesTr").iterdir()) == [f"{case}_0000.nii.gz" for case in cases]
    assert sorted(p.name for p in (folder / "labelsTr").iterdir()) == [f"{case}.nii.gz" for case in cases]
    image = folder / "imagesTr" / "amos_0540_0000.nii.gz"
    assert image.read_bytes() == (amos / "amos22" / "imagesVa" / "amos_0540.nii.gz").read_bytes()
    # 2 + 2 + 2 slices: 507, 540 and 600 are multiples of 3.
    assert "training scans │ 3 │ 60" in shown
    assert "training slices │ 6 │ 5615" in shown
    assert "test scans │ 0 │ 50" in shown
    assert "counts differ from the paper's" in shown
    assert "AMOS22 has no labels for the paper's 50 test scans" in shown


def test_amos_labels_take_the_order_of_the_paper(amos, tmp_path, tools):
    tools.prepared("abdomen-mr", amos, tmp_path / "raw")
    folder = tmp_path / "raw" / "Dataset702_AbdomenMR"
    numbers = json.loads((folder / "dataset.json").read_text())["labels"]
    before = nibabel.load(amos / "amos22" / "labelsTr" / "amos_0507.nii.gz")
    after = nibabel.load(folder / "labelsTr" / "amos_0507.nii.gz")
    assert after.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(after.affine, before.affine)
    old, new = before.get_fdata(), np.asanyarray(after.dataobj)
    for label in range(16):
        organ = ORGANS_OF_AMOS_LABELS.get(label, "background")
        assert set(new[old == label].tolist()) == {numbers[organ]}


@pytest.fixture
def release(tmp_path, tools):
    """U-Mamba's release with 2 training and 1 test scan."""
    folder, rng = tmp_path / "release" / "Dataset702_AbdomenMR", np.random.default_rng(0)
    for part, case in (("Tr", "amos_0507"), ("Tr", "amos_0508"), ("Ts", "amos_0551")):
        image = rng.normal(size=(6, 5, 4)).astype(np.float32)
        tools.write_nifti(folder / f"images{part}" / f"{case}_0000.nii.gz", image)
        labels = rng.integers(0, 14, (6, 5, 4)).astype(np.uint8)
        tools.write_nifti(folder / f"labels{part}" / f"{case}.nii.gz", labels)
    return folder


@pytest.mark.parametrize("above", [False, True])
def test_release_is_copied(release, tmp_path, tools, above):
    shown = tools.prepared("abdomen-mr", release.parent if above else release, tmp_path / "raw")
    folder = tmp_path / "raw" / "Dataset702_AbdomenMR"
    description = json.loads((folder / "dataset.json").read_text())
    assert tools.copied(folder) == tools.contents(release)
    assert description["numTraining"] == 2
    assert list(description["labels"])[:3] == ["background", "liver", "right kidney"]
    assert "test slices │ 4 │ 3357" in shown


def test_labels_that_are_not_amos_are_refused(amos, tmp_path, tools):
    path = amos / "amos22" / "labelsTr" / "amos_0507.nii.gz"
    labels = nibabel.load(path).get_fdata()
    for wrong, shown in ((16, "16"), (1.5, "1.5"), (-1, "-1")):
        labels[0, 0, 0] = wrong
        tools.write_nifti(path, labels.astype(np.float32))
        message = tools.refused("abdomen-mr", amos, tmp_path / "raw")
        assert f"amos_0507.nii.gz holds the label {shown}" in message
    assert not (tmp_path / "raw" / "Dataset702_AbdomenMR" / "dataset.json").exists()


def test_other_organs_in_dataset_json_are_refused(amos, release, tmp_path, tools):
    path = amos / "amos22" / "dataset.json"
    path.write_text(path.read_text().replace("liver", "lung"))
    assert "label 6 is 'lung'" in tools.refused("abdomen-mr", amos, tmp_path / "raw")
    (release / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "spleen": 1}}))
    assert "names other labels" in tools.refused("abdomen-mr", release, tmp_path / "raw")
    (release / "dataset.json").write_text("{")
    assert "cannot be read" in tools.refused("abdomen-mr", release, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_release_with_unknown_labels_is_refused(release, tmp_path, tools):
    tools.write_nifti(release / "labelsTr" / "amos_0507.nii.gz", np.full((6, 5, 4), 14, dtype=np.uint8))
    assert "holds the label 14" in tools.refused("abdomen-mr", release, tmp_path / "raw")


@pytest.mark.parametrize("which", ["amos", "release"])
def test_missing_partner_is_refused_before_anything_is_written(request, which, tmp_path, tools):
    source = request.getfixturevalue(which)
    label = next(source.rglob("labelsTr/amos_0507.nii.gz"))
    label.unlink()
    message = tools.refused("abdomen-mr", source, tmp_path / "raw")
    assert "have no label, such as" in message
    assert "amos_0507" in message
    assert not (tmp_path / "raw").exists()


def test_image_and_label_of_different_grids_are_refused(amos, release, tmp_path, tools):
    for source in (amos, release):
        label = next(source.rglob("labelsTr/amos_0507.nii.gz"))
        tools.write_nifti(label, np.zeros((6, 5, 9), dtype=np.uint8))
        assert "(6, 5, 9)" in tools.refused("abdomen-mr", source, tmp_path / "raw")
    tools.write_nifti(
        amos / "amos22" / "labelsTr" / "amos_0507.nii.gz",
        np.zeros((6, 5, 2), dtype=np.uint8),
        affine=np.diag([-1.2, 1.2, 3.0, 1.0]),
    )
    assert "mm apart" in tools.refused("abdomen-mr", amos, tmp_path / "raw")


def test_unreadable_scan_is_refused(amos, tmp_path, tools):
    (amos / "amos22" / "imagesTr" / "amos_0507.nii.gz").write_bytes(b"no image")
    assert "amos_0507.nii.gz is no NIfTI file" in tools.refused("abdomen-mr", amos, tmp_path / "raw")


def test_amos_without_mr_scans_is_refused(amos, tmp_path, tools):
    for path in amos.rglob("amos_05*"):
        path.unlink()
    for path in amos.rglob("amos_0600*"):
        path.unlink()
    assert "holds no MR scan" in tools.refused("abdomen-mr", amos, tmp_path / "raw")


def test_two_downloads_in_one_folder_are_refused(amos, release, tmp_path, tools):
    release.rename(amos / release.name)
    assert "holds both AMOS22" in tools.refused("abdomen-mr", amos, tmp_path / "raw")
