#!/usr/bin/env bash
# monai 1.6.1: DiceFocalLoss(softmax=True) and GeneralizedDiceFocalLoss(softmax=True) take the softmax for their Dice part alone; the
# focal part is that of independent classes, by a sigmoid of each logit. The text of the second says "apply a softmax function to the
# prediction"; that of the first says that it is for the Dice part, and that the focal part needs no activation to be specified. So a
# perfect softmax prediction can have a large loss, and adding a constant to all logits, which changes no probability, changes it.
# DiceCELoss has the softmax in both parts. What to do: DiceLoss(softmax=True) and FocalLoss(use_softmax=True), summed.
#
# Seen, three classes, a perfect prediction with logits 40 and 20: DiceLoss and DiceCELoss 0, DiceFocalLoss 13.33, of which with
# lambda_dice=0 the same 13.33; FocalLoss(use_softmax=True) 0. Random logits plus 5: DiceFocalLoss 1.02 to 3.99, the others unchanged.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 monai==1.6.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import monai
import torch
from monai.losses import DiceCELoss, DiceFocalLoss, DiceLoss, FocalLoss, GeneralizedDiceFocalLoss

torch.manual_seed(0)
logits, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 1, 8, 8))
perfect = torch.nn.functional.one_hot(labels[:, 0], 3).movedim(-1, 1) * 20.0 + 20
assert torch.allclose(perfect.softmax(1).gather(1, labels), torch.ones(1))
common = {"to_onehot_y": True, "softmax": True}
of_softmax = [DiceLoss(**common), DiceCELoss(**common), FocalLoss(to_onehot_y=True, use_softmax=True)]
of_sigmoid = [DiceFocalLoss(**common), GeneralizedDiceFocalLoss(**common), DiceFocalLoss(**common, lambda_dice=0)]
print("monai", monai.__version__, "torch", torch.__version__)
for loss in of_softmax + of_sigmoid:
    best, plain, moved = (loss(prediction, labels).item() for prediction in (perfect, logits, logits + 5))
    print(f"{type(loss).__name__}: of a perfect prediction {best:.2f}; of random logits {plain:.2f}, plus 5 {moved:.2f}")
    if loss in of_softmax:
        assert best < 1e-3 and abs(plain - moved) < 1e-4
    else:
        assert abs(best - 13.33) < 0.1 and moved > plain + 2, "changed: the focal part takes the softmax too"
PYTHON
