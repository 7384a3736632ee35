"""Sliding-window prediction: any size, nnU-Net's result, folds, mirroring."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from skimage.io import imsave
from swin_umamba.common.errors import RunError
from swin_umamba.datasets import Case
from swin_umamba.jobs.held_out_prediction import predict_cases
from swin_umamba.prediction import load_predictor, predict_array, read_model
from swin_umamba.prediction.preprocessing import prepare

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


def test_values_that_float32_cannot_tell_apart_are_refused(make_checkpoint, load):
    image = np.arange(40 * 50, dtype=np.uint64).reshape(1, 1, 40, 50) % 100 + 2**31
    with pytest.raises(ValueError, match="whose differences float32 loses; subtract a constant"):
        predict_array(load(make_checkpoint()), image, dict(PIXELS))


def _nnunets(ours, images, spacing, **options) -> tuple[np.ndarray, np.ndarray]:
    """What nnU-Net's own predictor says with the networks of ours."""
    theirs = nnUNetPredictor(device=CPU, allow_tqdm=False, perform_everything_on_device=False, **options)
    theirs.manual_initialization(
        copy.deepcopy(ours.networks[0]),
        ours.plans_manager,
        ours.configuration_manager,
        [network.state_dict() for network in ours.networks],
        ours.dataset_json,
        ours.trainer_name,
        (0, 1),
    )
    return theirs.predict_single_npy_array(images.astype(np.float32), {"spacing": spacing}, None, None, True)


def _assert_same_softmax(probabilities, expected):
    """Of the same logits: torch's rounds by how it is divided among threads, of which nnU-Net takes another number."""
    np.testing.assert_array_max_ulp(probabilities, expected, maxulp=4)


@pytest.mark.parametrize("mirroring", [False, True])
def test_the_result_is_that_of_nnunets_predictor(make_checkpoint, load, mirroring):
    path, image = make_checkpoint(spacing=(0.8, 1.25), reader="SimpleITKIO"), np.stack([random_image(50, 70)] * 2)[None]
    ours = load(path, mirroring=mirroring, precision="float32", batch_size=1)
    given = image.astype(np.float32)
    labels, probabilities = predict_array(ours, given, {"spacing": (3.0, 1.0, 1.0)}, with_probabilities=True)
    expected = _nnunets(ours, image, (3.0, 1.0, 1.0), use_mirroring=mirroring)
    np.testing.assert_array_equal(labels, expected[0])
    _assert_same_softmax(probabilities, expected[1])
    np.testing.assert_array_equal(given, image)
    assert len(np.unique(labels)) > 1


@pytest.mark.parametrize("step_size", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("size", [(33, 49), (64, 47), (97, 150), (200, 48)])
def test_strips_of_sums_give_what_the_whole_gives(make_checkpoint, load, size, step_size):
    ours, image = (
        load(make_checkpoint(), step_size=step_size, precision="float32", batch_size=1),
        random_image(*size)[None, None],
    )
    labels, probabilities = predict_array(ours, image, dict(PIXELS))
    expected, _ = _nnunets(ours, image, (999, 1, 1), use_mirroring=False, tile_step_size=step_size)
    np.testing.assert_array_equal(labels, expected)
    assert probabilities is None
    assert len(np.unique(labels)) > 1


def test_the_mean_of_folds_is_nnunets(make_checkpoint, load):
    files = [make_checkpoint(f"model/fold_{fold}/checkpoint_final.pth", seed=fold) for fold in range(3)]
    ours, image = load(files[0].parent.parent, precision="float32", batch_size=1), random_image(70, 90)[None, None]
    assert len(ours.networks) == 3
    labels, probabilities = predict_array(ours, image, dict(PIXELS), with_probabilities=True)
    expected = _nnunets(ours, image, (999, 1, 1), use_mirroring=False)
    np.testing.assert_array_equal(labels, expected[0])
    _assert_same_softmax(probabilities, expected[1])
    np.testing.assert_array_equal(predict_array(ours, image, dict(PIXELS))[0], expected[0])


def _with_hollows(depth: int) -> np.ndarray:
    """Slices of a body in the dark, with dark holes."""
    body = np.zeros((depth, 60, 80), np.uint8)
    for z in range(depth):
        body[z, 8 + z : 50, 11 : 70 - z] = 1 + random_image(60, 80, seed=z)[8 + z : 50, 11 : 70 - z] // 2
    body[1:-1, 20:30, 30:40] = 0
    return body[None]


@pytest.mark.parametrize("masked", [False, True], ids=["all pixels", "masked"])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_preprocessing_is_nnunets(make_checkpoint, load, depth, masked):
    ours, image = load(make_checkpoint(reader="SimpleITKIO", axes=(0, 2, 1))), _with_hollows(depth).astype(np.float32)
    ours.configuration_manager.configuration["use_mask_for_norm"] = [masked]
    here, there = ({"spacing": (2.0, 1.0, 1.0)} for _ in range(2))
    preprocessor = ours.configuration_manager.preprocessor_class(verbose=False)
    expected, _, there = preprocessor.run_case_npy(
        image, None, there, ours.plans_manager, ours.configuration_manager, ours.dataset_json
    )
    prepared = prepare(ours, image.copy(), here)
    np.testing.assert_array_equal(prepared.data.numpy(), expected)
    assert here == there
    assert not prepared.is_resampled


@pytest.mark.parametrize("mirroring", [False, True])
def test_the_labels_are_the_same_for_any_batch(make_checkpoint, mirroring):
    model, image = read_model(make_checkpoint()), np.stack([random_image(70, 110, seed=z) for z in range(2)])[None]
    results = []
    for batch_size in (1, 2, 3, 7, 64):
        predictor = load_predictor(model, CPU, mirroring=mirroring, precision="float32", batch_size=batch_size)
        results.append(predict_array(predictor, image, dict(PIXELS), with_probabilities=True))
        np.testing.assert_array_equal(results[-1][0], results[0][0])
        # Products of matrices may be rounded in another order, which one step of float16 in the sums shows.
        np.testing.assert_allclose(results[-1][1], results[0][1], atol=2e-3)


def test_what_does_not_fit_into_memory_is_predicted_in_smaller_batches(make_checkpoint, load, monkeypatch):
    image, seen = random_image(70, 110)[None, None], []
    expected, _ = predict_array(load(make_checkpoint(), precision="float32", batch_size=1), image, dict(PIXELS))
    predictor = load(make_checkpoint(), precision="float32", batch_size=8)
    forward = predictor.networks[0].forward

    def crowded(x):
        seen.append(len(x))
        if len(x) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return forward(x)

    monkeypatch.setattr(predictor.networks[0], "forward", crowded)
    np.testing.assert_array_equal(predict_array(predictor, image, dict(PIXELS))[0], expected)
    assert (max(seen), predictor.batch_size) == (8, 2)


def test_a_network_that_fails_everywhere_says_so(make_checkpoint, load, monkeypatch):
    predictor = load(make_checkpoint(), batch_size=4)
    monkeypatch.setattr(predictor.networks[0], "forward", lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict_array(predictor, _plain(random_image(70, 110)), dict(PIXELS))


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
        logits.append(load(file).predict_logits(torch.from_numpy(image)))
    both = load(files[0].parent.parent).predict_logits(torch.from_numpy(image))
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
