"""``swin-umamba export`` of small models, and the files that it writes, run without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage.io import imread, imsave
from swin_umamba.commands import cli
from swin_umamba.common.typed_json import read_json
from swin_umamba.exporting import predict_png as predict_png_module
from swin_umamba.exporting.formats import FORMATS, Run
from swin_umamba.exporting.hub_model import HubModel
from swin_umamba.exporting.model_card import model_card
from swin_umamba.networks.build import build_model
from swin_umamba.prediction import load_predictor, read_model
from swin_umamba.runs.record import RunRecord

from tests.prediction.conftest import random_image

SIZES = [(1, 32, 64), (3, 96, 32), (1, 64, 160)]  # batch, height, width

WITHOUT_TORCH = """
import runpy, sys
for name in ("torch", "nnunetv2", "swin_umamba", "swin_umamba_ext"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def exported(make_checkpoint, tmp_path, capfd):
    """A function that exports a small model, and returns the folder and the checkpoint."""

    def make(*options: str, **model: object) -> tuple[Path, Path]:
        checkpoint, folder = make_checkpoint(**model), tmp_path / "exported"
        assert cli.main(["export", str(checkpoint), str(folder), *options]) == 0, capfd.readouterr().err
        return folder, checkpoint

    return make


def network_of(checkpoint: Path) -> torch.nn.Module:
    return load_predictor(read_model(checkpoint), torch.device("cpu"), precision="float32").networks[0].eval()


def our_labels(picture: Path, checkpoint: Path) -> np.ndarray:
    output = picture.parent / "ours"
    command = ["predict", str(picture), str(output), "--checkpoint", str(checkpoint), "--precision", "float32"]
    assert cli.main(command) == 0
    return imread(output / picture.name)


def check(run: Run, network: torch.nn.Module, channels: int = 1) -> None:
    """That a file gives the network's logits at three sizes."""
    for batch, *size in SIZES:
        image = torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            wanted = network(image).numpy()
        np.testing.assert_allclose(run(image.numpy()), wanted, rtol=0, atol=1e-4)


def predict_png(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(folder / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})


def test_onnx_of_any_size_and_a_png_without_torch(exported, tmp_path, capfd):
    folder, checkpoint = exported()
    path, network = folder / "model.onnx", network_of(checkpoint)
    assert sorted(file.name for file in folder.iterdir()) == ["model.json", "model.onnx", "predict.py"]
    assert "any x 1 x a multiple of 32 x a multiple of 32" in capfd.readouterr().out

    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert [entry.domain for entry in model.opset_import] == [""]
    scans = [node for node in model.graph.node if node.op_type == "Scan"]
    assert len(scans) == sum(name.endswith("A_logs") for name in network.state_dict())
    assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()

    check(FORMATS["onnx"].load(path), network)
    picture = random_image(70, 45)
    picture[:5], picture[:, -3:] = 0, 0  # cut off by preprocessing
    imsave(tmp_path / "picture.png", picture, check_contrast=False)
    done = predict_png(folder, tmp_path / "picture.png", tmp_path / "labels.png")
    assert (done.returncode, done.stderr) == (0, "")
    ours, theirs = our_labels(tmp_path / "picture.png", checkpoint), imread(tmp_path / "labels.png")
    assert ours.max() > 0
    # nnU-Net adds tiles up in float16.
    assert (ours == theirs).mean() > 0.99


@pytest.mark.slow
def test_openvino_of_any_size_and_a_colour_png_with_limits_and_a_wrong_number_of_channels(exported, tmp_path):
    folder, checkpoint = exported("--format", "onnx-openvino", n_channels=3, normalization="CTNormalization")
    check(FORMATS["onnx-openvino"].load(folder / "model.onnx"), network_of(checkpoint), channels=3)
    description = json.loads((folder / "model.json").read_text())
    assert description["normalization"][2] == {
        "scheme": "CTNormalization",
        "clip": [0.0, 255.0],
        "subtract": 100.0,
        "divide": 50.0,
    }
    imsave(tmp_path / "picture.png", random_image(33, 90, 3), check_contrast=False)
    done = predict_png(folder, tmp_path / "picture.png", tmp_path / "labels.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert (our_labels(tmp_path / "picture.png", checkpoint) == imread(tmp_path / "labels.png")).mean() > 0.99
    imsave(tmp_path / "grey.png", random_image(33, 90), check_contrast=False)
    done = predict_png(folder, tmp_path / "grey.png", tmp_path / "grey_labels.png")
    assert (done.returncode, done.stderr) == (1, "the model takes 3 channels, the images have 1\n")


def test_pictures_that_pillow_would_change_are_refused(tmp_path):
    (tmp_path / "predict.py").write_text(Path(predict_png_module.__file__).read_text())
    (tmp_path / "model.json").write_text("{}")

    def error(*arguments: object) -> str:
        done = predict_png(tmp_path, *arguments)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    output, grey = tmp_path / "labels.png", random_image(9, 7)
    assert error(output).startswith("Predict the labels of an image")
    imsave(tmp_path / "grey.png", grey, check_contrast=False)
    assert "labels.jpg: labels are written as .png" in error(tmp_path / "grey.png", tmp_path / "labels.jpg")
    assert "none/labels.png does not exist" in error(tmp_path / "grey.png", tmp_path / "none" / "labels.png")
    imsave(tmp_path / "colour.tif", random_image(9, 7, 3).astype(np.uint16) * 256, check_contrast=False)
    assert "16 bits for a RGB value, and Pillow reads 8" in error(tmp_path / "colour.tif", output)
    pages = [Image.fromarray(grey) for _ in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert "holds 3 images" in error(tmp_path / "pages.tif", output)
    turned = Image.Exif()
    turned[0x0112] = 6
    pages[0].save(tmp_path / "turned.png", exif=turned)
    assert "is stored turned or mirrored" in error(tmp_path / "turned.png", output)
    (tmp_path / "text.png").write_text("no image")
    assert "text.png cannot be read: cannot identify image file" in error(tmp_path / "text.png", output)
    imsave(tmp_path / "small.png", random_image(9, 7), check_contrast=False)
    imsave(tmp_path / "large.png", random_image(9, 8), check_contrast=False)
    assert "different sizes: 9 x 7, 9 x 8" in error(tmp_path / "small.png", tmp_path / "large.png", output)


def test_pixels_of_a_picture_are_as_stored(tmp_path):
    for name, picture in {
        "grey.png": random_image(9, 7),
        "deep.png": random_image(9, 7).astype(np.uint16) * 257,
        "deep.tif": random_image(9, 7).astype(np.uint16) * 257,
        "colour.png": random_image(9, 7, 3),
        "float.tif": random_image(9, 7).astype(np.float32) / 7,
    }.items():
        imsave(tmp_path / name, picture, check_contrast=False)
        stored = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
        np.testing.assert_array_equal(predict_png_module.read(tmp_path / name), stored)


def test_labels_above_255_are_written(tmp_path):
    n = 300
    model = {
        **{"patch_size": [8, 8], "tile_size": [8, 8], "step_size": 0.5, "outputs": n, "regions": False},
        **{"values": list(range(n)), "normalization": [{"clip": None, "subtract": 0, "divide": 1}]},
    }
    wanted = np.arange(64).reshape(8, 8) + n - 64

    def run(tile):
        return (np.arange(n)[:, None, None] == wanted).astype(np.float32)[None]

    labels = predict_png_module.predict(np.ones((1, 8, 8), np.float32), model, run)
    imsave(tmp_path / "labels.png", labels, check_contrast=False)
    np.testing.assert_array_equal(imread(tmp_path / "labels.png"), wanted)


def test_pt2_of_a_model_of_volumes_into_the_working_directory(make_checkpoint, tmp_path, monkeypatch):
    checkpoint = make_checkpoint(reader="SimpleITKIO", spacing=(0.7, 0.8), axes=(2, 0, 1))
    folder = tmp_path / "exported"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert cli.main(["export", str(checkpoint), ".", "--format", "pt2"]) == 0
    # What predict.py does is too little for volumes.
    assert sorted(file.name for file in folder.iterdir()) == ["model.json", "model.pt2"]
    description = json.loads((folder / "model.json").read_text())
    assert (description["spacing"], description["transpose_forward"]) == ([0.7, 0.8], [2, 0, 1])
    assert description["labels"] == {"background": 0, "rim": 1, "core": 2}
    module, network = torch.export.load(folder / "model.pt2").module(), network_of(checkpoint)
    # One multiple of 32 is a size of its own to torch.export's guards, so this patch is the only one.
    for shape in ((1, 1, 32, 64), (3, 1, 32, 64)):
        image = torch.randn(shape)
        with torch.inference_mode():
            torch.testing.assert_close(module(image), network(image), rtol=0, atol=1e-5)


def test_a_folder_of_the_hub(exported, capfd):
    weights = build_model("segresnet", 1, 3).state_dict()
    folder, checkpoint = exported("--format", "hub", trainer_name="nnUNetTrainerSegResNet", network_weights=weights)
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.json",
        "model.safetensors",
    ]
    assert "any x 1 x any x any" in capfd.readouterr().out
    model = HubModel.from_pretrained(str(folder))
    assert not model.training
    assert model.labels == ("background", "rim", "core")
    image = torch.randn(2, 1, 40, 72)
    with torch.inference_mode():
        assert torch.equal(model(image), network_of(checkpoint)(image))
    card = (folder / "README.md").read_text()
    assert "# SegResNet on Dataset901_Discs\n\nSegments background, rim, core." in card
    weights = load_file(folder / "model.safetensors")
    del weights[min(weights)]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(RuntimeError, match="Missing key"):
        HubModel.from_pretrained(str(folder))
    HubModel.from_pretrained(str(folder), strict=False)


def test_a_card_has_the_scores_of_its_run():
    sample = Path(__file__).parents[2] / "docs" / "results" / "sample" / "metrics.json"
    record = read_json(RunRecord, sample)
    card = model_card("swin-umamba-d", ("background", "grey matter"), 1, (320, 320), record.dataset, record)
    assert f"| grey matter | {record.held_out.dsc.per_class['grey matter'].mean:.4f} |" in card
    assert f"{record.training.parameters:,} parameters" in card


@pytest.mark.slow
def test_aoti_of_any_size(exported):
    folder, checkpoint = exported("--format", "aoti")
    check(FORMATS["aoti"].load(folder / "model.pt2"), network_of(checkpoint))


def test_wrong_input_is_told_before_any_work(make_checkpoint, tmp_path, capfd, monkeypatch):
    checkpoint = str(make_checkpoint())

    def error(*words: str) -> str:
        assert cli.main(["export", *words]) == 2
        captured = capfd.readouterr()
        assert captured.err.count("\n") == 1
        return captured.err

    assert "RUN missing does not exist; give checkpoint.pth of a run" in error("missing", str(tmp_path / "new"))
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    assert f"DIR {full} is there already; give a new or empty folder" in error(checkpoint, str(full))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "missing")
    assert "--format aoti needs a C++ compiler" in error(checkpoint, str(tmp_path / "new"), "--format", "aoti")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "--format onnx needs onnx, onnxscript, onnxruntime; run pip" in error(checkpoint, str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_logits_that_differ_are_not_kept(make_checkpoint, tmp_path, capfd, monkeypatch):
    from swin_umamba.exporting import formats

    wrong = formats.Format(
        "model.pt2", formats._write_pt2, lambda path: lambda image: 1 + formats._load_pt2(path)(image)
    )
    monkeypatch.setitem(formats.FORMATS, "pt2", wrong)
    folder = tmp_path / "exported"
    assert cli.main(["export", str(make_checkpoint()), str(folder), "--format", "pt2"]) == 1
    assert "logits differ from the network's by" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]
