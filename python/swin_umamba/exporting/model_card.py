"""The page of a model on the Hugging Face Hub, from the record of its run."""

from __future__ import annotations

from ..paper.systems import SYSTEMS
from ..runs.record import RunRecord

_HEAD = """\
---
library_name: swin-umamba
license: apache-2.0
pipeline_tag: image-segmentation
tags: [swin-umamba, medical, mamba]
---

# {title} on {dataset}

Segments {labels}. Research software, not a medical device.

```python
import torch
from swin_umamba import HubModel

network = HubModel.from_pretrained("path/of/this/folder")
logits = network(torch.zeros(1, {channels}, {height}, {width}))
```

`model.json` says how the input is made from an image, and what each of the logits stands for.
"""


def model_card(
    model: str,
    labels: tuple[str, ...],
    channels: int,
    patch: tuple[int, int],
    dataset: str,
    record: RunRecord | None,
) -> str:
    """The page as Markdown; ``record`` is ``None`` where only a checkpoint is known."""
    height, width = patch
    text = _HEAD.format(
        title=SYSTEMS[model].title,
        dataset=dataset,
        labels=", ".join(labels),
        channels=channels,
        height=height,
        width=width,
    )
    return text if record is None else text + _training(record) + _scores(record)


def _training(record: RunRecord) -> str:
    training = record.training
    start = training.pretrained
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    lines = [
        f"- {training.parameters:,} parameters, {len(training.train_loss)} epochs, batch {training.batch_size}, "
        f"patch {'x'.join(map(str, training.patch_size))}, seed {record.seed}",
        f"- trained on {record.device}, with {versions}",
        "- started from pretrained weights" if start is not None else "- started from random weights",
    ]
    return "\n## Training\n\n" + "\n".join(lines) + "\n"


def _scores(record: RunRecord) -> str:
    if record.held_out is None:
        return "\n## Scores\n\nNo case was held out.\n"
    rows = [
        f"| {name} | {record.held_out.dsc.per_class[name].mean:.4f} | {record.held_out.nsd.per_class[name].mean:.4f} |"
        for name in record.held_out.classes
    ]
    mean = f"| mean | {record.held_out.dsc.mean:.4f} | {record.held_out.nsd.mean:.4f} |"
    head = f"\n## Scores\n\nOf {record.held_out.cases} held-out cases ({record.held_out_from or 'by the run'}):\n\n"
    return head + "\n".join(["| | DSC | NSD |", "|---|---|---|", *rows, mean]) + "\n"
