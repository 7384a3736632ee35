#!/usr/bin/env bash
# batchgeneratorsv2 0.3.6, as nnunetv2 2.8.1 trains with it: the blur of its augmentation measures two algorithms when it first meets a
# size, direct and by FFT, and goes on with the one that was faster at that moment. Their results differ in the last digits, so that
# two trainings with the same seeds on the same machine feed the network different images. benchmark=False is repeatable.
#
# Seen: nnUNetTrainer's transforms hold a GaussianBlurTransform with benchmark=True; with one seed and a clock that finds the one or
# the other faster, the images of 256x256 differ by 4.8e-7, and without the measurement the clock changes nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1 batchgeneratorsv2==0.3.6 numpy==2.4.6
cd "$folder"
export nnUNet_raw=$folder nnUNet_preprocessed=$folder nnUNet_results=$folder
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from batchgeneratorsv2.transforms.noise import gaussian_blur
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

transforms = nnUNetTrainer.get_training_transforms((256, 256), (-3.0, 3.0), None, (0, 1), False).transforms
blurs = [t.transform for t in transforms if isinstance(getattr(t, "transform", None), gaussian_blur.GaussianBlurTransform)]
print("batchgeneratorsv2", version("batchgeneratorsv2"), "nnunetv2", version("nnunetv2"), "measures:", [b.benchmark for b in blurs])
assert [blur.benchmark for blur in blurs] == [True], "changed: nnU-Net does not let the clock choose"


class Clock:
    """A machine on which every other group of nine measurements, those by FFT, is slower or faster than the rest."""

    def __init__(self, fft_is_faster):
        self.calls, self.now, self.fft_is_faster = 0, 0.0, fft_is_faster

    def __call__(self):
        by_fft = self.calls // 18 % 2 == 1
        self.calls += 1
        self.now += 1.0 if by_fft == self.fft_is_faster else 2.0
        return self.now


def blurred(fft_is_faster, benchmark):
    gaussian_blur.time = Clock(fft_is_faster)
    torch.manual_seed(0)
    image = torch.rand(1, 256, 256)
    return gaussian_blur.GaussianBlurTransform(blur_sigma=(0.9, 0.9), benchmark=benchmark)(image=image)["image"]


with_clock = (blurred(True, True) - blurred(False, True)).abs().max().item()
without = (blurred(True, False) - blurred(False, False)).abs().max().item()
print(f"largest difference between two clocks: {with_clock:.1e}, without measuring {without}")
assert without == 0
assert 0 < with_clock < 1e-5, "changed: both algorithms give the same bits"
PYTHON
