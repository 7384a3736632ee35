"""Dataset704_Endovis17 from the EndoVis 2017 challenge, or from U-Mamba's release."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..common.errors import UserError
from ..common.images.formats import is_hidden
from ..common.images.reading import image_size, png_bytes, read_array
from ..paper.data_sets import ENDOSCOPY
from .layout import NameForm, folders_below, list_files, unknown_layout
from .preparation import OutputFile, Preparation
from .release_layout import find_release, plan_release

EXPECTED = (
    "the challenge's archives unpacked (instrument_*_training/instrument_dataset_1/left_frames/frame000.png and "
    "ground_truth/INSTRUMENT_labels/frame000.png, instrument_*_testing/instrument_dataset_1/left_frames, "
    "instrument_2017_test/.../instrument_dataset_1/gt/TypeSegmentation) or U-Mamba's release (imagesTr/CASE_0000.png, "
    "labelsTr/CASE.png, imagesTs, labelsTs)"
)

REDUCTION = 3
"""Frames of 1080 × 1920 become 360 × 640: from these nnU-Net plans the paper's crop of 384 × 640 with 13 a batch."""

FRAME_NAME = NameForm(r"(frame\d+)\.png", "frameNNN.png")

# Folders of masks are called after the instrument and often a side or make: Left_Prograsp_Forceps_labels,
# Maryland_Bipolar_Forceps_labels, Large_Needle_Driver_Right_labels, Other_labels.
FOLDER_WORDS = {
    "bipolar_forceps": ENDOSCOPY.labels["Bipolar Forceps"],
    "prograsp_forceps": ENDOSCOPY.labels["Prograsp Forceps"],
    "large_needle_driver": ENDOSCOPY.labels["Large Needle Driver"],
    "vessel_sealer": ENDOSCOPY.labels["Vessel Sealer"],
    "grasping_retractor": ENDOSCOPY.labels["Grasping Retractor"],
    "monopolar_curved_scissors": ENDOSCOPY.labels["Monopolar Curved Scissors"],
    "ultrasound_probe": ENDOSCOPY.labels["Ultrasound Probe"],
    "other": ENDOSCOPY.labels["Ultrasound Probe"],
}


@dataclass
class Sequences:
    """The folders of the challenge's videos, by their number."""

    training: dict[int, Path] = field(default_factory=dict)
    test: dict[int, Path] = field(default_factory=dict)
    test_types: dict[int, Path] = field(default_factory=dict)


def instrument_label(folder: str) -> int:
    """Return the label of the instrument after which a folder of masks is called.

    Raises
    ------
    UserError
        The name has none of the challenge's instruments.
    """
    label = next((label for word, label in FOLDER_WORDS.items() if word in folder.lower()), None)
    if label is None:
        raise UserError(f"{folder} is called after no known instrument; known are {', '.join(FOLDER_WORDS)}")
    return label


def find_sequences(source: Path) -> Sequences:
    """Find the videos of training and test set, however deep the archives were unpacked.

    Raises
    ------
    UserError
        One video is there twice.
    """
    found = Sequences()

    def add(kind: dict[int, Path], number: int, folder: Path) -> None:
        if number in kind:
            raise UserError(f"{source} holds the video {number} twice: {kind[number]} and {folder}; keep one")
        kind[number] = folder

    for folder in folders_below(source, 4):
        match = re.fullmatch(r"instrument_dataset_(\d+)", folder.name)
        if not match:
            continue
        number = int(match[1])
        if (folder / "ground_truth").is_dir():
            add(found.training, number, folder)
            continue
        types = next((t for t in (folder / "gt/TypeSegmentation", folder / "TypeSegmentation") if t.is_dir()), None)
        if types:
            add(found.test_types, number, types)
        if (folder / "left_frames").is_dir():
            add(found.test, number, folder)
    return found


def _frames(folder: Path) -> dict[str, Path]:
    return {FRAME_NAME.case_of(path): path for path in list_files(folder, [".png"])}


def _reduced_frame(path: Path, reduction: int) -> bytes:
    if reduction == 1:
        return path.read_bytes()
    rows, columns = (size // reduction for size in image_size(path)[0])
    frame = read_array(path)
    if frame.dtype != np.uint8:
        raise UserError(f"{path} has values of type {frame.dtype}; wanted is an RGB image of 8 bits a channel")
    blocks = frame.reshape(rows, reduction, columns, reduction, 3)
    return png_bytes(np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8))


