#!/usr/bin/env bash
# nnunetv2 2.8.1: cases that are added to a data set after its first training are in no fold, neither trained on nor validated, even when
# they have been preprocessed. The folds are drawn once, into splits_final.json of the preprocessed folder, and that file is used from
# then on, whatever cases lie beside it; the log has the sizes of the old folds and does not mention the added cases. What to do:
# delete splits_final.json when cases were added, or add them to it, and train all folds again.
#
# Seen, 10 preprocessed cases, then 10 more: each of the five folds has 8 and 2 of the first ten, before and after; without the file 16 and 4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1 numpy==2.4.6
cd "$folder"
export nnUNet_raw=$folder nnUNet_preprocessed=$folder nnUNet_results=$folder
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetNumpy
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

base = Path("Dataset001_Example")
data = base / "nnUNetPlans_2d"
data.mkdir(parents=True)
log = []


def preprocess(names):
    for name in names:
        image, labels = np.zeros((1, 1, 4, 4), np.float32), np.zeros((1, 1, 4, 4), np.int8)
        nnUNetDatasetNumpy.save_case(image, labels, {}, str(data / name))


def folds():
    """Names of the training and validation cases of each fold, as a trainer draws them."""
    drawn = []
    for fold in range(5):
        trainer = SimpleNamespace(
            fold=fold,
            dataset_class=nnUNetDatasetNumpy,
            preprocessed_dataset_folder=str(data),
            preprocessed_dataset_folder_base=str(base),
            folder_with_segs_from_previous_stage=None,
            print_to_log_file=lambda *words: log.append(" ".join(map(str, words))),
        )
        training, validation = nnUNetTrainer.do_split(trainer)
        drawn.append((sorted(training), sorted(validation)))
    return drawn


def sizes(drawn):
    return {(len(training), len(validation)) for training, validation in drawn}


first, added = [f"case_{number:02}" for number in range(10)], [f"case_{number:02}" for number in range(10, 20)]
preprocess(first)
before = folds()
preprocess(added)
log.clear()
after = folds()
last = log[-1]
told = [line for line in log if any(word in line.lower() for word in ("warn", "missing", "unused", "case_1"))]
(base / "splits_final.json").unlink()
anew = folds()
used = {name for training, validation in after for name in training + validation}
print("nnunetv2", version("nnunetv2"), "cases in the folds: before", sizes(before), "after", sizes(after), "anew", sizes(anew))
print("added cases that are used:", sorted(used & set(added)), "log:", last)
assert sizes(before) == {(8, 2)} and sizes(anew) == {(16, 4)}
assert after == before and used == set(first), "changed: added cases are used"
assert not told, "changed: the log tells of added cases"
PYTHON
