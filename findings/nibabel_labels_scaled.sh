#!/usr/bin/env bash
# nibabel 5.4.2: a label map held in floating point and saved with set_data_dtype(uint8) is stretched to 0...255 and scaled back by the
# header, although every label fits as it stands. Each label then comes back up to half a step of the scale off, by nibabel and by
# SimpleITK 2.5.7 alike, and nnunetv2 2.8.1, which cuts fractions off, trains on other labels. No warning. (3 and 5 divide 255.)
#
# Seen: of the labels 0...7, 1 comes back as 0.988 and 3 as 2.992, and nnU-Net trains on 0, 0, 2, 2, 4 where 0, 1, 2, 3, 4 were
# meant. Of 0...117, as many as a whole-body atlas has, 57 become others. Saved from an integer array all are as they were.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6 torch==2.13.0 torchvision==0.28.0 nnunetv2==2.8.1
cd "$folder"
export nnUNet_raw=$folder nnUNet_preprocessed=$folder nnUNet_results=$folder
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import nibabel
import numpy as np
import SimpleITK
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager


def plans():
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "preprocessor_name": "DefaultPreprocessor", "spacing": [1.0, 1.0, 1.0], "patch_size": [8, 8, 8], "batch_size": 2,
        "normalization_schemes": ["NoNormalization"], "use_mask_for_norm": [False],
        "architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []}}
    for what in ("data", "seg", "probabilities"):
        configuration[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        configuration[f"resampling_fn_{what}_kwargs"] = {**resampling, "is_seg": what == "seg"}
    return PlansManager({
        "dataset_name": "none", "plans_name": "none", "image_reader_writer": "SimpleITKIO", "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2], "label_manager": "LabelManager", "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {"3d_fullres": configuration}})


def saved(dtype, top):
    labels = np.arange(top + 1).astype(dtype).reshape(-1, 1, 1).repeat(8, 1).repeat(8, 2)
    image = nibabel.Nifti1Image(labels, np.eye(4))
    image.set_data_dtype(np.uint8)
    nibabel.save(image, "labels.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones(labels.shape, np.int16), np.eye(4)), "image_0000.nii.gz")
    loaded = nibabel.load("labels.nii.gz").get_fdata()[:, 0, 0]
    by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("labels.nii.gz"))[0, 0]
    manager = plans()
    dataset = {"labels": {"background": 0, **{f"l{label}": label for label in range(1, top + 1)}}, "channel_names": {"0": "CT"}}
    _, trained, _ = DefaultPreprocessor(verbose=False).run_case(
        ["image_0000.nii.gz"], "labels.nii.gz", manager, manager.get_configuration("3d_fullres"), dataset)
    return loaded, by_itk, trained[0, 0, 0]


print("nibabel", nibabel.__version__, "SimpleITK", SimpleITK.Version.VersionString(), "nnunetv2", version("nnunetv2"))
for top, wrong in ((7, 3), (117, 57)):
    wanted = np.arange(top + 1)
    for kind in (np.uint8, np.float64):
        loaded, by_itk, trained = saved(kind, top)
        print(f"0...{top} as {np.dtype(kind)}: nibabel {loaded[:5].round(3)}, SimpleITK {by_itk[:5].round(3)}, nnU-Net {trained[:5]},",
              (trained != wanted).sum(), "of", top + 1, "labels other")
        np.testing.assert_allclose(loaded, by_itk, atol=1e-5)
        if kind is np.uint8:
            assert (loaded == wanted).all() and (trained == wanted).all()
        else:
            assert np.abs(loaded - wanted).max() > 0.01, "changed: the labels are stored as they stand"
            assert (trained != wanted).sum() == wrong, "changed: nnU-Net's labels"
PYTHON
