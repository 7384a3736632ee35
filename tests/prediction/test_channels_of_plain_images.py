"""Pictures that prepare folder takes are predicted as they were trained on, however they store grey and opacity."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from swin_umamba.prediction import load_predictor, predict_arrays, read_model

from .conftest import random_image

RGB = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": {"background": 0, "rim": 1, "core": 2}}


@pytest.fixture
def checkpoints(make_checkpoint):
    """Models of grey, of red, green and blue, and of three other channels."""
    paths = {"grey": make_checkpoint("grey.pth")}
    for name in ("rgb", "other"):
        paths[name] = make_checkpoint(f"{name}.pth", n_channels=3)
    checkpoint = torch.load(paths["rgb"], weights_only=False)
    checkpoint["init_args"]["dataset_json"].update(RGB)
    torch.save(checkpoint, paths["rgb"])
    return paths


GREY, COLOUR = random_image(40, 50), random_image(40, 50, 3, seed=1)
OPAQUE, CLEAR = np.full_like(GREY, 255), random_image(40, 50, seed=2)
THRICE = np.dstack([GREY] * 3)
STORED = {
    # What is stored, and what it is to the models of grey, of red, green and blue, and of others; None is refused.
    "grey": (GREY, GREY, THRICE, None),
    "grey as RGB": (THRICE, GREY, THRICE, THRICE),
    "grey as RGBA": (np.dstack([THRICE, OPAQUE]), GREY, THRICE, THRICE),
    "grey and opacity": (np.dstack([GREY, OPAQUE]), GREY, THRICE, None),
    "colour": (COLOUR, None, COLOUR, COLOUR),
    "RGBA": (np.dstack([COLOUR, OPAQUE]), None, COLOUR, COLOUR),
    "partly clear": (np.dstack([COLOUR, CLEAR]), None, None, None),
    "partly clear grey": (np.dstack([GREY, CLEAR]), None, None, None),
}


@pytest.mark.parametrize("kind", STORED)
def test_channels_are_those_of_the_training(checkpoints, predict, tmp_path, kind):
    stored, *meant = STORED[kind]
    for model, wanted in zip(("grey", "rgb", "other"), meant, strict=True):
        images = tmp_path / model / "in"
        images.mkdir(parents=True)
        Image.fromarray(stored).save(images / "a.png")
        if wanted is not None:
            Image.fromarray(wanted).save(images / "b.png")
        words = (images, tmp_path / model / "out", "--checkpoint", checkpoints[model], "--json")
        code, out, _ = predict(*words)
        said = json.loads(out)
        if wanted is None:
            assert (code, list(said["failed"])) == (1, ["a"])
            assert "the model was trained on" in said["failed"]["a"]
        else:
            assert (code, said["predicted"]) == (0, ["a", "b"])
            labels = [np.asarray(Image.open(tmp_path / model / "out" / f"{name}.png")) for name in "ab"]
            np.testing.assert_array_equal(*labels)


def test_colours_that_were_divided_before_are_refused(checkpoints, predict, tmp_path):
    checkpoint = torch.load(checkpoints["rgb"], weights_only=False)
    checkpoint["init_args"]["dataset_json"]["channel_names"] = dict.fromkeys("012", "rgb_to_0_1")
    torch.save(checkpoint, checkpoints["rgb"])
    (images := tmp_path / "in").mkdir()
    tifffile.imwrite(images / "divided.tif", (COLOUR / 255).astype(np.float32), photometric="rgb")
    tifffile.imwrite(images / "float.tif", COLOUR.astype(np.float32), photometric="rgb")
    Image.fromarray(GREY).save(images / "grey.png")
    code, out, _ = predict(images, tmp_path / "out", "--checkpoint", checkpoints["rgb"], "--json")
    failed = json.loads(out)["failed"]
    assert (code, list(failed)) == (1, ["divided"])
    assert "where 'rgb_to_0_1' wants 0 to 255 (divided.tif); store them so" in failed["divided"]
    predictor = load_predictor(read_model(checkpoints["rgb"]), torch.device("cpu"))
    with pytest.raises(ValueError, match=r"image 0 holds values from .* where 'rgb_to_0_1' wants 0 to 255"):
        predict_arrays(predictor, [np.moveaxis(COLOUR, -1, 0) / 255])
