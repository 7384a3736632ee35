"""A graph of ``torch.export`` as an ONNX file of standard operators, in one file with its weights."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from onnxscript import ir, optimizer
from torch.export import ExportedProgram

from . import onnx_linear_attention, onnx_scans
from .onnx_operators import OPSET, Scan, translations

INPUT, OUTPUT = "image", "logits"
ANY_SIZE = 2**40
SCANS = {
    "blocks": Scan(OPSET, onnx_scans.by_blocks, onnx_scans.block_size),
    "steps": Scan(OPSET, onnx_scans.by_steps, lambda channels: 1),
    "linear attention": Scan(
        onnx_linear_attention.OPSET, onnx_linear_attention.scan, lambda channels: onnx_linear_attention.CHUNK
    ),
}
"""By the name that `write_onnx` takes."""


def write_onnx(program: ExportedProgram, path: Path, scan: str) -> None:
    """Translate a graph with one input and one output, and write it.

    Parameters
    ----------
    program : torch.export.ExportedProgram
        In float32, for inference.
    path : pathlib.Path
        Where to write; the input is called ``image``, the output ``logits``.
    scan : str
        A key of `SCANS`.

    Raises
    ------
    torch.onnx.errors.OnnxExporterError
        The graph has an operator that has no translation.
    """
    with _silence():
        translated = torch.onnx.export(
            program,
            custom_translation_table=translations(SCANS[scan]),
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            optimize=False,  # below, once the weights are folded in
            verbose=False,
        )
    assert translated is not None
    model = translated.model
    model.opset_imports[""] = SCANS[scan].opset
    # What depends on weights alone is computed now, whatever its size. The Scans need it: OpenVINO takes nothing but
    # constants from outside of a body.
    optimizer.fold_constants(model, input_size_limit=ANY_SIZE, output_size_limit=ANY_SIZE)
    optimizer.optimize(model)
    # Names of source files on this machine among them.
    ClearMetadataAndDocStringPass()(model)
    ir.save(model, path)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without what the exporter tells its developers, such as that our translations have no types of onnxscript."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
