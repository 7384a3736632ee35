"""Predict images that may be DICOM, which are read as what other images are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import RunError, UserError
from ..common.summary import note
from .prediction import PredictionRequest, predict

if TYPE_CHECKING:
    from ..common.images.dicom.staging import Staged, StagedSeries
    from ..datasets.segment_codes import SegmentCodes
    from ..prediction.input_cases import InputCase


def predict_images(
    request: PredictionRequest,
    dicom_seg: str | None = None,
    irregular: bool = False,
    segment_codes: Path | None = None,
) -> None:
    """Predict by `predict`; of DICOM each series as one image.

    Parameters
    ----------
    request : PredictionRequest
        What is predicted.
    dicom_seg : str or None
        Also write ``CASE.dcm`` of each series, of one of the kinds of `dicom_seg.KINDS`.
    irregular : bool
        Take series that are no even stacks.
    segment_codes : pathlib.Path or None
        Table of what labels are, for ``dicom_seg``; before what ``dataset.json`` says of them.

    Raises
    ------
    UserError, RunError
        As `predict`; or a series cannot be used, or ``dicom_seg`` is asked for other images.
    """
    source = request.input.expanduser()
    # A scan of names, and of some bytes of files with unknown ones; libraries are imported where there is DICOM.
    from ..common.images.dicom.staging import holds_dicom, staged

    if segment_codes is not None and dicom_seg is None:
        raise UserError("--segment-codes is for --dicom-seg; say both")
    if not source.exists() or not holds_dicom(source):
        if dicom_seg is not None or irregular:
            raise UserError(f"--dicom-seg and --irregular are for DICOM; {source} holds none")
        return predict(request)

    from ..common.console import PlainConsole
    from ..datasets.segment_codes import read_code_table
    from ..prediction.dicom_seg import require_highdicom

    codes = {} if segment_codes is None else read_code_table(segment_codes)
    if dicom_seg is not None:
        require_highdicom()
        if request.part is not None:
            raise UserError("--dicom-seg: leave it out of parts, and say it with --skip-existing when all are done")
    output = request.output.expanduser()
    if source.resolve() in (output.resolve(), *output.resolve().parents):
        raise UserError(f"{output} is inside the folder of the images {source}; choose another OUTPUT")
    console = PlainConsole()
    with staged(source, output, irregular=irregular) as found:
        console.print(f"read {len(found.series)} DICOM images in {source}", soft_wrap=True)
        for remark in found.notes:
            console.print(f"note: {remark}", soft_wrap=True)
        note(notes=found.notes)

        def find(n_channels: int) -> list[InputCase]:
            # Not by the names, of which some end as if they were channels of one image.
            return [_case_of(one, n_channels) for one in found.series]

        failure = None
        try:
            predict(replace(request, input=found.folder), find)
        except RunError as error:
            # Some were predicted.
            failure = error
        if dicom_seg is not None:
            _write_segmentations(found, output, dicom_seg, codes, console.print)
    if failure is not None:
        raise failure


def _case_of(series: StagedSeries, n_channels: int) -> InputCase:
    from ..common.images.formats import image_ending
    from ..prediction.input_cases import InputCase

    # What was stored in colour is colour to a model of colours, though it is grey.
    times = 3 if series.is_grey_as_colour and n_channels == 3 else 1
    return InputCase(series.case, series.images * times, image_ending(series.images[0]) or "")


def _write_segmentations(
    found: Staged,
    output: Path,
    kind: str,
    codes: Mapping[str, SegmentCodes],
    say: Callable[..., None],
) -> None:
    from ..common.images.reading import read_stored_labels
    from ..common.typed_json import load_json
    from ..datasets.segment_codes import segment_codes
    from ..prediction.dicom_seg import segments_of, write_dicom_seg

    description = load_json(output / "dataset.json")
    codes = {**segment_codes(description, output / "dataset.json"), **codes}
    segments = segments_of(description["labels"], codes)
    if codes and (bare := [segment.name for segment in segments if segment.codes is None]):
        say(f"note: no code is given for {', '.join(bare)}", soft_wrap=True)
    written, blank, faults = 0, set(), []
    for series in found.series:
        path = output / f"{series.case}{_case_of(series, 1).ending}"
        if not path.is_file():  # it could not be predicted, as is told
            continue
        try:
            labels = read_stored_labels(path).values[0]
            blank |= set(
                write_dicom_seg(output / f"{series.case}.dcm", labels, series.files, series.frames, segments, kind)
            )
            written += 1
        except UserError as error:
            faults.append(str(error))
    note(dicom_seg={"written": written, "failed": faults})
    say(f"wrote {written} DICOM-SEG objects to {output}", soft_wrap=True)
    if blank:
        say(f"note: some series lack {', '.join(sorted(blank))}, which are empty in the DICOM-SEG", soft_wrap=True)
    if faults:
        raise RunError(f"{len(faults)} series have no DICOM-SEG: {faults[0]}")
