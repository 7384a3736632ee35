#!/usr/bin/env bash
# nnunetv2 2.8.1 with batchgenerators 0.25.5 and batchgeneratorsv2 0.3.6: the workers that augment a training all draw the same random
# numbers from torch. Each has a seed of its own for numpy, but torch's generator is copied into each by the fork. Which transforms are
# applied, the mirroring and the pattern of the noise come from torch: with 12 workers each of them comes 12 times, in one batch of each
# worker. Rotation and scaling come from numpy and differ. What to do: seed torch in each worker, by a first transform for instance.
#
# Seen, three workers that are forked, as by default on Linux before Python 3.14: the numbers of numpy are all different; of five draws,
# the axes that nnU-Net's own MirrorTransform mirrors and the noise of its GaussianNoiseTransform are the same in all three.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1 batchgenerators==0.25.5 batchgeneratorsv2==0.3.6 numpy==2.4.6
cd "$folder"
export nnUNet_raw=$folder nnUNet_preprocessed=$folder nnUNet_results=$folder
"$folder/venv/bin/python" - <<'PYTHON'
import multiprocessing
import time
from importlib.metadata import version

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

DRAWS, WORKERS = 5, 3
multiprocessing.set_start_method("fork")
transforms = nnUNetTrainer.get_training_transforms((32, 32), (-3.0, 3.0), None, (0, 1), False).transforms
bare = {type(t).__name__: t for t in (getattr(t, "transform", t) for t in transforms)}
mirror, noise = bare["MirrorTransform"], bare["GaussianNoiseTransform"]


class Loader:
    """In the place of nnU-Net's: infinite, and tells the worker that it runs in."""

    drawn = 0

    def set_thread_id(self, worker):
        self.worker = worker

    def __next__(self):
        time.sleep(0.1)
        image = torch.tensor([[[1.0, 2], [3, 4]]])
        number = float(np.random.uniform())
        corner = float(mirror(image=image.clone())["image"][0, 0, 0])  # 1 to 4: none, columns, rows, both
        # The size of the noise is numpy's; its sign and pattern are torch's.
        noisy = noise(image=image.clone())["image"] - image
        pattern = tuple((noisy / noisy.abs().max().clamp(min=1e-12)).flatten().round(decimals=3).tolist())
        self.drawn += 1
        return self.worker, self.drawn, (number, corner, pattern)


# As nnU-Net starts its workers.
augmenter = NonDetMultiThreadedAugmenter(Loader(), None, WORKERS, num_cached=6, seeds=None, wait_time=0.002)
seen = {}
while sum((worker, draw) in seen for worker in range(WORKERS) for draw in range(1, DRAWS + 1)) < WORKERS * DRAWS:
    worker, draw, values = next(augmenter)
    seen[worker, draw] = values
augmenter._finish()

print(*(f"{name} {version(name)}" for name in ("nnunetv2", "batchgenerators", "batchgeneratorsv2", "torch")))
kinds = zip(*(seen[worker, draw] for draw in range(1, DRAWS + 1) for worker in range(WORKERS)), strict=True)
different = []
for name, values in zip(("numpy", "mirrored corner", "noise"), kinds, strict=True):
    by_draw = [values[draw * WORKERS : (draw + 1) * WORKERS] for draw in range(DRAWS)]
    different.append([len(set(workers)) for workers in by_draw])
    print(f"{name}: different values among {WORKERS} workers in each of {DRAWS} draws:", different[-1])
assert different[0] == [WORKERS] * DRAWS
assert different[1] == different[2] == [1] * DRAWS, "changed: the workers draw from torch each for itself"
PYTHON
