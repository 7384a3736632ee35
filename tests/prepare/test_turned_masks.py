"""Masks on the grid of their images whose axes are stored in another order or direction."""

from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest
from swin_umamba.common.images.stored import StoredImage
from swin_umamba.common.images.turning import turn_to

TURN = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
ALL = [
    (axes, flips) for axes in itertools.permutations(range(3)) for flips in itertools.product((False, True), repeat=3)
]


def _affine():
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = TURN * [0.9, 1.5, 4], (3, -7, 11)
    return affine


def _stored_otherwise(array, affine, axes, flips):
    """The same voxels at the same places by nibabel, with other axes."""
    orientation = np.array([[axis, -1 if flip else 1] for axis, flip in zip(axes, flips, strict=True)])
    turned = nibabel.orientations.apply_orientation(array, orientation)
    return turned, affine @ nibabel.orientations.inv_ornt_aff(orientation, array.shape)


@pytest.mark.parametrize(("axes", "flips"), ALL)
def test_every_order_and_direction_of_axes(axes, flips):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, (4, 5, 6)).astype(np.uint8)
    turned, affine = _stored_otherwise(values, _affine(), axes, flips)
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0))
    image = StoredImage(values.T[None], 3, (0.9, 1.5, 4), (_affine(),))
    mask = StoredImage(turned.T[None], 3, spacing, (affine,))
    found = turn_to(mask, image)
    if axes == (0, 1, 2) and not any(flips):
        assert found is None
        return
    turn, result = found
    np.testing.assert_array_equal(turn.of(mask.values[0]), values.T)
    np.testing.assert_array_equal(result.values[0], values.T)
    np.testing.assert_allclose(result.affines[0], _affine(), atol=1e-9)
    np.testing.assert_allclose(result.spacing, image.spacing)


@pytest.mark.parametrize("shift", [(0.6, 0, 0), (0, -1, 0), (0, 0, 1)])
def test_another_place_is_not_turned(shift):
    values = np.zeros((4, 5, 6), np.uint8)
    turned, affine = _stored_otherwise(values, _affine(), (0, 1, 2), (True, False, False))
    affine = affine @ np.array([[1, 0, 0, shift[0]], [0, 1, 0, shift[1]], [0, 0, 1, shift[2]], [0, 0, 0, 1]])
    image = StoredImage(values.T[None], 3, (0.9, 1.5, 4), (_affine(),))
    assert turn_to(StoredImage(turned.T[None], 3, (0.9, 1.5, 4), (affine,)), image) is None


def test_a_grid_of_other_directions_is_not_turned():
    image = StoredImage(np.zeros((1, 6, 6, 6), np.uint8), 3, (1, 1, 1), (np.eye(4),))
    slanted = np.eye(4)
    slanted[:3, :3] = TURN
    assert turn_to(StoredImage(np.zeros((1, 6, 6, 6), np.uint8), 3, (1, 1, 1), (slanted,)), image) is None


def test_a_place_that_holds_nothing_is_not_turned():
    """As of an sform of zeros beside a qform."""
    nowhere = np.diag([0.0, 0, 0, 1])
    mask = StoredImage(np.zeros((1, 6, 5, 4), np.uint8), 3, (1, 1, 1), (nowhere, np.eye(4)))
    image = StoredImage(np.zeros((1, 6, 5, 4), np.uint8), 3, (1, 1, 1), (np.eye(4),))
    assert turn_to(mask, image) is None
    assert turn_to(image, mask) is None


def test_a_mask_that_lies_there_by_one_of_its_places_is_not_turned():
    """Mirrored by the form that comes first, and in its image's place by the other."""
    mirrored = np.diag([-1.0, 1, 1, 1])
    mirrored[0, 3] = 3
    mask = StoredImage(np.zeros((1, 6, 5, 4), np.uint8), 3, (1, 1, 1), (mirrored, np.eye(4)))
    image = StoredImage(np.zeros((1, 6, 5, 4), np.uint8), 3, (1, 1, 1), (np.eye(4),))
    assert turn_to(mask, image) is None
    assert turn_to(StoredImage(mask.values, 3, (1, 1, 1), (mirrored,)), image) is not None


@pytest.mark.parametrize("by_class", [False, True])
def test_a_data_set_whose_masks_are_turned(tmp_path, tools, capsys, by_class):
    rng = np.random.default_rng(0)
    wanted = {}
    for folder in ("images", "masks/a", "masks/b"):
        (tmp_path / folder).mkdir(parents=True)
    for number, (axes, flips) in enumerate(ALL[::9]):
        labels = rng.integers(0, 3, (7, 8, 9)).astype(np.uint8)
        wanted[f"c{number}"] = labels
        nibabel.save(
            nibabel.Nifti1Image(rng.normal(size=labels.shape), _affine()), tmp_path / f"images/c{number}.nii.gz"
        )
        for value, name in ((1, "a"), (2, "b")) if by_class else ((0, "."),):
            mask = (labels == value).astype(np.uint8) if by_class else labels
            turned = nibabel.Nifti1Image(*_stored_otherwise(mask, _affine(), axes, flips))
            nibabel.save(turned, tmp_path / "masks" / name / f"c{number}.nii.gz")
    if not by_class:
        for name in "ab":
            (tmp_path / "masks" / name).rmdir()
    folder = tmp_path / "Dataset501_X"
    options = ["--labels", "a=a,b=b"] if by_class else []
    assert tools.run("folder", tmp_path / "images", tmp_path / "masks", folder, *options) == 0, capsys.readouterr().err
    words = " ".join(capsys.readouterr().out.split())
    n_turned = (len(wanted) - 1) * (2 if by_class else 1)
    assert f"{n_turned} masks have their axes in another order or direction than their images" in words
    for name, labels in wanted.items():
        written = nibabel.load(folder / "labelsTr" / f"{name}.nii.gz")
        np.testing.assert_array_equal(np.asarray(written.dataobj), labels)
        np.testing.assert_allclose(written.affine, _affine(), atol=1e-6)
