#!/usr/bin/env bash
# A PNG with a palette holds indices and the colours they stand for. Label maps mean the indices, pictures the colours, and each reader
# has one answer for both, without a word: monai 1.6.1 gives indices, so that a picture of few colours becomes the arbitrary numbers of
# its palette; SimpleITK 2.5.7, scikit-image 0.26.0 and by it nnunetv2 2.8.1 give colours, so that a label map has three channels, also
# where the palette is grey, and with a transparent index four by SimpleITK and three by scikit-image.
#
# Seen: labels 0, 1, 2 in black, red, green: monai (2, 3) of 0, 1, 2; nnU-Net's read_seg (3, 1, 2, 3) of 0 and 255.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1 monai==1.6.1 pillow==13.0.0 numpy==2.4.6 \
    scikit-image==0.26.0 SimpleITK==2.5.7
cd "$folder"
export nnUNet_raw=$folder nnUNet_preprocessed=$folder nnUNet_results=$folder
"$folder/venv/bin/python" - 2> log <<'PYTHON' || { cat log; exit 1; }
import numpy as np
import SimpleITK
from monai.transforms import LoadImage
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from PIL import Image
from skimage.io import imread

INDICES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
PALETTES = {"colours": [[0, 0, 0], [255, 0, 0], [0, 255, 0]], "greys": [[0] * 3, [128] * 3, [255] * 3]}

for name, palette in PALETTES.items():
    for options in ({}, {"transparency": 0}):
        image = Image.fromarray(INDICES)
        image.putpalette(np.ravel(palette).tolist())
        image.save("a.png", **options)
        colours = np.array(palette)[INDICES]
        by_monai = np.asarray(LoadImage(image_only=True)("a.png")).T
        by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("a.png"))
        by_skimage, labels = imread("a.png"), NaturalImage2DIO().read_seg("a.png")[0]
        print(f"{name}, {options or 'opaque'}: monai {by_monai.shape} {np.unique(by_monai)}, SimpleITK {by_itk.shape}, "
              f"scikit-image {by_skimage.shape}, nnU-Net's labels {labels.shape} {np.unique(labels)}")
        assert (by_monai == INDICES).all(), "changed: monai gives colours"
        assert by_itk.shape == (2, 3, 4 if options else 3) and (by_itk[..., :3] == colours).all(), "changed: SimpleITK"
        assert by_skimage.shape == (2, 3, 3) and (by_skimage == colours).all(), "changed: scikit-image"
        assert labels.shape == (3, 1, 2, 3) and (labels[:, 0] == np.moveaxis(colours, -1, 0)).all(), "changed: nnU-Net"
PYTHON
