"""Data sets in nnU-Net's raw layout: the sample, and the checks before training."""

from .case_checks import check_cases
from .raw_dataset import Case, RawDataset, open_raw_dataset
from .sample import SAMPLE_NAME, SAMPLE_NAMES, prepare_sample

__all__ = ["SAMPLE_NAME", "SAMPLE_NAMES", "Case", "RawDataset", "check_cases", "open_raw_dataset", "prepare_sample"]
