"""A trained network as a file that runs without this package: ONNX, ``torch.export`` and AOTInductor."""
