"""Damaged JSON files, and what reads them."""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import os
import pkgutil
import random
from pathlib import Path

import matplotlib as mpl
import numpy as np
import tifffile
import torch
from nnunetv2 import preprocessing
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_module
from swin_umamba.checkpoints.report import LoadReport
from swin_umamba.common.console import PlainConsole
from swin_umamba.common.errors import RunError, UserError
from swin_umamba.common.images.reading import read_stored
from swin_umamba.common.images.stored import ImageFault
from swin_umamba.common.typed_json import as_json, read_json
from swin_umamba.comparison.folder import ComparisonFolder
from swin_umamba.comparison.measurements import Measurements
from swin_umamba.comparison.systems import choose_systems
from swin_umamba.datasets import check_cases, open_raw_dataset
from swin_umamba.datasets.raw_dataset import check_fold
from swin_umamba.evaluation.dataset_labels import with_dataset_labels
from swin_umamba.evaluation.rules import LABELS
from swin_umamba.paper.data_sets import ENDOSCOPY
from swin_umamba.prediction import load_predictor, read_model
from swin_umamba.prediction.output_folder import OutputFolder
from swin_umamba.prepare.abdomen_mr import _check_amos_json
from swin_umamba.prepare.preparation import Preparation, _check_settings
from swin_umamba.prepare.release_layout import _check_labels_json
from swin_umamba.pretraining.run import PretrainingFolder, show_finished
from swin_umamba.pretraining.settings import PretrainingSettings
from swin_umamba.report.run_page import write_page
from swin_umamba.runs.kind import want_run_of
from swin_umamba.runs.settings import Settings

from tests.conftest import _finish_run, _make_data_set
from tests.fuzz.damage import cut, flip, splice
from tests.prediction.conftest import _plans, nnUNetTrainerTiny

VALUES = [None, True, -1, 0, 0.5, 2**70, 10**30, 1e300, float("nan"), float("inf"), "", "x" * 1000, "\n", "\x1b[31m"]
VALUES += ["\ud800", "../../x", "[/core]", [], {}, [None], [[]], {"a": 1}, {"": {"": []}}, "1", "nan", [1, 2, 3] * 50]


