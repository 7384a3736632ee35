#!/usr/bin/env bash
# albumentations 2.0.8 and monai 1.6.1 in torch's DataLoader with workers: every worker applies the same augmentations as the others, and
# every epoch the same as the epoch before. Their random state is in the object, which is copied into each worker at the start of an
# epoch; torch seeds only its own, Python's and numpy's generators there. So with 8 workers an epoch has an eighth of the different
# augmentations that it should have, and the next epoch has the same ones; persistent_workers makes the epochs differ, not the
# workers. What to do: MONAI's own DataLoader; with albumentations set_random_seed in a worker_init_fn.
#
# Seen, 8 random crops, 2 workers, 2 epochs: 4 different ones by albumentations, with a seed and without, and by MONAI's Compose,
# each worker and both epochs the same; with persistent_workers 8. MONAI's DataLoader, and albumentations seeded from torch.initial_seed(), 16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 albumentations==2.0.8 opencv-python-headless==5.0.0.93 numpy==2.4.6 scipy==1.17.1
export NO_ALBUMENTATIONS_UPDATE=1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import multiprocessing
from importlib.metadata import version

import albumentations
import monai.data
import monai.transforms
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

multiprocessing.set_start_method("fork")
IMAGE = np.arange(512 * 512, dtype=np.float32).reshape(512, 512)  # a crop's first pixel tells where it was taken


class EightCrops(Dataset):
    def __init__(self, transform, crop):
        self.transform, self.crop = transform, crop

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.crop(self.transform)


def by_albumentations(transform):
    return int(transform(image=IMAGE)["image"][0, 0])


def by_monai(transform):
    return int(transform(IMAGE[None])[0, 0, 0])


def seed_worker(_):
    get_worker_info().dataset.transform.set_random_seed(torch.initial_seed() % 2**32)


def two_epochs(transform, crop, loader=DataLoader, **options):
    torch.manual_seed(0)
    batches = loader(EightCrops(transform, crop), batch_size=1, num_workers=2, **options)
    return [[int(batch) for batch in batches] for _ in range(2)]


def crops(seed=None):
    return albumentations.Compose([albumentations.RandomCrop(8, 8)], seed=seed)


monai_crops = monai.transforms.Compose([monai.transforms.RandSpatialCrop((8, 8), random_size=False)])
print(*(f"{name} {version(name)}" for name in ("albumentations", "monai", "torch")))
persistent = two_epochs(crops(), by_albumentations, persistent_workers=True)
print("albumentations, persistent workers:", len(set(persistent[0] + persistent[1])), "different crops of 16")
assert persistent[0] != persistent[1] and all(epoch[::2] == epoch[1::2] for epoch in persistent), "changed: persistent workers"
for name, epochs, repeated in (
    ("albumentations", two_epochs(crops(), by_albumentations), True),
    ("albumentations, a seed", two_epochs(crops(seed=1), by_albumentations), True),
    ("albumentations, seeded in each worker", two_epochs(crops(), by_albumentations, worker_init_fn=seed_worker), False),
    ("MONAI, torch's DataLoader", two_epochs(monai_crops, by_monai), True),
    ("MONAI's DataLoader", two_epochs(monai_crops, by_monai, monai.data.DataLoader), False),
):
    different = len(set(epochs[0] + epochs[1]))
    print(f"{name}: {different} different crops of 16")
    if repeated:
        assert epochs[0] == epochs[1] and epochs[0][::2] == epochs[0][1::2] and different == 4, f"changed: {name}"
    else:
        assert different > 12, f"changed: {name}"
PYTHON
