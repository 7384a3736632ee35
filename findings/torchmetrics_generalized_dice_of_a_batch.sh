#!/usr/bin/env bash
# torchmetrics 1.9.0: the generalised Dice score of an image depends on the other images of its batch and on their order. A class that
# is not in an image's reference gets the largest weight of a class in the batch, but the weights are put in the wrong order where
# they are filled in, so that it can be the weight of another class, or of another image. GeneralizedDiceScore so changes with
# the batch size and with shuffling. MONAI 1.6.1 scores each image by itself.
#
# Seen, one image with a small invented object and one that is segmented exactly: alone both score 1.0, also the first, as its absent
# class has the weight 0; in one batch 0.9697 and 1.0, in the other order 0.9804 and 1.0. The metric: 1.0, 0.9848, 0.9902.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchmetrics==1.9.0 monai==1.6.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import monai
import torch
import torchmetrics
from torchmetrics.functional.segmentation import generalized_dice_score
from torchmetrics.segmentation import GeneralizedDiceScore

options = {"num_classes": 3, "include_background": False, "input_format": "index"}
reference = torch.zeros(2, 32, 32, dtype=torch.long)
reference[:, 4:12, 4:12] = 1
reference[1, 20:28, 20:30] = 2
prediction = reference.clone()
prediction[0, 20:22, 20:22] = 2  # invented: the first image has no object of class 2


def metric(batches):
    score = GeneralizedDiceScore(**options)
    for batch in batches:
        score.update(prediction[batch], reference[batch])
    return score.compute().item()


alone = [generalized_dice_score(prediction[[image]], reference[[image]], **options).item() for image in (0, 1)]
together = generalized_dice_score(prediction, reference, **options).tolist()
turned = generalized_dice_score(prediction.flip(0), reference.flip(0), **options).flip(0).tolist()
of_metric = [metric(batches) for batches in ([[0], [1]], [[0, 1]], [[1, 0]])]
print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)
for name, scores in (("alone", alone), ("in one batch", together), ("in the other order", turned), ("the metric, three ways", of_metric)):
    print(f"{name}:", *(f"{score:.4f}" for score in scores))
assert alone == [1, 1], "changed: the score of one image"
assert abs(together[0] - 0.9697) < 1e-4 and abs(turned[0] - 0.9804) < 1e-4, "changed: the score in a batch"
assert len({round(score, 4) for score in of_metric}) == 3, "changed: the batches no longer matter"

one_hot = [torch.nn.functional.one_hot(labels, 3).movedim(-1, 1) for labels in (prediction, reference)]
by_monai = monai.metrics.compute_generalized_dice(*one_hot, include_background=False)
single = torch.cat([monai.metrics.compute_generalized_dice(*(labels[[i]] for labels in one_hot), include_background=False) for i in (0, 1)])
print("monai", monai.__version__, by_monai.tolist(), single.tolist())
assert torch.equal(by_monai, single), "changed: MONAI's too depends on the batch"
PYTHON
