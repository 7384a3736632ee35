"""Open what the user gave and check all of it before any training."""

from __future__ import annotations

from pathlib import Path

from ..common.console import capture_output
from ..common.errors import Faults, UserError
from ..common.progress import progress_bar
from ..datasets import Case, RawDataset, check_cases, open_raw_dataset
from ..datasets.digests import describe_doubles
from ..datasets.group_folds import describe_leak, with_groups
from ..datasets.raw_dataset import check_fold
from ..datasets.sample import LABELS
from ..paper.data_sets import INSTANCES
from ..paper.protocol import find_protocol
from ..runs.settings import Settings


def open_checked_dataset(settings: Settings, output: Path, needs_held_out: bool = False) -> RawDataset | None:
    """Open the data set of a training and read every case of it.

    Parameters
    ----------
    settings : Settings
        ``dataset``, ``fold`` and ``group_by`` are used.
    output : Path
        Results folder, absolute.
    needs_held_out : bool
        Whether there must be labelled cases apart from those that are trained on, with all that the paper's metric
        takes on its data sets.

    Returns
    -------
    RawDataset or None
        ``None`` for the sample, which is made later.

    Raises
    ------
    UserError
        The data set or one of its cases is unusable, has no such fold, or contains the results folder.
    """
    if settings.dataset is None:
        if settings.group_by is not None:
            raise UserError("--group-by: the sample's own split keeps apart what belongs together; leave it out")
        if settings.fold not in (0, "all"):
            raise UserError(f"--fold {settings.fold}: the sample has one split; use --fold 0 or --fold all")
        return None
    if settings.sample != "brain":
        raise UserError(f"--sample {settings.sample}: a data set was named, {settings.dataset}; leave one of them out")
    # nnU-Net and its readers talk to the terminal; the error says it in one line.
    with capture_output(None) as console:
        faults = Faults()
        dataset = open_raw_dataset(settings.dataset, faults)
        if not faults.found:
            dataset = with_groups(dataset, settings.group_by)
            check_fold(dataset, settings.fold)
        if needs_held_out and settings.fold == "all" and not dataset.held_out and not faults.found:
            raise UserError(
                f"--fold all: {dataset.name} has no labelled test cases (labelsTs), so there would be no held-out "
                f"cases to compare by; give a fold"
            )
        if not faults.found and dataset.groups is None:
            trained, scored = _used(dataset, settings.fold)
            if leak := describe_leak((case.identifier for case in trained), [case.identifier for case in scored]):
                console.print(leak, soft_wrap=True)
        protocol = find_protocol(dataset.name)
        counts_cells = protocol is not None and protocol.metric == "cells" and bool(dataset.held_out)
        if needs_held_out and counts_cells and not (dataset.folder / INSTANCES).is_dir():
            raise UserError(
                f"{dataset.folder} has no folder {INSTANCES}, by whose cells the systems would be compared; "
                f"make the data set with swin-umamba prepare"
            )
        if dataset.folder.resolve() in (output, *output.parents):
            raise UserError(f"--output {output} lies inside the data set, which is never written to")
        cases = [*dataset.training, *dataset.held_out]
        console.announce("checking", f"{dataset.name}: {len(cases)} cases")
        with progress_bar(console) as bar:
            task = bar.add_task("checking", total=len(cases))
            dataset = check_cases(dataset, cases, lambda: bar.advance(task), faults)
        if dataset.digests and (doubles := describe_doubles(dataset.digests, *_used(dataset, settings.fold))):
            console.announce("caution", doubles)
    return dataset


def _used(dataset: RawDataset, fold: int | str) -> tuple[list[Case], list[Case]]:
    """The cases that will be trained on, and those that will be scored."""
    trained, scored = list(dataset.training), list(dataset.held_out)
    if fold != "all":
        # Without folds of the data set nnU-Net makes these.
        from nnunetv2.utilities.crossval_split import generate_crossval_split

        by_name = {case.identifier: case for case in dataset.training}
        split = (dataset.splits or generate_crossval_split(sorted(by_name)))[int(fold)]
        trained = [by_name[str(name)] for name in split["train"]]
        scored = scored or [by_name[str(name)] for name in split["val"]]
    return trained, scored


def try_pretrained(settings: Settings, dataset: RawDataset | None) -> None:
    """Raise `UserError` if the pretrained weights do not fit: better now than after hours of preprocessing."""
    assert settings.pretrained is not None
    from ..checkpoints import load_pretrained
    from ..networks.build import build_model

    channels = (1, len(LABELS)) if dataset is None else (dataset.n_channels, dataset.n_outputs)
    network = build_model(settings.model, *channels)
    load_pretrained(network, settings.pretrained, settings.input_channels)
