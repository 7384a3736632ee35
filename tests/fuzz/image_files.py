"""Damaged images and label images, and what reads them."""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import re
import struct
import zlib
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import SimpleITK
import tifffile
from PIL import Image
from swin_umamba.common.errors import UserError
from swin_umamba.common.images.label_files import read_label_image
from swin_umamba.common.images.nnunet_readers import READERS, register_readers
from swin_umamba.common.images.reading import image_size, open_nifti, read_array, read_nifti_labels, read_stored
from swin_umamba.common.images.stored import ImageFault
from swin_umamba.datasets import Case
from swin_umamba.datasets.case_checks import _check_case
from swin_umamba.evaluation import evaluate_folders
from swin_umamba.prediction.input_cases import CaseError, InputCase
from swin_umamba.prediction.input_images import read_image as read_input
from swin_umamba.pretraining.images import read_image as read_for_pretraining
from swin_umamba.pretraining.images import read_size

from tests.fuzz.damage import cut, flip, splice

NUMBERS = [0, 1, 2, 7, 8, 255, 256, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1]
FLOATS = [0.0, -1.0, float("nan"), float("inf"), 1e38, -1e-40, 3.4]
WORDS = [
    "0",
    "-1",
    "1e99",
    "nan",
    "99999999999999999999",
    "4294967296",
    "x" * 300,
    "",
    "2 2",
    "MET_DOUBLE",
    "raw",
    "bzip2",
]


