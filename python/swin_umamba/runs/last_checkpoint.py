"""The checkpoint that a stopped training goes on from."""

from __future__ import annotations

from pathlib import Path

from ..checkpoints import CheckpointError
from ..common.errors import UserError
from ..common.files import link_atomically

_FOLDS = "*/*/fold_*"


def secure_last_checkpoint(results: Path, epochs: int) -> Path | None:
    """Find the checkpoint to go on from, and see to it that it has a name under which it is looked for.

    A run that was killed between the first two files of an epoch has ``checkpoint_best.pth`` alone, and so has one
    whose last checkpoint was deleted. The newest checkpoint that is left gets the name ``checkpoint_latest.pth`` as
    well, or ``checkpoint_final.pth`` after the last epoch, so that the training does not start at its first one again.

    Parameters
    ----------
    results : pathlib.Path
        What stands for ``nnUNet_results``, with the checkpoints of one training.
    epochs : int
        Of the whole training.

    Returns
    -------
    pathlib.Path or None
        ``None`` where no epoch has been finished.

    Raises
    ------
    UserError
        The one that is left is damaged, or holds something else.
    """
    for name in ("checkpoint_final.pth", "checkpoint_latest.pth"):
        found = next(results.glob(f"{_FOLDS}/{name}"), None)
        if found is not None:
            return found
    left = sorted(results.glob(f"{_FOLDS}/checkpoint_*.pth"), key=lambda path: path.stat().st_mtime)
    if not left:
        return None
    # Imported here, since it imports torch.
    from ..checkpoints.plain_data import read_entries

    try:
        finished = read_entries(left[-1], {"current_epoch": int})["current_epoch"]
    except CheckpointError as error:
        raise UserError(explain_damaged(left[-1], error)) from error
    last = left[-1].with_name(f"checkpoint_{'final' if finished >= epochs else 'latest'}.pth")
    link_atomically(left[-1], last)
    return last


def explain_damaged(path: Path, error: CheckpointError) -> str:
    """What to tell of a checkpoint of the run's own that cannot be read: there is no other copy of it to take.

    Parameters
    ----------
    path : pathlib.Path
        The checkpoint.
    error : CheckpointError
        Its last part is advice for a file that was downloaded.
    """
    what = str(error).rsplit("; ", 1)[0]
    left = sorted(other.name for other in path.parent.glob("checkpoint_*.pth") if other != path)
    if not left:
        return f"{what}; no other checkpoint of this training is left: start it again with another --output"
    return (
        f"{what}; of this training {' and '.join(left)} {'is' if len(left) == 1 else 'are'} left: delete {path.name}, "
        f"and the same command goes on from there"
    )