class Target:
    """The files of a data set, of runs, of predictions and of a comparison; three ways to damage, and all readers."""

    ALLOWED = ("os.rename", "os.remove")  # by the page of a run, which is written

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        mpl.use("agg")
        nnunet_module.nnUNetTrainerTiny = nnUNetTrainerTiny
        self.folder = folder
        self.data = _make_data_set(folder / "raw", held_out=1)
        splits = [{"train": [f"disc_tr{i}" for i in range(5)], "val": ["disc_tr5"]}] * 2
        (self.data / "splits_final.json").write_text(json.dumps(splits))
        held_out = open_raw_dataset(self.data).held_out
        self.run = folder / "run"
        _finish_run(
            self.run, Settings(str(self.data), epochs=4, patch_size=(32, 32), batch_size=2), held_out, lambda _: 1
        )
        self._make_model()
        self._make_others()
        self.cases = [
            (self.data / "dataset.json", [self.data_set, self.labels]),
            (self.data / "splits_final.json", [self.data_set]),
            (self.run / "metrics.json", [self.page]),
            (self.run / "settings.json", [self.settings]),
            (self.model / "plans.json", [self.predictor]),
            (self.model / "dataset.json", [self.predictor]),
            (self.pretraining.settings, [self.pretraining_settings]),
            (self.pretraining.metrics, [self.pretraining_metrics]),
            (self.comparison.record, [self.compared]),
            (folder / "predictions" / "prediction.json", [self.predictions]),
            (folder / "measurements.json", [self.measurements]),
            (folder / "pretrained.json", [self.load_report]),
            (folder / "prepared.json", [self.prepared]),
            (folder / "amos" / "dataset.json", [self.amos]),
            (folder / "release" / "dataset.json", [self.release]),
            (folder / "stack.json", [self.spacing]),
        ]
        self.contents = {path: path.read_bytes() for path, _ in self.cases}
        for module in pkgutil.walk_packages(preprocessing.__path__, "nnunetv2.preprocessing."):  # plans name some
            importlib.import_module(module.name)
        for path, readers in self.cases:
            for read in readers:
                with contextlib.suppress(UserError, RunError):
                    read(path)
        for seed in range(150):  # what is imported at first use, is not the files' doing
            with contextlib.suppress(UserError):
                path = self.make(random.Random(-1 - seed))
                self.readers[0](path)

    def _make_model(self) -> None:
        self.model = self.folder / "model"
        (self.model / "fold_0").mkdir(parents=True)
        description = json.loads((self.data / "dataset.json").read_text())
        plans = _plans(1, "NaturalImage2DIO", (1.0, 1.0), "ZScoreNormalization")
        torch.manual_seed(0)
        checkpoint = {
            "network_weights": nnUNetTrainerTiny.build_network_architecture(None, None, 1, 3).state_dict(),
            "init_args": {"plans": plans, "configuration": "2d", "fold": 0, "dataset_json": description},
            "trainer_name": "nnUNetTrainerTiny",
            "inference_allowed_mirroring_axes": (0, 1),
        }
        torch.save(checkpoint, self.model / "fold_0" / "checkpoint_final.pth")
        (self.model / "plans.json").write_text(json.dumps(plans))
        (self.model / "dataset.json").write_text(json.dumps(description))

    def _make_others(self) -> None:
        self.pretraining = PretrainingFolder(self.folder / "pretraining")
        self.pretraining.root.mkdir()
        self.pretraining.settings.write_text(json.dumps(PretrainingSettings(data="/x", image_size=32).as_json()))
        history = [{"epoch": 1, "validation_loss": 0.5, "accuracy": 0.5, "accuracy_ema": 0.25, "seconds": 1.0}]
        self.pretraining.metrics.write_text(json.dumps({"history": history, "classes": ["a"]}))
        self.systems = choose_systems({}, str(self.data), ["nnunet"])
        self.comparison = ComparisonFolder(self.folder / "comparison")
        with self.comparison.open(self.systems):
            pass
        self.record = {"settings": {"checkpoint": "a" * 64, "mirroring": True, "amp": "auto"}}
        files = {
            "predictions/prediction.json": self.record,
            "measurements.json": {
                "parameters": 1,
                "multiply_accumulates": 2,
                "scan": 3,
                "epochs": {"0": {"step_seconds": 0.5, "peak_memory": 3}},
            },
            "pretrained.json": as_json(LoadReport(Path("/a"), "a", "b", ("c",), {"d": "e"}, {}, ("h",), 0.5)),
            "prepared.json": {"layout": "challenge", "frames_reduced_by": 3},
            "amos/dataset.json": {"labels": {"0": "background", "1": "spleen"}},
            "release/dataset.json": {"labels": {"background": 0, **ENDOSCOPY.labels}},
            "stack.json": {"spacing": [2.0, 0.5, 0.5]},
        }
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(content))
        tifffile.imwrite(self.folder / "stack.tif", np.zeros((3, 5, 4), np.uint8), photometric="minisblack")

    def make(self, generator: random.Random) -> Path:
        for path, content in self.contents.items():
            if path.read_bytes() != content:
                path.write_bytes(content)
        path, _ = generator.choice(self.cases)
        content = self.contents[path]
        if generator.random() < 0.7:
            content = self.edit(content, generator)
        else:
            content = generator.choice([flip, cut, splice])(content, generator)
        path.write_bytes(content)
        self.readers = [generator.choice(dict(self.cases)[path])]
        return path

    def edit(self, content: bytes, generator: random.Random) -> bytes:
        """Other values, keys and depths."""
        value = {"": json.loads(content)}
        for _ in range(generator.choice([1, 1, 1, 3])):
            container = generator.choice(list(_containers(value)))
            keys = list(container) if isinstance(container, dict) else range(len(container))
            key = generator.choice(keys)
            match generator.randrange(8):
                case 0 if container is not value:
                    del container[key]
                case 1 if isinstance(container, dict):
                    container[generator.choice(["", "x" * 500, "\ud800", "a/b", "0", "ignore"])] = container[key]
                case 2:
                    tower: object = generator.choice(VALUES)
                    for _ in range(generator.choice([3, 40, 300])):
                        tower = [tower] if generator.random() < 0.5 else {"a": tower}
                    container[key] = tower
                case _:
                    container[key] = copy.deepcopy(generator.choice(VALUES))
            if not list(_containers(value)):
                break
        return json.dumps(value.get("")).encode()

    def data_set(self, _path: Path) -> None:
        dataset = open_raw_dataset(self.data)
        for fold in ("all", 0, 1):
            check_fold(dataset, fold)
        check_cases(dataset, [*dataset.training[:1], *dataset.held_out])
        assert dataset.n_outputs > 1
        json.dumps(dataset.description, allow_nan=False).encode()

    def labels(self, path: Path) -> None:
        with_dataset_labels(LABELS, path)

    def page(self, _path: Path) -> None:
        write_page(self.run)

    def settings(self, path: Path) -> None:
        want_run_of("pretrain", path.parent)
        Settings.read(path)

    def predictor(self, _path: Path) -> None:
        load_predictor(read_model(self.model), torch.device("cpu"))

    def pretraining_settings(self, path: Path) -> None:
        want_run_of("train", path.parent)
        PretrainingSettings.read(path)

    def pretraining_metrics(self, _path: Path) -> None:
        with open(os.devnull, "w") as nowhere:
            show_finished(self.pretraining, PlainConsole(file=nowhere))

    def compared(self, _path: Path) -> None:
        self.comparison.check(self.systems)

    def predictions(self, path: Path) -> None:
        OutputFolder(path.parent).check(self.data, self.record, skip_existing=True)

    def measurements(self, path: Path) -> None:
        try:
            measured = Measurements.read(path.parent)
        except RunError as error:
            raise UserError(str(error)) from error
        assert measured.step_seconds is None or measured.step_seconds >= 0 or measured.step_seconds < 0

    def load_report(self, path: Path) -> None:
        try:
            read_json(LoadReport, path)
        except ValueError as error:
            raise UserError(str(error)) from error

    def prepared(self, path: Path) -> None:
        _check_settings(Preparation(ENDOSCOPY, "challenge", [], {}, options={"frames_reduced_by": 3}), path)

    def amos(self, path: Path) -> None:
        _check_amos_json(path)

    def release(self, path: Path) -> None:
        _check_labels_json(path, ENDOSCOPY)

    def spacing(self, path: Path) -> None:
        try:
            read_stored(path.with_suffix(".tif"))
        except ImageFault as fault:
            raise UserError(fault.of("stack.tif")) from fault


def _containers(value: object):
    if isinstance(value, dict | list) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _containers(item)
