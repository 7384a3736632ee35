"""nnU-Net's readers and writers of images, by the rules of this package.

They have the names of nnU-Net's own, so that plans name the same reader; the files that both read, they read alike.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
from nnunetv2.imageio import (
    base_reader_writer,
    natural_image_reader_writer,
    nibabel_reader_writer,
    reader_writer_registry,
    simpleitk_reader_writer,
    tif_reader_writer,
)
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities import utils

from .encoding import write_pages
from .formats import ITK_ENDINGS, NIFTI_ENDINGS, TIFF_ENDINGS, image_ending, is_hidden
from .itk import itk_geometry, write_itk_labels
from .nifti import nifti_labels, write_nifti
from .reading import read_stored, read_stored_labels
from .stored import ImageFault, StoredImage, as_labels, coarse_in_float32, unusable_values

_FLAT_DEPTH = 999
"""nnU-Net's distance of slices where there is one, in pixels: so far that none is resampled with another."""


class _OneRule:
    """Reading and writing in place of a class of nnU-Net's."""

    n_axes: ClassVar[tuple[int, ...]] = (2, 3)

    def read_images(self, image_fnames: Sequence[str]) -> tuple[np.ndarray, dict[str, Any]]:
        """Read the channels of an image: float32 (C, Z, H, W), and what `write_seg` wants back."""
        images = [self.fitting(read_stored(Path(name))) for name in image_fnames]
        for image in images[1:]:
            same = image.values.shape[1:] == images[0].values.shape[1:] and image.n_axes == images[0].n_axes
            if not same or not np.allclose(image.spacing or 1, images[0].spacing or 1, rtol=1e-3):
                raise ImageFault("its channels differ in size or spacing")
        for channel in (channel for image in images for channel in image.values):
            if coarse := coarse_in_float32(channel):
                raise ImageFault(f"it holds {coarse}")
        array = np.concatenate([image.values for image in images], dtype=np.float32, casting="unsafe")
        return array, self._kept(images[0])

    def read_seg(self, seg_fname: str) -> tuple[np.ndarray, dict[str, Any]]:
        """Read a label image: float32 (1, Z, H, W) of whole numbers."""
        image = self.fitting(read_stored_labels(Path(seg_fname)))
        return image.values.astype(np.float32), self._kept(image)

    def write_seg(self, seg: np.ndarray, output_fname: str, properties: dict[str, Any]) -> None:
        """Write labels (Z, H, W) on the grid of the image that ``properties`` are of."""
        labels = _packed(seg)
        path = Path(output_fname)
        if image_ending(path) in NIFTI_ENDINGS and "nifti_header" in properties:
            write_nifti(path, nifti_labels(labels, header_of(properties["nifti_header"])))
        elif image_ending(path) not in NIFTI_ENDINGS and "sitk_stuff" in properties:
            write_itk_labels(path, labels, properties["sitk_stuff"])
        else:
            super().write_seg(labels, output_fname, properties)  # type: ignore[misc] # of the class beside this one

    def fitting(self, image: StoredImage) -> StoredImage:
        """Return an image; raise `ImageFault` unless it has as many axes as this reader takes."""
        if image.n_axes not in self.n_axes:
            slices = image.values.shape[1]
            raise ImageFault(
                f"it is a stack of {slices} slices where 2-D images are wanted; write each into its own file"
                if image.n_axes == 3
                else "it is a 2-D image where volumes are wanted; give a stack of slices"
            )
        return image

    def _kept(self, image: StoredImage) -> dict[str, Any]:
        if image.spacing is None:
            return {"spacing": (_FLAT_DEPTH, 1, 1)}
        spacing = [float(size) for size in image.spacing[::-1]]
        if image.n_axes == 2:
            spacing = [_FLAT_DEPTH * max(spacing), *spacing]
        kept: dict[str, Any] = {"spacing": spacing}
        if image.header is not None:
            # As bytes: a file of nnU-Net's may hold them, which others read.
            buffer = io.BytesIO()
            header = image.header.copy()
            header.extensions.clear()
            header.write_to(buffer)
            kept["nifti_header"] = buffer.getvalue()
        if image.affines or image.header is not None:
            kept["sitk_stuff"] = itk_geometry(image)
        return kept


def _packed(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16, copy=False)


def header_of(content: bytes) -> nibabel.Nifti1Header:
    """Return the header that a reader of this module keeps as ``nifti_header``."""
    kind = nibabel.Nifti2Header if len(content) >= nibabel.Nifti2Header.sizeof_hdr else nibabel.Nifti1Header
    header: nibabel.Nifti1Header = kind.from_fileobj(io.BytesIO(content), check=False)
    return header


