"""The blocks of docs/predict.md do what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import HTTPServer
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imsave
from swin_umamba.networks import SwinUMambaD
from swin_umamba.prediction import predict_array, predict_arrays

from .conftest import random_image

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "predict.md").read_text()


def _block(language: str, part: str) -> str:
    return next(block for block in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if part in block)


def test_a_batch_of_images_is_predicted_as_each_of_them(make_checkpoint, load):
    predictor = load(make_checkpoint(n_channels=3), precision="float32")
    images = [np.moveaxis(random_image(height, 50, 3, seed=height), -1, 0) for height in (40, 33, 70)]
    for image, labels in zip(images, predict_arrays(predictor, images), strict=True):
        expected, _ = predict_array(predictor, image[:, None], {"spacing": (999, 1, 1)})
        np.testing.assert_array_equal(labels, expected[0])
    assert predict_arrays(predictor, []) == []
    with pytest.raises(ValueError, match=r"image 1 has the shape \(1, 40, 50\); \(3, height, width\) is wanted"):
        predict_arrays(predictor, [images[0], random_image(40, 50)])
    with pytest.raises(ValueError, match="image 0 holds NaN"):
        predict_arrays(predictor, [np.full((3, 4, 4), np.nan)])


def test_the_service_answers(make_checkpoint, load, monkeypatch):
    checkpoint = make_checkpoint()
    monkeypatch.chdir(checkpoint.parent)
    service: dict = {"__name__": "service"}
    exec(_block("python", "BaseHTTPRequestHandler"), service)
    service["Service"].log_message = lambda *_: None
    with HTTPServer(("127.0.0.1", 0), service["Service"]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        client: dict = {}
        exec(_block("python", "urllib").replace("http://127.0.0.1:8000", place), client)
        expected = predict_arrays(load(checkpoint), np.zeros((4, 300, 200), np.uint8))
        np.testing.assert_array_equal(client["labels"], expected)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(place, data=b"no array")
        assert refused.value.code == 400
        server.shutdown()


def test_the_script_of_an_array_of_jobs(make_checkpoint, tmp_path, monkeypatch):
    """A queue of two jobs, at once."""
    for number in range(3):
        (tmp_path / "images").mkdir(exist_ok=True)
        imsave(tmp_path / "images" / f"{number}.png", random_image(33, 49, seed=number), check_contrast=False)
    make_checkpoint(network_weights=SwinUMambaD(1, 3).state_dict(), trainer_name="nnUNetTrainerSwinUMambaD")
    command = tmp_path / "bin" / "swin-umamba"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nimport sys\nfrom swin_umamba.commands import cli\nsys.exit(cli.main())\n")
    command.chmod(0o755)
    (tmp_path / "job.sh").write_text(_block("bash", "#SBATCH"))
    jobs = []
    for task in (1, 2):
        slurm = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in (("ID", task), ("COUNT", 2), ("MIN", 1))}
        environment = {**os.environ, **slurm, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
        jobs.append(subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL))
    assert [job.wait(timeout=300) for job in jobs] == [0, 0]
    assert sorted(path.name for path in (tmp_path / "predictions").glob("*.png")) == ["0.png", "1.png", "2.png"]
