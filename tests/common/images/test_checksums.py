"""Files that were damaged on their way are refused, where they hold what tells it."""

import gzip
import io

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image
from swin_umamba.common.images.reading import read_stored
from swin_umamba.common.images.stored import ImageFault

VOLUME = (np.random.default_rng(0).normal(size=(5, 30, 40)).cumsum(2) * 20).astype(np.int16)


def _nifti(path):
    path.write_bytes(gzip.compress(nibabel.Nifti1Image(VOLUME.T, np.eye(4)).to_bytes()))


def _png(path):
    Image.fromarray(VOLUME[0].astype(np.uint16)).save(path)


def _by_itk(path):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOLUME), str(path), True)


@pytest.mark.parametrize(
    ("ending", "write"), [(".nii.gz", _nifti), (".png", _png), (".mha", _by_itk), (".mhd", _by_itk), (".nrrd", _by_itk)]
)
def test_a_changed_bit_is_never_another_pixel(tmp_path, ending, write, capfd):
    write(path := tmp_path / f"a{ending}")
    pixels = path if ending != ".mhd" else path.with_suffix(".zraw")
    content, wanted = pixels.read_bytes(), read_stored(path).values
    assert wanted.shape == (1, 1 if ending == ".png" else 5, 30, 40)
    refused, generator = 0, np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[generator.integers(len(damaged) // 3, len(damaged))] ^= 1 << generator.integers(8)
        pixels.write_bytes(damaged)
        try:
            assert (read_stored(path).values == wanted).all()
        except ImageFault:
            refused += 1
    assert refused > 55
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".mhd", ".nrrd", ".png"])
def test_a_file_without_its_end_is_refused(tmp_path, ending, capfd):
    write = {".nii.gz": _nifti, ".png": _png}.get(ending, _by_itk)
    write(path := tmp_path / f"a{ending}")
    pixels = path if ending != ".mhd" else path.with_suffix(".zraw")
    content = pixels.read_bytes()
    for left in (len(content) // 2, len(content) - 30):
        pixels.write_bytes(content[:left])
        with pytest.raises(ImageFault):
            read_stored(path)
    assert capfd.readouterr() == ("", "")


def test_bytes_behind_a_packed_image_are_none_of_it(tmp_path):
    _nifti(path := tmp_path / "a.nii.gz")
    with open(path, "ab") as file:
        file.write(bytes(20) + b"signature")
    assert (read_stored(path).values[0] == VOLUME).all()


def test_packed_in_several_parts(tmp_path):
    content = nibabel.Nifti1Image(VOLUME.T, np.eye(4)).to_bytes()
    (path := tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    assert (read_stored(path).values[0] == VOLUME).all()


def test_a_metaimage_packed_by_gzip(tmp_path):
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb") as packed:
        packed.write(VOLUME.tobytes())
    head = "ObjectType = Image\nNDims = 3\nDimSize = 40 30 5\nElementType = MET_SHORT\nCompressedData = True\n"
    head += f"CompressedDataSize = {len(file.getvalue())}\nElementDataFile = LOCAL\n"
    (path := tmp_path / "a.mha").write_bytes(head.encode() + file.getvalue())
    assert (read_stored(path).values[0] == VOLUME).all()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"DimSize = 40 30 5", "its header cannot be followed: DimSize required and not defined"),
        (b"NDims = 3", "its header cannot be followed: .*NDims.*"),
        (b"ElementType = MET_SHORT", "its header cannot be followed: ElementType required and not defined"),
    ],
)
def test_metaio_is_not_heard_beside_the_reason(tmp_path, line, reason, capfd):
    _by_itk(path := tmp_path / "a.mha")
    content = path.read_bytes()
    assert line in content
    path.write_bytes(content.replace(line + b"\n", b""))
    with pytest.raises(ImageFault, match=f"^{reason}$"):
        read_stored(path)
    assert capfd.readouterr() == ("", "")
