"""Sliding-window prediction: any size, nnU-Net's result, folds, mirroring."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from skimage.io import imsave
from swin_umamba.common.errors import RunError
from swin_umamba.datasets import Case
from swin_umamba.jobs.held_out_prediction import predict_cases
from swin_umamba.prediction import load_predictor, predict_array, read_model

from .conftest import CPU, random_image

PIXELS = {"spacing": (999, 1, 1)}


def _plain(image: np.ndarray) -> np.ndarray:
    return image[np.newaxis, np.newaxis].astype(np.float32)


@pytest.mark.parametrize("size", [(1, 1), (1, 110), (70, 1), (31, 49), (32, 48), (70, 110)])
def test_any_size(make_checkpoint, load, size):
    image = _plain(random_image(*size))
    labels, probabilities = predict_array(load(make_checkpoint()), image, dict(PIXELS), with_probabilities=True)
    assert labels.shape == (1, *size)
    assert probabilities.shape == (3, 1, *size)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=0), labels)


def test_an_image_of_one_value_is_predicted(make_checkpoint, load):
    for value in (0, 7):
        labels, _ = predict_array(load(make_checkpoint()), np.full((1, 1, 40, 50), value, np.float32), dict(PIXELS))
        assert labels.shape == (1, 40, 50)


@pytest.mark.parametrize("mirroring", [False, True])
def test_the_result_is_that_of_nnunets_predictor(make_checkpoint, load, mirroring):
    path, image = make_checkpoint(spacing=(0.8, 1.25), reader="SimpleITKIO"), np.stack([random_image(50, 70)] * 2)
    properties = {"spacing": (3.0, 1.0, 1.0)}
    ours = load(path, mirroring=mirroring, precision="float32")
    labels, probabilities = predict_array(ours, image[None].astype(np.float32), properties, with_probabilities=True)
    theirs = nnUNetPredictor(use_mirroring=mirroring, device=CPU, allow_tqdm=False)
    theirs.manual_initialization(
        ours.network,
        ours.plans_manager,
        ours.configuration_manager,
        ours.list_of_parameters,
        ours.dataset_json,
        ours.trainer_name,
        (0, 1),
    )
    expected = theirs.predict_single_npy_array(
        image[None].astype(np.float32), {"spacing": (3.0, 1.0, 1.0)}, None, None, True
    )
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_array_equal(probabilities, expected[1])
    assert len(np.unique(labels)) > 1


def test_mirroring_makes_the_prediction_of_a_mirror_image_the_mirrored_one(make_checkpoint, load):
    image, differences = random_image(32, 48), []
    for mirroring in (True, False):
        predictor = load(make_checkpoint(), mirroring=mirroring, precision="float32")
        _, straight = predict_array(predictor, _plain(image), dict(PIXELS), with_probabilities=True)
        _, mirrored = predict_array(predictor, _plain(image[:, ::-1]), dict(PIXELS), with_probabilities=True)
        differences.append(np.abs(mirrored[..., ::-1] - straight).max())
    # nnU-Net adds tiles up in float16, which shows in the corners, where their weight is smallest.
    assert differences[0] < 0.01 < 0.05 < differences[1]


def test_folds_are_averaged(make_checkpoint, load):
    files = [make_checkpoint(f"model/fold_{fold}/checkpoint_final.pth", seed=fold) for fold in range(2)]
    image, logits = _plain(random_image(40, 60)), []
    for file in files:
        logits.append(load(file).predict_logits_from_preprocessed_data(torch.from_numpy(image)))
    both = load(files[0].parent.parent).predict_logits_from_preprocessed_data(torch.from_numpy(image))
    torch.testing.assert_close(both, (logits[0] + logits[1]) / 2, atol=2e-3, rtol=0)
    assert not torch.equal(logits[0], logits[1])


def test_an_output_that_is_not_finite_is_no_label_image(make_checkpoint, load):
    weights = dict(read_model(make_checkpoint()).weights[0])
    name = next(name for name in reversed(weights) if name.endswith("weight"))
    weights[name] = torch.full_like(weights[name], torch.nan)
    with pytest.raises(FloatingPointError, match="NaN"):
        predict_array(load(make_checkpoint(network_weights=weights)), _plain(random_image(40, 60)), dict(PIXELS))


def test_a_held_out_case_whose_output_is_not_finite_is_named(make_checkpoint, load, tmp_path):
    weights = {
        name: torch.full_like(value, torch.nan) for name, value in read_model(make_checkpoint()).weights[0].items()
    }
    imsave(tmp_path / "a_0000.png", random_image(40, 60), check_contrast=False)
    case = Case("a", (tmp_path / "a_0000.png",), tmp_path / "a.png")
    with pytest.raises(RunError, match=r"cannot predict the held-out case a: .* NaN"):
        predict_cases(load(make_checkpoint(network_weights=weights)), [case], tmp_path / "out", lambda: None)
    assert not list((tmp_path / "out").iterdir())


def test_progress_ends_at_one(make_checkpoint, load):
    predictor, shares = load(make_checkpoint()), []
    predictor.on_progress = shares.append
    for _ in range(2):
        predict_array(predictor, _plain(random_image(70, 100)), dict(PIXELS))
    one_image = shares[: len(shares) // 2]
    assert len(one_image) > 4
    assert one_image == sorted(one_image) == shares[len(shares) // 2 :]
    assert one_image[-1] == 1


def test_a_smaller_step_takes_more_tiles(make_checkpoint):
    model, counts = read_model(make_checkpoint()), []
    for step_size in (0.25, 1.0):
        predictor, shares = load_predictor(model, CPU, step_size=step_size), []
        predictor.on_progress = shares.append
        predict_array(predictor, _plain(random_image(64, 96)), dict(PIXELS))
        counts.append(len(shares))
    assert counts == [25, 4]
