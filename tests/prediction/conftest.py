"""Models too small to have learned anything, in checkpoints as a training leaves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_module
from swin_umamba.commands import cli
from swin_umamba.networks import SwinUMambaD
from swin_umamba.prediction import SlidingWindowPredictor, load_predictor, read_model
from swin_umamba.trainers.registry import TRAINER_CLASSES

PATCH = (32, 48)
CPU = torch.device("cpu")


class nnUNetTrainerTiny(TRAINER_CLASSES["nnUNetTrainerSwinUMambaD"]):
    """Found by nnU-Net as the trainers of the package are."""

    @classmethod
    def build_network_architecture(cls, plans, configuration, n_channels, n_classes, enable_deep_supervision=True):
        return SwinUMambaD(
            in_channels=n_channels,
            num_classes=n_classes,
            deep_supervision=enable_deep_supervision,
            embed_dim=8,
            depths=(1, 1, 1, 1),
        )


@pytest.fixture(autouse=True)
def tiny_trainer(monkeypatch):
    monkeypatch.setattr(nnunet_module, "nnUNetTrainerTiny", nnUNetTrainerTiny, raising=False)


def _plans(n_channels: int, reader: str, spacing: tuple[float, float], normalization: str) -> dict:
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    intensities = {"mean": 100.0, "std": 50.0, "percentile_00_5": 0.0, "percentile_99_5": 255.0}
    return {
        "dataset_name": "Dataset901_Discs",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": reader,
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(channel): intensities for channel in range(n_channels)},
        "configurations": {
            "2d": {
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": list(PATCH),
                "spacing": list(spacing),
                "normalization_schemes": [normalization] * n_channels,
                "use_mask_for_norm": [False] * n_channels,
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": resampling,
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
                "architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []},
            }
        },
    }


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a checkpoint with random weights, as `swin-umamba train` exports it."""

    def make(
        name: str = "checkpoint.pth",
        *,
        n_channels: int = 1,
        reader: str = "NaturalImage2DIO",
        spacing: tuple[float, float] = (1.0, 1.0),
        normalization: str = "ZScoreNormalization",
        seed: int = 0,
        axes: tuple[int, ...] = (0, 1, 2),
        usual_spacing: tuple[float, ...] | None = None,
        **changes: object,
    ) -> Path:
        torch.manual_seed(seed)
        network = nnUNetTrainerTiny.build_network_architecture(None, None, n_channels, 3)
        ending = ".png" if reader == "NaturalImage2DIO" else ".nii.gz"
        checkpoint = {
            "network_weights": network.state_dict(),
            "init_args": {
                "plans": {
                    **_plans(n_channels, reader, spacing, normalization),
                    "transpose_forward": list(axes),
                    "transpose_backward": np.argsort(axes).tolist(),
                    **({"original_median_spacing_after_transp": list(usual_spacing)} if usual_spacing else {}),
                },
                "configuration": "2d",
                "fold": 0,
                "dataset_json": {
                    "channel_names": {str(channel): f"c{channel}" for channel in range(n_channels)},
                    "labels": {"background": 0, "rim": 1, "core": 2},
                    "numTraining": 1,
                    "file_ending": ending,
                },
            },
            "trainer_name": "nnUNetTrainerTiny",
            "inference_allowed_mirroring_axes": (0, 1),
            "current_epoch": 1,
        }
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({**checkpoint, **changes}, path)
        return path

    return make


@pytest.fixture
def load() -> Callable[..., SlidingWindowPredictor]:
    """A function that loads a checkpoint into a predictor on the CPU."""
    return lambda path, **options: load_predictor(read_model(path), CPU, **options)


@pytest.fixture
def predict(capfd) -> Callable[..., tuple[int, str, str]]:
    """A function that runs the command and returns its exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = cli.main(["predict", "--device", "cpu", *map(str, arguments)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def random_image(*shape: int, seed: int = 0) -> np.ndarray:
    """Smooth enough that a network says different things about different places."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, [-(-size // 4) for size in shape[:2]] + list(shape[2:]))
    return np.kron(coarse, np.ones((4, 4) + (1,) * (len(shape) - 2)))[: shape[0], : shape[1]].astype(np.uint8)
