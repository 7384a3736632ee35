#!/usr/bin/env bash
# A majority vote over label maps, of raters or of networks, can end with a label that none of them has, without a word. SimpleITK 2.5.7:
# LabelVoting gives voxels with a tie the largest label plus one, which with labels 0 and 1 is a class 2. MONAI 1.6.1: VoteEnsemble
# of label maps (one channel) without num_classes rounds the mean, so that two votes for a 3 and one for a 1 elect 2; and with
# num_classes a tie goes to the smaller label. What to do: SetLabelForUndecidedPixels, and num_classes.
#
# Seen: SimpleITK {0} against {1}: 2, {1} against {3}: 4. MONAI 1, 3, 3: 2, with num_classes=4 3; and 1 against 3: 2, with num_classes 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 SimpleITK==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import monai
import numpy as np
import SimpleITK as sitk
import torch
from monai.transforms import VoteEnsemble


def by_simpleitk(*votes, undecided=()):
    result = sitk.LabelVoting([sitk.GetImageFromArray(np.full((2, 2), vote, np.uint8)) for vote in votes], *undecided)
    (label,) = np.unique(sitk.GetArrayFromImage(result)).tolist()
    return label


def by_monai(*votes, **options):
    (label,) = VoteEnsemble(**options)([torch.full((1, 2, 2), float(vote)) for vote in votes]).unique().tolist()
    return label


print("SimpleITK", sitk.__version__, "monai", monai.__version__)
for votes in ((1, 3, 3), (1, 3), (0, 1)):
    print(*votes, ": SimpleITK", by_simpleitk(*votes), "MONAI", by_monai(*votes), "with num_classes", by_monai(*votes, num_classes=4))
assert by_simpleitk(1, 3, 3) == by_monai(1, 3, 3, num_classes=4) == 3
assert by_simpleitk(0, 1, undecided=(0,)) == 0
assert (by_simpleitk(0, 1), by_simpleitk(1, 3)) == (2, 4), "changed: a tie is no new label in SimpleITK"
assert by_monai(1, 3, 3) == 2, "changed: MONAI counts the votes of label maps"
assert by_monai(1, 3, num_classes=4) == 1
PYTHON
