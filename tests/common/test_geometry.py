"""Distances between grids, and the grids of files."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK
from swin_umamba.common.images.geometry import corner_distance, position_distance
from swin_umamba.common.images.reading import read_stored


def test_a_shift_and_a_flip_move_the_corners():
    a = np.diag([2.0, 3.0, 4.0, 1.0])
    shifted, flipped = a.copy(), a.copy()
    shifted[:3, 3] = 3, 0, 4
    flipped[0, 0] = -2
    assert corner_distance((5, 6, 7), a, a) == 0
    assert corner_distance((5, 6, 7), a, shifted) == pytest.approx(5)
    assert corner_distance((5, 6, 7), a, flipped) == pytest.approx(2 * 4 * 2)
    assert corner_distance((5, 6), a, flipped) == pytest.approx(2 * 4 * 2)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 5)])
def test_the_affine_is_that_of_the_file(tmp_path, shape, ending):
    image = SimpleITK.GetImageFromArray(np.zeros(shape, np.float32))
    image.SetSpacing((0.5, 0.75, 4.0)[: len(shape)])
    image.SetOrigin((1.0, -2.0, 3.0)[: len(shape)])
    path = tmp_path / f"image{ending}"
    SimpleITK.WriteImage(image, str(path))
    (affine,) = {affine.tobytes(): affine for affine in read_stored(path).affines}.values()
    for index in ((0,) * len(shape), (4, 3, 2)[: len(shape)]):
        # ITK's axes point left and posterior.
        place = np.diag([-1, -1, 1, 1]) @ affine @ (*index, *[0] * (3 - len(index)), 1)
        np.testing.assert_allclose(place[: len(shape)], image.TransformIndexToPhysicalPoint(index))
    if ending == ".nii.gz" and len(shape) == 3:
        np.testing.assert_allclose(affine, nibabel.load(path).affine)


def test_a_file_without_position_is_nowhere_else():
    assert position_distance((2, 3, 4), (), (np.eye(4),)) == 0
    assert position_distance((2, 3, 4), (np.diag([5.0, 5, 5, 1]), np.eye(4)), (np.eye(4),)) == 0
