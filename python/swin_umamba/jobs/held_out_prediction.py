"""Prediction of a run's held-out cases with nnU-Net's sliding window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..checkpoints import read_checkpoint
from ..checkpoints.writing import write_checkpoint
from ..common.errors import RunError
from ..datasets import Case
from ..prediction.arrays import predict_array
from ..prediction.sliding_window import SlidingWindowPredictor


def predict_cases(
    predictor: SlidingWindowPredictor, cases: Sequence[Case], output: Path, on_case_done: Callable[[], object]
) -> None:
    """Predict each case and write its label image to ``output / (identifier + file ending)``.

    One case is in memory at a time. 3-D images are predicted slice by slice.

    Raises
    ------
    RunError
        The output of the network is not finite.
    """
    output.mkdir(parents=True, exist_ok=True)
    reader = predictor.plans_manager.image_reader_writer_class()
    ending = predictor.dataset_json["file_ending"]
    for case in cases:
        image, properties = reader.read_images([str(path) for path in case.images])
        try:
            labels, _ = predict_array(predictor, image, properties)
        except FloatingPointError as error:
            raise RunError(
                f"cannot predict the held-out case {case.identifier}: {error}; train in a new run with --amp off or a "
                f"lower --learning-rate"
            ) from error
        reader.write_seg(labels, str(output / f"{case.identifier}{ending}"), properties)
        on_case_done()


def export_checkpoint(source: Path, target: Path) -> None:
    """Write the weights of a checkpoint and what prediction needs, without the state of the optimizer.

    The file has nnU-Net's keys ``network_weights``, ``init_args`` (plans, configuration, fold, dataset.json),
    ``trainer_name``, ``inference_allowed_mirroring_axes`` and ``current_epoch``, and ``amp`` of the training. It holds
    plain data only.
    """
    checkpoint = read_checkpoint(source)
    kept = ("network_weights", "init_args", "trainer_name", "inference_allowed_mirroring_axes", "current_epoch", "amp")
    exported = {key: checkpoint[key] for key in kept if key in checkpoint}
    # In nnU-Net's own checkpoints the device is among them.
    exported["init_args"] = {key: value for key, value in exported["init_args"].items() if key != "device"}
    write_checkpoint(target, exported)