def _reduced_types(types: np.ndarray, reduction: int) -> bytes:
    # The middle pixel of each block: labels have no mean.
    return png_bytes(np.ascontiguousarray(types[reduction // 2 :: reduction, reduction // 2 :: reduction]))


def merge_masks(masks: list[tuple[int, Path]]) -> np.ndarray:
    """Return the instrument types of one frame, (H, W) uint8, from its masks.

    Where masks overlap, a named instrument is kept over Other, and else the last in the order of the folders' names.
    """
    types: np.ndarray | None = None
    for label, path in sorted(masks, key=lambda mask: (mask[0] != FOLDER_WORDS["other"], mask[1].parent.name)):
        mask = read_array(path, labels=True)
        # Some videos' masks are stored in colour; any value but black is the instrument's.
        inside = mask.reshape(*mask.shape[:2], -1)[..., :3].any(axis=2)
        types = np.zeros(inside.shape, dtype=np.uint8) if types is None else types
        if inside.shape != types.shape:
            raise UserError(f"{path} has size {inside.shape}, the frame's other masks {types.shape}")
        types[inside] = label
    if types is None:
        raise ValueError("a frame without a mask")
    return types


def checked_types(path: Path) -> np.ndarray:
    """Return the instrument types of a test frame, (H, W) uint8, after a check of its labels."""
    types = read_array(path, labels=True)
    if types.ndim == 3 and (types[..., :3] == types[..., :1]).all():
        types = types[..., 0]
    largest = max(ENDOSCOPY.labels.values())
    if types.ndim != 2 or not np.issubdtype(types.dtype, np.integer) or types.max() > largest:
        raise UserError(
            f"{path} is no image of instrument types: shape {types.shape}, largest value {types.max()}; wanted is one "
            f"channel with labels from 0 to {largest}, as in TypeSegmentation (not in TypeSegmentationRescaled)"
        )
    return types.astype(np.uint8)


def _check_frame(frame: Path, masks: list[Path], reduction: int) -> None:
    size, mode = image_size(frame)
    if mode != "RGB":
        raise UserError(f"{frame} has the channels {mode}; wanted is an RGB image of 8 bits a channel")
    if size[0] % reduction or size[1] % reduction:
        raise UserError(
            f"{frame} has size {size}, which is no multiple of {reduction}; the challenge's frames of (1080, 1920) "
            f"are reduced to a third, --full-size keeps frames as they are"
        )
    for mask in masks:
        if image_size(mask)[0] != size:
            raise UserError(f"{frame} has size {size}, its mask {mask} {image_size(mask)[0]}")


def _frame_file(target: str, frame: Path, reduction: int) -> OutputFile:
    return OutputFile(target, (frame,), lambda: _reduced_frame(frame, reduction))


def _merged_file(target: str, masks: list[tuple[int, Path]], reduction: int) -> OutputFile:
    sources = tuple(path for _, path in masks)
    return OutputFile(target, sources, lambda: _reduced_types(merge_masks(masks), reduction))


def _types_file(target: str, types: Path, reduction: int) -> OutputFile:
    return OutputFile(target, (types,), lambda: _reduced_types(checked_types(types), reduction))


def _plan_training(number: int, folder: Path, reduction: int) -> list[OutputFile]:
    frames = _frames(folder / "left_frames")
    kinds = [path for path in sorted((folder / "ground_truth").iterdir()) if path.is_dir() and not is_hidden(path)]
    if not frames or not kinds:
        raise UserError(f"{folder} has {len(frames)} frames and {len(kinds)} folders of masks; is the download whole?")
    masks = [(instrument_label(kind.name), _frames(kind), kind) for kind in kinds]
    files = []
    for name, frame in frames.items():
        missing = [kind for _, of_kind, kind in masks if name not in of_kind]
        if missing:
            raise UserError(f"{frame} has no mask in {missing[0]}; is the download whole?")
        of_frame = [(label, of_kind[name]) for label, of_kind, _ in masks]
        _check_frame(frame, [path for _, path in of_frame], reduction)
        case = f"instrument_dataset_{number}_{name}"
        files.append(_frame_file(f"imagesTr/{case}_0000.png", frame, reduction))
        files.append(_merged_file(f"labelsTr/{case}.png", of_frame, reduction))
    return files


def _plan_test(sequences: Sequences, notes: list[str], reduction: int) -> list[OutputFile]:
    files: list[OutputFile] = []
    unlabelled = []
    for number, folder in sorted(sequences.test.items()):
        types = _frames(sequences.test_types[number]) if number in sequences.test_types else {}
        for name, frame in _frames(folder / "left_frames").items():
            case = f"instrument_dataset_{number}_{name}"
            if sequences.test_types and name not in types:
                unlabelled.append(case)
                continue
            _check_frame(frame, [types[name]] if types else [], reduction)
            files.append(_frame_file(f"imagesTs/{case}_0000.png", frame, reduction))
            if types:
                files.append(_types_file(f"labelsTs/{case}.png", types[name], reduction))
    if unlabelled:
        notes.append(f"left out, as they have no ground truth: {len(unlabelled)} test frames, such as {unlabelled[0]}")
    if sequences.test and not sequences.test_types:
        notes.append("the ground truth of the test videos (instrument_2017_test) is missing, so there is no labelsTs")
    return files


def plan(source: Path, *, full_size: bool = False) -> Preparation:
    """Plan Dataset704_Endovis17 from a download.

    The left frames of the training videos with one label image each, merged from the masks of the instruments, and
    the left frames of the test videos with their ``TypeSegmentation``, all reduced to a third of their height and
    width. U-Mamba's release: checked and copied.

    Parameters
    ----------
    source : pathlib.Path
        The download.
    full_size : bool
        Keep the challenge's frames as they are.

    Raises
    ------
    UserError
        The download has neither layout, or is not whole.
    """
    release, sequences = find_release(source, ENDOSCOPY), find_sequences(source)
    if release and sequences.training:
        raise UserError(f"{source} holds the challenge's videos and U-Mamba's release ({release}); name one as SRC")
    if release:
        if full_size:
            raise UserError(
                f"--full-size is for the challenge's frames; {release} is U-Mamba's release, which is copied"
            )
        return plan_release(release, ENDOSCOPY)
    if not sequences.training:
        raise unknown_layout(source, "Endovis17", EXPECTED)
    notes: list[str] = []
    reduction = 1 if full_size else REDUCTION
    files = []
    for number, folder in sorted(sequences.training.items()):
        files += _plan_training(number, folder, reduction)
    test = _plan_test(sequences, notes, reduction)
    counts = {
        "training images": len(files) // 2,
        "test images": sum(file.target.startswith("imagesTs/") for file in test),
    }
    options: dict[str, object] = {"frames_reduced_by": reduction}
    return Preparation(ENDOSCOPY, "EndoVis 2017 challenge", files + test, counts, notes, options)
