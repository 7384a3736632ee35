"""Predict the labels of an image with the exported model beside this file: python predict.py IMAGE [IMAGE ...] OUTPUT

Several images are the channels of one. Needs numpy and Pillow, and what runs the model: onnxruntime, or openvino.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent


def load(model):
    path = str(FOLDER / model["file"])
    if model["format"] == "onnx-openvino":
        import openvino

        # Else it computes in bfloat16 where the processor has it.
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda tile: compiled(tile)[0]
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda tile: session.run(None, {"image": tile})[0]


def read(path):
    try:
        image = Image.open(path)
        shown = image.convert("RGBA" if "transparency" in image.info else "RGB") if image.mode == "P" else image
        values = np.asarray(shown, np.float32)
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error}")
    # What Pillow would change without a word: further pages, pixels turned round, and the bits of a colour above 8.
    if (pages := getattr(image, "n_frames", 1)) > 1:
        sys.exit(f"{path} holds {pages} images; write each into its own file")
    if image.getexif().get(0x0112, 1) > 1:
        sys.exit(f"{path} is stored turned or mirrored; store it upright")
    bits = Path(path).read_bytes()[24] if image.format == "PNG" else max(getattr(image, "tag_v2", {}).get(258, (8,)))
    if bits != 8 and image.mode in ("L", "LA", "RGB", "RGBA"):
        sys.exit(f"{path} has {bits} bits for a {image.mode} value, and Pillow reads 8; give each channel as grey")
    return np.atleast_3d(values).transpose(2, 0, 1)


def normalize(channel, rule):
    if rule["clip"]:
        channel = channel.clip(*rule["clip"])
    of_image = {"mean": channel.mean(), "std": channel.std(), "min": channel.min(), "range": np.ptp(channel)}
    subtract, divide = (of_image.get(rule[key], rule[key]) for key in ("subtract", "divide"))
    return (channel - subtract) / max(divide, 1e-8)


def starts(size, patch, step):
    return np.rint(np.linspace(0, size - patch, 1 + int(np.ceil((size - patch) / (patch * step))))).astype(int)


def sliding_window(run, image, model):
    """The sum of overlapping tiles, the middle of each counting most, as nnU-Net has it."""
    size, patch, fitting = (np.array(numbers) for numbers in (image.shape[1:], model["patch_size"], model["tile_size"]))
    missing = np.maximum(patch - size, 0)
    image = np.pad(image, [(0, 0), *((n // 2, n - n // 2) for n in missing)])
    weight = np.outer(*(np.exp(-32 * ((np.arange(n) - n // 2) / n) ** 2) for n in patch)).astype(np.float32)
    total = np.zeros((model["outputs"], *image.shape[1:]), np.float32)
    for top in starts(image.shape[1], patch[0], model["step_size"]):
        for left in starts(image.shape[2], patch[1], model["step_size"]):
            place = np.s_[:, top : top + patch[0], left : left + patch[1]]
            tile = np.pad(image[place], [(0, 0), *((0, n) for n in fitting - patch)], "edge")
            total[place] += run(tile[None])[0, :, : patch[0], : patch[1]] * weight
    top, left = missing // 2
    return total[:, top : top + size[0], left : left + size[1]]


def predict(image, model, run):
    labels = np.zeros(image.shape[1:], np.uint8 if max(model["values"]) < 256 else np.uint16)
    axes = np.nonzero(image.any(0) | ~image.any())
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in axes)
    channels = zip(image, model["normalization"], strict=True)
    image = np.stack([normalize(channel[box], rule) for channel, rule in channels]).astype(np.float32)
    scores = sliding_window(run, image, model)
    if not model["regions"]:
        labels[box] = np.array(model["values"])[scores.argmax(0)]
    for score, value in zip(scores, model["values"] if model["regions"] else (), strict=False):
        labels[box][score > 0] = value
    return labels


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    description = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
    *inputs, output = sys.argv[1:]
    if Path(output).suffix.lower() not in (".png", ".tif", ".tiff", ".bmp"):
        sys.exit(f"{output}: labels are written as .png, .tif or .bmp; other formats may change them")
    if not Path(output).parent.is_dir():
        sys.exit(f"the folder of {output} does not exist")
    images = [read(path) for path in inputs]
    if len({image.shape[1:] for image in images}) > 1:
        sys.exit(f"the images have different sizes: {', '.join(f'{n} x {m}' for _, n, m in map(np.shape, images))}")
    picture = np.concatenate(images)
    if len(picture) != len(description["channels"]):
        sys.exit(f"the model takes {len(description['channels'])} channels, the images have {len(picture)}")
    Image.fromarray(predict(picture, description, load(description))).save(output)
