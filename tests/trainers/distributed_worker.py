"""One of two gloo processes; ``test_distributed.py`` starts them by torchrun and reads what they write."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from swin_umamba.checkpoints.writing import write_checkpoint
from swin_umamba.common.errors import RunError
from swin_umamba.common.processes import Processes, Ranks
from tiny_trainer import GLOBAL_BATCH, TinySwinUMambaD, make_batch, make_trainer, pretrained_part, start_epoch


def _share(batch: dict, rank: int) -> dict:
    part = slice(2 * rank, 2 * rank + 2)
    return {
        "data": batch["data"][part],
        "target": [scale[part] for scale in batch["target"]],
        "keys": batch["keys"][part],
    }


def _first_step(make, rank: int) -> dict:
    trainer = make(pretrained=False)
    start_epoch(trainer, 0)
    loss = trainer.train_step(_share(make_batch(trainer, GLOBAL_BATCH), rank))["loss"]
    gradients = {name: p.grad for name, p in trainer._bare_network().named_parameters() if p.grad is not None}
    return {"loss": float(loss), "gradients": gradients, "oversampled": trainer.oversample_foreground_percent}


def _freezing(make, rank: int) -> dict:
    trainer = make(freeze_encoder_epochs=2)
    found = {"frozen": [], "weights": []}
    for epoch in range(4):
        before = pretrained_part(trainer._bare_network())
        start_epoch(trainer, epoch)
        if epoch == 0:
            # The first wrapping gives all processes the weights of the first one.
            before = pretrained_part(trainer._bare_network())
        trainer.train_step(_share(make_batch(trainer, GLOBAL_BATCH), rank))
        after = pretrained_part(trainer._bare_network())
        found["frozen"].append([torch.equal(after[name], before[name]) for name in before])
        found["weights"].append(after)
    return found


def _epoch(make, rank: int) -> dict:
    trainer = make(pretrained=False, num_epochs=1, num_iterations_per_epoch=2, num_val_iterations_per_epoch=2)
    written: list[str] = []
    sys.addaudithook(lambda event, args: written.append(str(args[0])) if _opens_to_write(event, args) else None)
    trainer.run_training()
    return {"logging": trainer.logger.get_checkpoint(), "folder": trainer.output_folder, "written": [*written]}


def _opens_to_write(event: str, args: tuple) -> bool:
    return event == "open" and isinstance(args[1], str) and bool(set(args[1]) & set("wax+"))


def _bad_image(make, rank: int) -> dict:
    trainer = make(pretrained=False)
    start_epoch(trainer, 0)
    batch = make_batch(trainer, GLOBAL_BATCH)
    batch["data"][3, 0, 3, 3] = math.nan  # in the share of the second process
    try:
        trainer.train_step(_share(batch, rank))
    except RunError as error:
        return {"message": str(error)}
    except SystemExit as ended:
        return {"exit": ended.code}
    return {}


def main(run: str, dataset: str, output: str) -> None:
    processes = Processes(Ranks.from_environment())
    processes.join(torch.device("cpu"))
    rank = processes.rank
    assert processes.first_does(lambda: processes.rank) == 0

    def make(**attributes):
        return make_trainer(TinySwinUMambaD, Path(run), Path(dataset), {"batch_size": GLOBAL_BATCH}, **attributes)

    scenarios = (_first_step, _freezing, _epoch, _bad_image)
    write_checkpoint(Path(output, f"rank{rank}.pt"), {part.__name__[1:]: part(make, rank) for part in scenarios})
    processes.leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
