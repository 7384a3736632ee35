"""nnU-Net's planning and preprocessing, with the batch and patch size that the run wants."""

from __future__ import annotations

from typing import Any

from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.configuration import default_num_processes
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

from ..data import RawDataset
from ..files import write_json
from .run_folder import RunFolder
from .settings import Settings

CONFIGURATION = "2d"
PLANS_NAME = "nnUNetPlans"
_DONE = "swin_umamba_preprocessed.json"


def plan_and_preprocess(dataset: RawDataset, folder: RunFolder, settings: Settings) -> dict[str, Any]:
    """Run nnU-Net's fingerprint, planner and preprocessor for the ``2d`` configuration.

    A run that was killed in here starts it again; one that was killed later does not.

    Parameters
    ----------
    dataset
        Lies below ``nnUNet_raw``.
    folder
        Where the preprocessed data goes.
    settings
        Its batch and patch size, where given, replace the planned ones.

    Returns
    -------
    dict
        nnU-Net's plans, as they are on disk.
    """
    preprocessed = folder.preprocessed / dataset.name
    plans_file = preprocessed / f"{PLANS_NAME}.json"
    if (preprocessed / _DONE).exists():
        return load_json(str(plans_file))
    # A former attempt may have died between any two of these steps.
    processes = min(default_num_processes, len(dataset.training))
    DatasetFingerprintExtractor(dataset.name, processes).run(overwrite_existing=True)
    ExperimentPlanner(dataset.name).plan_experiment()
    plans = load_json(str(plans_file))
    planned = plans["configurations"][CONFIGURATION]
    planned["patch_size"] = list(settings.patch_size or planned["patch_size"])
    planned["batch_size"] = settings.batch_size or planned["batch_size"]
    write_json(plans_file, plans)
    DefaultPreprocessor(verbose=False).run(dataset.name, CONFIGURATION, PLANS_NAME, processes)
    write_json(preprocessed / _DONE, {"plans": plans_file.name})
    return plans
