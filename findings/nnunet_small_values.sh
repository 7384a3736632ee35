#!/usr/bin/env bash
# nnunetv2 2.8.1 makes images of small values nearly constant, without a word. ZScoreNormalization, what every channel gets whose name is
# not known, divides by the standard deviation or 1e-8, whichever is larger: a diffusion map in m2/s, about 1e-9, is never brought to a
# deviation of 1. RGBTo01Normalization refuses values under 0 or over 255 but divides a float image of 0...1 by 255 like one of bytes.
#
# Seen: one diffusion map with values in mm2/s has a deviation of 1, in m2/s of 0.05; an RGB image in floats of 0...1 ends at 0.0039.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps nnunetv2==2.8.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from nnunetv2.preprocessing.normalization.map_channel_name_to_normalization import get_normalization_scheme

print("nnunetv2", version("nnunetv2"))
map_in_mm2 = np.random.default_rng(0).normal(1e-3, 5e-4, (8, 32, 32)).astype(np.float32)
deviations = {}
for unit, factor in (("mm2/s", 1), ("m2/s", 1e-6)):
    for masked in (False, True):
        normalize = get_normalization_scheme("ADC")(masked, {}).run
        result = normalize(map_in_mm2 * np.float32(factor), np.zeros(map_in_mm2.shape, np.int8))
        deviations[unit, masked] = float(result.std())
print("deviations of the normalised map:", deviations)
for masked in (False, True):
    assert abs(deviations["mm2/s", masked] - 1) < 1e-3
    assert abs(deviations["m2/s", masked] - 5e-10 / 1e-8) < 1e-3, "changed: small values are normalised"

rgb = np.linspace(0, 1, 3 * 16, dtype=np.float32).reshape(3, 1, 4, 4)
normalize = get_normalization_scheme("rgb_to_0_1")(False, {}).run
largest = float(normalize(rgb.copy()).max()), float(normalize(np.round(rgb * 255)).max())
print("largest value of an RGB image in floats of 0...1:", largest[0], "of the same in bytes:", largest[1])
assert largest[1] == 1
assert np.isclose(largest[0], 1 / 255), "changed: floats are told from bytes"
PYTHON
