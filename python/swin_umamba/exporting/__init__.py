"""A trained network as a file that runs without this package: ONNX, ``torch.export`` and AOTInductor."""

NEEDED = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "onnx-linear-attention": ("onnx", "onnxscript", "onnxruntime"),
    "onnx-openvino": ("onnx", "onnxscript", "openvino"),
    "pt2": (),
    "aoti": (),
    "hub": ("huggingface_hub",),
}
"""From each format to the packages that it takes beside those of the rest."""