class NaturalImage2DIO(_OneRule, natural_image_reader_writer.NaturalImage2DIO):
    """2-D images without a size in mm."""

    supported_file_endings: ClassVar[list[str]] = [".png", ".bmp", *TIFF_ENDINGS]
    n_axes: ClassVar[tuple[int, ...]] = (2,)


class SimpleITKIO(_OneRule, simpleitk_reader_writer.SimpleITKIO):
    """Volumes, and 2-D images of their formats."""

    supported_file_endings: ClassVar[list[str]] = [*NIFTI_ENDINGS, *ITK_ENDINGS]


class Tiff3DIO(_OneRule, tif_reader_writer.Tiff3DIO):
    """Stacks of pages, with a size in mm from a JSON file beside."""

    n_axes: ClassVar[tuple[int, ...]] = (3,)

    def write_seg(self, seg: np.ndarray, output_fname: str, properties: dict[str, Any]) -> None:
        """Write labels as grey pages, and their spacing beside."""
        path = Path(output_fname)
        write_pages(path, _packed(seg))
        spacing = [float(size) for size in properties["spacing"]]
        path.with_name(f"{path.name.rpartition('.')[0]}.json").write_text(json.dumps({"spacing": spacing}))


class NibabelIO(_OneRule, nibabel_reader_writer.NibabelIO):
    """NIfTI, as `SimpleITKIO` reads it."""

    def _kept(self, image: StoredImage) -> dict[str, Any]:
        kept = super()._kept(image)
        if image.affines:
            kept["nibabel_stuff"] = {"original_affine": image.affines[0]}
        elif image.header is not None:
            kept["nibabel_stuff"] = {"original_affine": image.header.get_best_affine()}
        return kept


class _Reoriented:
    """A reader that turns volumes to one orientation first: nnU-Net's own, of files that both read alike."""

    def read_images(self, image_fnames: Sequence[str]) -> tuple[np.ndarray, dict[str, Any]]:
        images = [read_stored(Path(name)) for name in image_fnames]
        array, kept = super().read_images(image_fnames)  # type: ignore[misc] # of the class beside this one
        self._compare(images[0], array, kept)
        return array, kept

    def read_seg(self, seg_fname: str) -> tuple[np.ndarray, dict[str, Any]]:
        image = read_stored_labels(Path(seg_fname))
        array, kept = super().read_seg(seg_fname)  # type: ignore[misc]
        self._compare(image, array, kept)
        return as_labels(array).astype(np.float32), kept

    def _compare(self, image: StoredImage, array: np.ndarray, kept: dict[str, Any]) -> None:
        sizes = sorted(image.spacing or ())
        if unusable := unusable_values(image.values):
            raise ImageFault(f"it holds {unusable}")
        same = sorted(array.shape[1:]) == sorted(image.values.shape[1:])
        if not same or not np.allclose(sorted(kept["spacing"])[: len(sizes)], sizes, rtol=1e-3):
            raise ImageFault(
                f"{type(self).__name__} reads it otherwise than its header says; leave "
                f"'overwrite_image_reader_writer' out of dataset.json"
            )


class SimpleITKIOWithReorient(_Reoriented, simpleitk_reader_writer.SimpleITKIOWithReorient):
    """nnU-Net's, checked."""


class NibabelIOWithReorient(_Reoriented, nibabel_reader_writer.NibabelIOWithReorient):
    """nnU-Net's, checked."""


READERS = (NaturalImage2DIO, SimpleITKIO, Tiff3DIO, NibabelIO, NibabelIOWithReorient, SimpleITKIOWithReorient)

_subfiles = utils.subfiles


def register_readers() -> None:
    """Let nnU-Net take these readers for its own in this process, and pass over the files that systems leave.

    Its search by name begins with the module of the base class, its choice by ending with the first of a list.
    """
    for reader in READERS:
        setattr(base_reader_writer, reader.__name__, reader)
    reader_writer_registry.LIST_OF_IO_CLASSES[:] = READERS
    utils.subfiles = _visible_files


def _visible_files(*args: Any, **options: Any) -> list[str]:
    return [name for name in _subfiles(*args, **options) if not is_hidden(Path(name))]


class Preprocessor(DefaultPreprocessor):
    """nnU-Net's, whose worker processes begin without these readers."""

    def run_case(self, *args: Any, **options: Any) -> Any:
        register_readers()
        return super().run_case(*args, **options)
