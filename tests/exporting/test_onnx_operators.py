"""The operators as ONNX, in onnxruntime and OpenVINO, against themselves: odd sizes and extreme steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from swin_umamba.exporting.formats import FORMATS
from torch import Tensor, nn
from torch.export import Dim

import swin_umamba_ext

STATE, RANK, DIM = 4, 2, 6


class Scan2d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Parameter(torch.randn(4, RANK + 2 * STATE, DIM))
        self.dt_weight = nn.Parameter(torch.randn(4, DIM, RANK))
        # softplus from 1e-7 to 20, so that sums with one are rounded, and states that last
        self.dt_bias = nn.Parameter(torch.linspace(-16, 20, 4 * DIM).view(4, DIM))
        self.A_logs = nn.Parameter(torch.randn(4 * DIM, STATE))
        self.skip = nn.Parameter(torch.randn(4 * DIM))

    def forward(self, image: Tensor) -> Tensor:
        parameters = self.projection, self.dt_weight, self.dt_bias, self.A_logs, self.skip
        return swin_umamba_ext.ss2d(image, *parameters)


class Scan1d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dt = nn.Linear(DIM, DIM)
        self.BC = nn.Linear(DIM, 2 * STATE)
        self.A_log = nn.Parameter(torch.randn(DIM, STATE))
        self.D = nn.Parameter(torch.randn(DIM))

    def forward(self, image: Tensor) -> Tensor:
        sequence = image.transpose(1, 2)
        B, C = self.BC(image).transpose(1, 2).chunk(2, dim=1)
        dt = self.dt(image).transpose(1, 2)
        options = {"z": sequence, "delta_bias": self.dt.bias, "delta_softplus": True}
        return swin_umamba_ext.selective_scan(sequence, dt, -self.A_log.exp(), B, C, self.D, **options)


@pytest.mark.parametrize("form", ["onnx", "onnx-openvino", "onnx-linear-attention"])
@pytest.mark.parametrize(
    ("network", "axes", "shapes"),
    [
        (Scan2d, 3, [(1, 1, 1, DIM), (2, 1, 7, DIM), (1, 9, 4, DIM), (3, 5, 5, DIM), (1, 13, 10, DIM)]),
        (Scan1d, 2, [(1, 1, DIM), (3, 2, DIM), (2, 65, DIM)]),
    ],
)
def test_operators_of_any_size(network, axes, shapes, form, tmp_path: Path):
    torch.manual_seed(0)
    model, path = network().eval(), tmp_path / "model.onnx"
    dynamic = {axis: Dim(f"size{axis}", min=1, max=1000) for axis in range(axes)}
    with torch.no_grad():
        example = torch.randn(2, *[5 + axis for axis in range(1, axes)], DIM)
        FORMATS[form].write(torch.export.export(model, (example,), dynamic_shapes={"image": dynamic}), path)
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    [scan] = [node for node in written.graph.node if node.op_type == "Scan"]
    [body] = [attribute.g for attribute in scan.attribute if attribute.name == "body"]
    has = {"onnx": "Scan", "onnx-openvino": "Exp", "onnx-linear-attention": "LinearAttention"}[form]
    assert has in {node.op_type for node in body.node}
    assert [entry.version for entry in written.opset_import] == [27 if has == "LinearAttention" else 18]
    runs = [FORMATS[form].load(path)]
    if form == "onnx-openvino":
        runs.append(FORMATS["onnx"].load(path))
    for shape in shapes:
        image = torch.randn(shape)
        with torch.inference_mode():
            wanted = model(image).numpy()
        bound = 1e-4 * max(1.0, float(np.abs(wanted).max()))
        for run in runs:
            np.testing.assert_allclose(run(image.numpy()), wanted, rtol=0, atol=bound)
