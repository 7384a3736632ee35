"""nnU-Net's planning and preprocessing, with the batch and patch size that the run wants."""

from __future__ import annotations

import inspect
import math
from typing import Any

from batchgenerators.utilities.file_and_folder_operations import load_json
from filelock import FileLock
from nnunetv2.configuration import default_num_processes
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.residual_unets import residual_encoder_unet_planners

from ..common.errors import UserError
from ..common.files import write_json
from ..common.images.nnunet_readers import Preprocessor, register_readers
from ..common.processes import check_batch_size
from ..datasets import RawDataset
from ..paper.systems import SYSTEMS
from ..runs.folder import RunFolder
from ..runs.settings import Settings

CONFIGURATION = "2d"
PLANS_NAME = "nnUNetPlans"
_DONE = "swin_umamba_preprocessed.json"
SAME_SPACING = 0.01
"""Sizes of a voxel that differ by no more, as a share, are taken for the same."""


def plan_and_preprocess(
    dataset: RawDataset, folder: RunFolder, settings: Settings, world_size: int = 1
) -> dict[str, Any]:
    """Run nnU-Net's fingerprint, planner and preprocessor for the ``2d`` configuration.

    A run that was killed in here starts it again; one that was killed later does not.

    Parameters
    ----------
    dataset
        Lies below ``nnUNet_raw``.
    folder
        Where the preprocessed data goes.
    settings
        Its batch and patch size, where given, replace the ones that the planner of its model plans.
    world_size
        How many processes share a batch. A planned batch size is rounded up to a multiple; one that was given is kept.

    Returns
    -------
    dict
        nnU-Net's plans, as they are on disk.

    Raises
    ------
    UserError
        The batch cannot be shared equally.
    """
    # Trainings of one comparison may start at once, and share the folder.
    folder.preprocessed.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.preprocessed / ".planning.lock"):
        return _plan_and_preprocess(dataset, folder, settings, world_size)


def _plan_and_preprocess(dataset: RawDataset, folder: RunFolder, settings: Settings, world_size: int) -> dict[str, Any]:
    preprocessed = folder.preprocessed / dataset.name
    preset = SYSTEMS[settings.model].planner
    planner_class = getattr(residual_encoder_unet_planners, preset) if preset else ExperimentPlanner
    plans_name = inspect.signature(planner_class).parameters["plans_name"].default if preset else PLANS_NAME
    plans_file = preprocessed / f"{plans_name}.json"
    check_same_cases(dataset, folder)
    former = load_json(str(preprocessed / _DONE)) if (preprocessed / _DONE).exists() else {"plans": []}
    # Of former versions it is one name.
    finished = [former["plans"]] if isinstance(former["plans"], str) else former["plans"]
    if plans_file.name in finished:
        plans: dict[str, Any] = load_json(str(plans_file))
        check_batch_size(plans["configurations"][CONFIGURATION]["batch_size"], world_size)
        return plans
    register_readers()
    # A former attempt may have died between any two of these steps.
    workers = min(default_num_processes, len(dataset.training))
    # The description as it was understood: nnU-Net goes by the order of text, and by labels as they are written.
    if not finished:
        extractor = DatasetFingerprintExtractor(dataset.name, workers)
        extractor.dataset_json = dataset.description
        extractor.run(overwrite_existing=True)
    planner = planner_class(dataset.name)
    planner.dataset_json = dataset.description
    spacing = planner.determine_fullres_target_spacing()
    # The last digit of a header would turn the slices of volumes whose voxels are cubes.
    planner.suppress_transpose = spacing[0] >= (1 - SAME_SPACING) * max(spacing)
    planner.plan_experiment()
    write_json(preprocessed / "dataset.json", dataset.description)
    plans = load_json(str(plans_file))
    planned = plans["configurations"][CONFIGURATION]
    planned["patch_size"] = list(settings.patch_size or planned["patch_size"])
    planned["batch_size"] = settings.batch_size or math.ceil(planned["batch_size"] / world_size) * world_size
    write_json(plans_file, plans)
    if dataset.groups is not None and dataset.splits is not None:
        # nnU-Net's planner copies the file of the raw data set, and makes folds by case where there is none.
        write_json(preprocessed / "splits_final.json", dataset.splits)
    # The plans differ in patch and batch size, and share the preprocessed images.
    if not finished:
        Preprocessor(verbose=False).run(dataset.name, CONFIGURATION, plans_name, workers)
    cases = former.get("cases") if finished else _digests(dataset)
    write_json(preprocessed / _DONE, {"plans": [*finished, plans_file.name], "cases": cases})
    return plans


def describe_slices(plans: dict[str, Any]) -> str | None:
    """Say along which axis of their files volumes are sliced, and why; ``None`` of 2-D images.

    Parameters
    ----------
    plans
        nnU-Net's plans, whose axes are those of the arrays: the last one of a file is the first here.
    """
    if plans["original_median_shape_after_transp"][0] == 1:
        return None
    axis = plans["transpose_forward"][0]
    sizes = [plans["original_median_spacing_after_transp"][plans["transpose_backward"][i]] for i in (2, 1, 0)]
    shown = " × ".join(f"{size:.4g}" for size in sizes)
    to_a_share = "" if sizes[2 - axis] >= max(sizes) else f"to {SAME_SPACING:.0%} "
    return (
        f"along the {('third', 'second', 'first')[axis]} axis of the files, which is {to_a_share}the longest side of a "
        f"voxel ({shown} in the median)"
    )


def check_same_cases(dataset: RawDataset, folder: RunFolder) -> None:
    """Raise `UserError` unless a data set is still the one that has been preprocessed, wherever it lies now.

    Parameters
    ----------
    dataset
        As it is now.
    folder
        Of the run. Where nothing has been preprocessed yet, any data set will do.
    """
    preprocessed = folder.preprocessed / dataset.name
    if not (preprocessed / _DONE).exists():
        return
    known = {path.stem for path in (preprocessed / f"{PLANS_NAME}_{CONFIGURATION}").glob("*.pkl")}
    if other := sorted(known ^ {case.identifier for case in dataset.training}):
        where, lacking = ("the run", dataset.folder) if other[0] in known else (dataset.folder, "the run")
        raise UserError(
            f"{dataset.folder} is another data set than that of the run to resume: {where} has the training case "
            f"{other[0]!r}, {lacking} has not; give the same data set, or start a new run with another --output"
        )
    former = load_json(str(preprocessed / "dataset.json"))
    for key in ("channel_names", "labels", "regions_class_order", "file_ending"):
        if dataset.description.get(key) != former.get(key):
            raise UserError(
                f"{dataset.folder} is another data set than that of the run to resume: its dataset.json has {key!r} "
                f"{dataset.description.get(key)}, the run {former.get(key)}; give the same data set, or start a new "
                f"run with another --output"
            )
    stored = load_json(str(preprocessed / _DONE)).get("cases") or {}
    now = _digests(dataset) or {}
    if changed := sorted(case for case in stored.keys() & now.keys() if stored[case] != now[case]):
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(
            f"{dataset.folder} has changed since the run began: image or label of the training case {changed[0]!r}"
            f"{more} holds something else; put the former files back, or start a new run with another --output"
        )


def _digests(dataset: RawDataset) -> dict[str, str] | None:
    """What tells the content of the training cases; ``None`` of the sample, which is made and not read."""
    if dataset.digests is None:
        return None
    return {case.identifier: dataset.digests[case].whole for case in dataset.training}
