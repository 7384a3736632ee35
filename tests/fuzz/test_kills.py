"""Commands that are killed at any moment go on, and end with the bits of one that was not.

``SWIN_UMAMBA_KILLS=10`` kills ten times as often: 50 times a training, 20 times each of the others.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.pretraining.conftest import TINY_NETWORK, _make_images

from . import commands

pytestmark = pytest.mark.slow
FACTOR = float(os.environ.get("SWIN_UMAMBA_KILLS", "1"))
BUDGET = ("--epochs", "3", "--iterations", "2", "--batch-size", "2", "--patch-size", "32", "32", "--device", "cpu")
LONGEST_CHAIN = 3


@dataclass(frozen=True)
class Command:
    """A command that may be killed.

    Attributes
    ----------
    words : sequence
        Without the output folder.
    output : sequence of str
        What comes before the output folder.
    marker : str
        A file in the output folder that is there when it can go on by ``go_on``; the same command starts it before.
    go_on : sequence of str
        Options.
    result : callable
        Of the output folder: what must not depend on kills.
    """

    words: Sequence[object]
    output: Sequence[str]
    marker: str
    go_on: Sequence[str]
    result: Callable[[Path], object]

    def at(self, folder: Path) -> list[object]:
        """The words that start it, or let it go on."""
        begun = (folder / self.marker).exists()
        return [*self.words, *self.output, folder, *(self.go_on if begun else ())]

    def kill_and_compare(self, tmp_path: Path, kills: int) -> None:
        """Kill it so often, in chains, and compare each end with that of one without kills."""
        generator, log = random.Random(0), tmp_path / "log"
        results, seconds = [], float("inf")
        for name in ("whole", "again"):  # the first waits for the large libraries
            code, took = commands.run(self.at(tmp_path / name), log)
            seconds = min(seconds, took)
            assert code == 0, log.read_text()[-2000:]
            results.append(self.result(tmp_path / name))
        wanted = results[0]
        assert results[1] == wanted
        done = number = 0
        while done < kills:
            number += 1
            folder, log = tmp_path / str(number), tmp_path / f"log{number}"
            for _ in range(min(LONGEST_CHAIN, kills - done)):
                done += commands.kill(commands.start(self.at(folder), log), generator.uniform(0, seconds))
            code, _ = commands.run(self.at(folder), log)
            assert code == 0, log.read_text()[-2000:]
            assert self.result(folder) == wanted, number
        print(f"{done} kills in {number} runs of {seconds:.0f} s: the same bits")


def _weights(path: Path, key: str) -> dict[str, bytes]:
    content = torch.load(path, weights_only=True)[key]
    return {name: tensor.numpy().tobytes() for name, tensor in content.items()}


def _training(folder: Path) -> object:
    metrics = json.loads((folder / "metrics.json").read_text())
    return metrics["training"], metrics["held_out"], _weights(folder / "checkpoint.pth", "network_weights")


def _pretraining(folder: Path) -> object:
    history = json.loads((folder / "metrics.json").read_text())["history"]
    losses = [{key: value for key, value in epoch.items() if "second" not in key} for epoch in history]
    return losses, *(_weights(folder / name, "model") for name in ("vmamba_tiny.pth", "vmamba_tiny_ema.pth"))


def _comparison(folder: Path) -> object:
    systems = json.loads((folder / "comparison.json").read_text())["systems"]
    return {row["name"]: (row["state"], _training(folder / row["name"])) for row in systems}


def _predictions(folder: Path) -> object:
    assert not list(folder.glob(".unfinished*"))
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@pytest.fixture(scope="module")
def discs(make_data_set, tmp_path_factory) -> Path:
    return make_data_set(tmp_path_factory.mktemp("raw"), held_out=20)


def test_a_training_that_is_killed(discs, tmp_path):
    command = Command(["train", discs, *BUDGET], ["--output"], "settings.json", ["--resume"], _training)
    command.kill_and_compare(tmp_path, round(5 * FACTOR))


def test_a_prediction_that_is_killed(discs, tmp_path):
    code, _ = commands.run(["train", discs, *BUDGET, "--output", tmp_path / "run"], tmp_path / "log of the training")
    assert code == 0, (tmp_path / "log of the training").read_text()[-2000:]
    options = ["--checkpoint", tmp_path / "run" / "checkpoint.pth", "--device", "cpu"]
    words = ["predict", *options, discs / "imagesTs"]
    command = Command(words, [], "prediction.json", ["--skip-existing"], _predictions)
    command.kill_and_compare(tmp_path, round(2 * FACTOR))


def test_a_pretraining_that_is_killed(tmp_path):
    images = _make_images(tmp_path / "images")
    options = ["--epochs", "3", "--batch-size", "8", "--augmentation", "light"]
    words = ["pretrain", images, *TINY_NETWORK, *options]
    command = Command(words, ["--output"], "settings.json", ["--resume"], _pretraining)
    command.kill_and_compare(tmp_path, round(2 * FACTOR))


def test_a_comparison_that_is_killed(discs, tmp_path):
    words = ["compare", discs, *BUDGET, "--models", "nnunet,segresnet"]
    command = Command(words, ["--output"], "", [], _comparison)
    command.kill_and_compare(tmp_path, round(2 * FACTOR))
