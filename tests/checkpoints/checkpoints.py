"""Small checkpoints of the layouts that are out there."""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DATA = Path(__file__).parent.parent / "data"
EMBED_DIM, DEPTHS, D_STATE = 8, (1, 2, 1, 1), 2
SMALL = {"embed_dim": EMBED_DIM, "depths": DEPTHS, "d_state": D_STATE}


def released_shapes() -> dict[str, list[int]]:
    """Names and shapes of the released VMamba-Tiny."""
    return json.loads((DATA / "vmamba_tiny.shapes.json").read_text())


def vmamba_weights(
    embed_dim: int = EMBED_DIM, depths: tuple[int, ...] = DEPTHS, d_state: int = D_STATE, seed: int = 0
) -> dict[str, Tensor]:
    """Random weights with the released names, of a smaller VMamba."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in released_shapes().items():
        layer, block = re.match(r"(?:layers\.(\d+)\.(?:blocks\.(\d+)\.)?)?", name).groups()
        if block is not None and int(block) >= depths[int(layer)]:
            continue
        weights[name] = torch.randn(_scaled(name, shape, int(layer or 3), embed_dim, d_state), generator=generator)
    return weights


def _scaled(name: str, shape: list[int], layer: int, embed_dim: int, d_state: int) -> list[int]:
    released_dim, dim = 96 * 2**layer, embed_dim * 2**layer
    released_rank, rank = math.ceil(released_dim / 16), math.ceil(dim / 16)
    if name.startswith("patch_embed."):
        return [embed_dim if size == 96 else size for size in shape]
    if name.endswith("x_proj_weight"):
        return [4, rank + 2 * d_state, 2 * dim]
    if name.endswith("dt_projs_weight"):
        return [4, 2 * dim, rank]
    if name.endswith("A_logs"):
        return [4 * 2 * dim, d_state]
    assert released_rank * 16 == released_dim
    return [size * embed_dim // 96 if size % 96 == 0 else size for size in shape]


def encoder_name(name: str) -> str | None:
    """Where the released name's tensor goes in the encoder of both networks; the oracle of these tests."""
    if name in ("norm.weight", "norm.bias", "head.weight", "head.bias"):
        return None
    return "vssm_encoder." + re.sub(r"layers\.(\d)\.downsample", r"downsamples.\1", name)


@contextlib.contextmanager
def module_with(name: str, **members: Any) -> Iterator[None]:
    """Let pickle find a class under the name of a package that need not be installed; afterwards it is not there."""
    former = {key: module for key, module in sys.modules.items() if key.split(".")[0] == name.split(".")[0]}
    module = types.ModuleType(name)
    for member, value in members.items():
        setattr(module, member, value)
        value.__module__, value.__qualname__ = name, member
    parent = types.ModuleType(name.split(".")[0])
    parent.__path__ = []
    sys.modules[parent.__name__], sys.modules[name] = parent, module
    try:
        yield
    finally:
        for key in (parent.__name__, name):
            sys.modules.pop(key, None)
        sys.modules.update(former)


class CfgNode(dict):
    """As in yacs: a dict with attributes of its own, which runs code when it is made or filled."""

    made = 0

    def __init__(self, items: dict | None = None) -> None:
        type(self).made += 1
        super().__init__(items or {})
        self.__dict__["__immutable__"] = True

    def __setstate__(self, state: dict) -> None:
        type(self).made += 1
        self.__dict__.update(state)


def released_checkpoint(weights: dict[str, Tensor], path: Path, **save_options: Any) -> Path:
    """A training checkpoint with the entries of the released one, among them a pickled yacs config."""
    with module_with("yacs.config", CfgNode=CfgNode):
        parameters = [torch.nn.Parameter(tensor.clone()) for tensor in list(weights.values())[:3]]
        optimizer = torch.optim.AdamW(parameters)
        sum(parameter.sum() for parameter in parameters).backward()
        optimizer.step()
        checkpoint = {
            "model": weights,
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": {"base_values": [1e-3], "warmup_t": 20, "lr_min": 1e-5},
            "max_accuracy": 82.2,
            "scaler": {"scale": 65536.0, "growth_factor": 2.0},
            "epoch": 292,
            "config": CfgNode({"MODEL": CfgNode({"TYPE": "vssm", "NUM_CLASSES": 1000}), "TAG": "tiny"}),
        }
        torch.save(checkpoint, path, **save_options)
    CfgNode.made = 0
    return path


def write_torch_zip(path: Path, pickle: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A zip file as of ``torch.save``, around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/byteorder", sys.byteorder)
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
        archive.writestr("archive/version", "3\n")
    return path
