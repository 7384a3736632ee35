"""Dataset703_NeurIPSCell from the NeurIPS 2022 cell segmentation challenge, or from U-Mamba's release."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.exposure import rescale_intensity
from skimage.segmentation import find_boundaries

from ..common.errors import UserError
from ..common.images.formats import JPEG_ENDINGS, PLAIN_ENDINGS, TIFF_ENDINGS
from ..common.images.reading import png_bytes, read_array
from ..paper.data_sets import INSTANCES, MICROSCOPY
from .layout import NameForm, find_folder, list_files, pair_by_name, unknown_layout
from .preparation import OutputFile, Preparation, copy_of
from .release_layout import find_release, plan_release

EXPECTED = (
    "the challenge's archives unpacked (Training-labeled/images/cell_00001.png, "
    "Training-labeled/labels/cell_00001_label.tiff, Tuning/images, Tuning/labels) or U-Mamba's release "
    "(imagesTr/CASE_0000.png, labelsTr/CASE.png, imagesTs or imagesVal, labelsVal-instance-mask)"
)

IMAGE_NAME = NameForm(r"(.+)\.(?:png|bmp|tiff?|jpe?g)", "CASE.png, .bmp, .tif, .tiff or .jpg")
LABEL_NAME = NameForm(r"(.+)_label\.tiff?", "CASE_label.tiff")

SMALLEST_INTERIOR = 16
"""Connected interiors of fewer pixels are dropped."""


def interior_and_boundary(instances: np.ndarray) -> np.ndarray:
    """Turn numbered cells into interior 1 and boundary 2, as the challenge's baseline does.

    The boundary is each cell's outermost pixels, next to another cell or the background, widened by one pixel to its
    four sides; the interior is the rest of the cells, without connected parts (by sides) of fewer than 16 pixels.

    Parameters
    ----------
    instances : numpy.ndarray
        (H, W) integers; 0 is background.

    Returns
    -------
    numpy.ndarray
        (H, W) uint8.
    """
    boundary = ndimage.binary_dilation(find_boundaries(instances, mode="inner"))
    parts, _ = ndimage.label((instances > 0) & ~boundary)
    large = np.bincount(parts.ravel()) >= SMALLEST_INTERIOR
    large[0] = False
    labels: np.ndarray = large[parts].astype(np.uint8) * MICROSCOPY.labels["interior"]
    labels[boundary] = MICROSCOPY.labels["boundary"]
    return labels


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Turn an image of any type and 1, 3 or 4 channels into RGB of 8 bits, as the challenge's baseline does.

    Each channel is stretched between the 1st and 99th percentile of its values other than 0.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W), (H, W, 1), (H, W, 3), or (H, W, 4) whose last channel is dropped.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8.

    Raises
    ------
    UserError
        The image has another shape.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise UserError(f"shape {image.shape}; wanted are 1, 3 or 4 channels, (height, width, channels)")
    image = np.broadcast_to(image, (*image.shape[:2], 3)) if image.shape[2] == 1 else image[..., :3]
    rgb = np.zeros(image.shape, dtype=np.uint8)
    for channel in range(3):
        values = image[..., channel]
        bright = values[values != 0]
        if bright.size == 0:
            continue
        low, high = np.percentile(bright, [1, 99])
        if high - low > 0.001:
            rgb[..., channel] = rescale_intensity(values, in_range=(low, high), out_range="uint8")
        else:
            rgb[..., channel] = np.clip(values, 0, 255)
    return rgb


def _read_instances(path: Path) -> np.ndarray:
    instances = read_array(path, labels=True)
    if instances.ndim != 2 or not np.issubdtype(instances.dtype, np.integer):
        raise UserError(
            f"{path} has shape {instances.shape} and type {instances.dtype}; wanted are numbered cells, (height, width)"
        )
    return instances


def _image_file(target: str, image: Path) -> OutputFile:
    def make() -> bytes:
        array = read_array(image)
        try:
            return png_bytes(to_rgb(array))
        except UserError as error:
            raise UserError(f"{image}: {error}") from error

    return OutputFile(target, (image,), make)


def _label_file(target: str, image: Path, label: Path) -> OutputFile:
    def make() -> bytes:
        instances = _read_instances(label)
        size = read_array(image).shape[:2]
        if size != instances.shape:
            raise UserError(f"{image} has size {size}, its label {label} {instances.shape}")
        return png_bytes(interior_and_boundary(instances))

    return OutputFile(target, (image, label), make)


def _find_part(source: Path, names: tuple[str, ...]) -> Path | None:
    def is_part(folder: Path) -> bool:
        plain = folder.name.lower().replace("-", "").replace("_", "").replace(" ", "")
        return plain in names and (folder / "images").is_dir() and (folder / "labels").is_dir()

    return find_folder(source, is_part, 3, names[0])


def _plan_part(folder: Path, part: str) -> list[OutputFile]:
    pairs = pair_by_name(
        list_files(folder / "images", PLAIN_ENDINGS + JPEG_ENDINGS),
        list_files(folder / "labels", TIFF_ENDINGS),
        IMAGE_NAME,
        LABEL_NAME,
    )
    files = []
    for case, image, label in pairs:
        files.append(_image_file(f"images{part}/{case}_0000.png", image))
        files.append(_label_file(f"labels{part}/{case}.png", image, label))
        if part == "Ts":
            files.append(copy_of(f"{INSTANCES}/{case}_label.tiff", label))
    return files


def plan(source: Path) -> Preparation:
    """Plan Dataset703_NeurIPSCell from a download.

    The labelled training images and, as the test set, the tuning images, both as RGB of 8 bits; cells become interior
    and boundary, and the test set's numbered cells are kept beside, as F1 is computed from them. U-Mamba's release:
    checked and copied.

    Raises
    ------
    UserError
        The download has neither layout, or is not whole.
    """
    release = find_release(source, MICROSCOPY)
    training, tuning = _find_part(source, ("traininglabeled", "trainlabeled")), _find_part(source, ("tuning",))
    if release and training:
        raise UserError(f"{source} holds the challenge's images and U-Mamba's release ({release}); name one as SRC")
    if release:
        return plan_release(release, MICROSCOPY)
    if not training:
        raise unknown_layout(source, "NeurIPSCell", EXPECTED)
    files = _plan_part(training, "Tr")
    test = _plan_part(tuning, "Ts") if tuning else []
    counts = {"training images": len(files) // 2, "test images": len(test) // 3}
    notes = [] if tuning else ["the folder Tuning is missing, whose images are the paper's test set"]
    return Preparation(MICROSCOPY, "NeurIPS 2022 cell segmentation challenge", files + test, counts, notes)
