"""The formats of an exported model: how each is written, and how it is run to hold it to the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes
    ----------
    file : str
        Name of the model's file.
    write : callable
        Writes a graph to a path.
    load : callable
        Gives a function from an image, float32 (B, C, H, W), to its logits.
    """

    file: str
    write: Callable[[ExportedProgram, Path], object]
    load: Callable[[Path], Run]


def _write_pt2(program: ExportedProgram, path: Path) -> None:
    torch.export.save(program, path)


def _load_pt2(path: Path) -> Run:
    module = torch.export.load(path).module()
    # Its weights still ask for gradients.
    return lambda image: module(torch.from_numpy(image)).detach().numpy()


def _write_aoti(program: ExportedProgram, path: Path) -> None:
    torch._inductor.aoti_compile_and_package(program, package_path=str(path))


def _load_aoti(path: Path) -> Run:
    compiled = torch._inductor.aoti_load_package(str(path))
    return lambda image: compiled(torch.from_numpy(image)).detach().numpy()


def _write_onnx(program: ExportedProgram, path: Path, scan: str) -> None:
    from .onnx_file import write_onnx

    write_onnx(program, path, scan)


def _load_onnxruntime(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


def _load_openvino(path: Path) -> Run:
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda image: compiled(image)[0]


FORMATS = {
    "onnx": Format("model.onnx", partial(_write_onnx, scan="blocks"), _load_onnxruntime),
    "onnx-linear-attention": Format("model.onnx", partial(_write_onnx, scan="linear attention"), _load_onnxruntime),
    "onnx-openvino": Format("model.onnx", partial(_write_onnx, scan="steps"), _load_openvino),
    "pt2": Format("model.pt2", _write_pt2, _load_pt2),
    "aoti": Format("model.pt2", _write_aoti, _load_aoti),
}
"""By the name that the command takes, as `NEEDED` of the package."""