class Target:
    """Small images in every format, six ways to damage one, and all that reads them."""

    def __init__(self, folder: Path) -> None:
        register_readers()
        self.folder = folder
        rng = np.random.default_rng(0)
        self.labels = (rng.integers(0, 3, (6, 9)) * (rng.random((6, 9)) > 0.2)).astype(np.uint8)
        self.sources = self._sources(rng)
        self.damages = [flip, flip, cut, splice, self.change_number, self.change_number, self.damage_inside]
        self.readers = [self.stored, self.stored_labels, self.label_image, self.size, self.array, self.nifti, self.case]
        self.readers += [self.pretraining, self.prediction, self.evaluation]
        for name in dir(imagecodecs):  # each codec is imported when a file names it
            getattr(imagecodecs, name, None)
        for ending, content in self.sources:  # what is imported at first use, is not the files' doing
            for damaged in (content, content[:-9], b"no image"):
                for reader in self.readers:
                    with contextlib.suppress(UserError):
                        reader(self._write(ending, damaged))

    def _sources(self, rng: np.random.Generator) -> list[tuple[str, bytes]]:
        grey, rgb = rng.integers(0, 256, (6, 9), np.uint8), rng.integers(0, 256, (6, 9, 3), np.uint8)
        palette = Image.fromarray(self.labels, "P")
        palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        images = [(".png", self.labels), (".png", rgb), (".png", grey.astype(np.uint16) * 250), (".png", palette)]
        images += [(".png", Image.fromarray(grey > 99)), (".bmp", grey), (".bmp", rgb), (".jpg", rgb)]
        sources = []
        Image.init()
        for ending, image in images:
            file = io.BytesIO()
            (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, Image.EXTENSION[ending])
            sources.append((ending, file.getvalue()))
        notes = Image.Exif()
        notes[0x0112], notes[0x010E] = 1, "seen"
        for ending in (".jpg", ".png"):
            file = io.BytesIO()
            Image.fromarray(rgb).save(file, Image.EXTENSION[ending], exif=notes, icc_profile=bytes(200))
            sources.append((ending, file.getvalue()))
        volume = np.stack([self.labels] * 4)
        options = [
            {},
            {"compression": "zlib"},
            {"bigtiff": True},
            {"rowsperstrip": 2},
            {"compression": "lzw", "predictor": True},
        ]
        options += [{"compression": "jpeg"}, {"photometric": "palette", "colormap": np.arange(768).reshape(3, 256)}]
        arrays = [self.labels, rgb, volume, grey.astype(np.float32), grey.astype(np.uint16), rgb, self.labels]
        for array, option in zip(arrays, options, strict=True):
            file = io.BytesIO()
            tifffile.imwrite(file, array, **option)
            sources.append((".tif", file.getvalue()))
        for dtype in (np.uint8, np.float32):
            nifti = nibabel.Nifti1Image(volume.T.astype(dtype), np.diag([1.0, 1.0, 2.0, 1.0]))
            sources += [(".nii", nifti.to_bytes()), (".nii.gz", gzip.compress(nifti.to_bytes(), 1))]
        image = SimpleITK.GetImageFromArray(volume)
        for ending in (".nrrd", ".mha", ".gipl"):
            for compressed in (False, True)[: 1 if ending == ".gipl" else 2]:
                path = self.folder / f"made{ending}"
                SimpleITK.WriteImage(image, str(path), compressed)
                sources.append((ending, path.read_bytes()))
                path.unlink()
        return sources

    def _write(self, ending: str, content: bytes) -> Path:
        for former in self.folder.glob("a_0000.*"):
            former.unlink()
        path = self.folder / f"a_0000{ending}"
        path.write_bytes(content)
        return path

    def make(self, generator: random.Random) -> Path:
        ending, content = generator.choice(self.sources)
        content = generator.choice(self.damages)(content, generator)
        if generator.random() < 0.1:
            content = flip(content, generator) if content else content
        if generator.random() < 0.05:
            ending = generator.choice(self.sources)[0]
        return self._write(ending, content)

    def damage_inside(self, content: bytes, generator: random.Random) -> bytes:
        """Damage what is compressed, or what has a checksum or a text for a header, in a file that is whole."""
        if content.startswith(b"\x1f\x8b"):
            inner = self.change_number(gzip.decompress(content), generator)
            return gzip.compress(generator.choice([flip, cut, splice])(inner, generator) or b"x", 1)
        if content.startswith(b"\x89PNG"):
            return _with_chunks(content, generator)
        if content.startswith((b"NRRD", b"ObjectType")):
            words = list(re.finditer(rb"[^\s=:,()]+", content[:400]))
            word = generator.choice(words)
            return content[: word.start()] + generator.choice(WORDS).encode() + content[word.end() :]
        return self.change_number(content, generator)

    def change_number(self, content: bytes, generator: random.Random) -> bytes:
        """Write other numbers into the header."""
        content = bytearray(content)
        for _ in range(generator.choice([1, 1, 2, 4])):
            form = generator.choice(["<B", "<H", ">H", "<I", ">I", "<Q", "<f", "<f"])
            number = (
                generator.choice(FLOATS) if form[1] == "f" else generator.choice(NUMBERS) % 256 ** struct.calcsize(form)
            )
            at = generator.randrange(0, max(1, min(len(content), 400) - 8), 2)
            content[at : at + struct.calcsize(form)] = struct.pack(form, number)
        return bytes(content)

    def stored(self, path: Path) -> None:
        with _told(path):
            read_stored(path)

    def stored_labels(self, path: Path) -> None:
        with _told(path):
            read_stored(path, labels=True)

    def label_image(self, path: Path) -> None:
        assert read_label_image(path).labels.min() >= 0

    def size(self, path: Path) -> None:
        image_size(path)
        read_size(path)

    def array(self, path: Path) -> None:
        read_array(path)

    def nifti(self, path: Path) -> None:
        open_nifti(path)
        read_nifti_labels(path, 2)

    def pretraining(self, path: Path) -> None:
        assert np.isfinite(read_for_pretraining(path).numpy()).all()

    def case(self, path: Path) -> None:
        """As image and label of a training."""
        reader = next((reader for reader in READERS if _ending(path) in reader.supported_file_endings), None)
        faults, *_ = _check_case(reader and reader(), Case("a", (path,), path), ["x"], {0, 1, 2})
        if faults:
            raise UserError(faults[0])

    def prediction(self, path: Path) -> None:
        reader = next((reader for reader in READERS if _ending(path) in reader.supported_file_endings), READERS[0])
        try:
            read_input(InputCase("a", (path,), _ending(path)), reader, 1)
        except CaseError as error:
            raise UserError(str(error)) from error

    def evaluation(self, path: Path) -> None:
        evaluate_folders(path, path, "labels")


@contextlib.contextmanager
def _told(path: Path):
    try:
        yield
    except ImageFault as fault:
        raise UserError(fault.of(path.name)) from fault


def _ending(path: Path) -> str:
    return path.name.removeprefix("a_0000")


def _with_chunks(content: bytes, generator: random.Random) -> bytes:
    """A PNG file with a chunk left out, doubled, or of other content, and the right checksums."""
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    place = generator.randrange(len(chunks))
    name, data = chunks[place]
    match generator.randrange(4):
        case 0:
            del chunks[place]
        case 1:
            chunks.insert(generator.randrange(len(chunks)), chunks[place])
        case 2 if name == b"IDAT":
            chunks[place] = (name, zlib.compress(generator.choice([b"", bytes(10_000_000), generator.randbytes(50)])))
        case _:
            data = generator.choice([flip, cut, splice])(data, generator) if data else generator.randbytes(4)
            chunks[place] = (generator.choice([name, name, b"tEXt", b"iCCP", b"zTXt", b"acTL"]), data)
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return content[:8] + b"".join(parts)
