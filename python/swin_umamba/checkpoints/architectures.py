"""Which network a set of weights belongs to, by the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ..common.text import one_line

SWIN_UMAMBA = "Swin-UMamba"
SWIN_UMAMBA_D = "Swin-UMamba†"
VMAMBA = "VMamba"
UNKNOWN = "unknown"

_VMAMBA_SIZES: dict[tuple[int | str, tuple[int, ...]], str] = {
    (96, (2, 2, 9, 2)): "VMamba-Tiny",
    (96, (2, 2, 27, 2)): "VMamba-Small",
    (128, (2, 2, 27, 2)): "VMamba-Base",
}

# Family, and patterns that must each match the start of at least one name. The first family that fits counts.
_SIGNATURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (SWIN_UMAMBA, (r"vssm_encoder\.", r"stem\.0\.")),
    (SWIN_UMAMBA_D, (r"vssm_encoder\.", r"decoder\.seg_layers\.")),
    (VMAMBA, (r"layers\.\d+\.blocks\.\d+\.self_attention\.A_logs",)),
    ("a later version of VMamba", (r"(backbone\.)?layers\.\d+\.blocks\.\d+\.op\.",)),
    ("Vision Mamba", (r"layers\.\d+\.mixer\.A_log",)),
    ("Swin Transformer", (r"(backbone\.)?layers\.\d+\.blocks\.\d+\.attn\.relative_position_bias_table",)),
    ("SwinUNETR", (r"swinViT\.",)),
    ("UNETR", (r"vit\.(blocks|patch_embedding)\.",)),
    ("SegResNet", (r"convInit\.", r"down_layers\.")),
    ("nnFormer", (r"embedding\.0\.convolution\.", r"bottleneck\.")),
    ("nnFormer", (r"model_down\.layers\.",)),
    ("U-Mamba_Enc", (r"encoder\.mamba_layers\.",)),
    ("U-Mamba_Bot", (r"mamba\.A_log", r"encoder\.stages\.")),
    ("nnU-Net's ResidualEncoderUNet", (r"encoder\.stages\.\d+\.blocks\.", r"decoder\.seg_layers\.")),
    ("nnU-Net's PlainConvUNet", (r"encoder\.stages\.\d+\.\d+\.convs\.", r"decoder\.seg_layers\.")),
    ("Vision Transformer", (r"(backbone\.)?blocks\.\d+\.attn\.qkv\.",)),
    ("Segment Anything", (r"image_encoder\.",)),
    ("ConvNeXt", (r"downsample_layers\.\d+\.",)),
    ("ResNet", (r"layer1\.0\.conv1\.",)),
)


@dataclass(frozen=True)
class Architecture:
    """What a set of weights looks like.

    Attributes
    ----------
    family : str
        Weights of one family have the same kind of layers; sizes can differ.
    title : str
        For people: the family, with sizes where they are known.
    """

    family: str
    title: str


def recognize(tensors: Mapping[str, Tensor]) -> Architecture:
    """Tell the architecture from the names and shapes of its tensors.

    Parameters
    ----------
    tensors
        Of a whole network, by name.
    """
    for family, patterns in _SIGNATURES:
        if all(any(re.match(pattern, name) for name in tensors) for pattern in patterns):
            return Architecture(family, _title(family, tensors))
    names = ", ".join(one_line(name, 20) for name in list(tensors)[:2])
    return Architecture(UNKNOWN, f"a network that is not known here ({len(tensors)} tensors: {names}, …)")


def encoder_title(tensors: Mapping[str, Tensor], prefix: str = "") -> str:
    """The VMamba whose blocks these are, such as ``VMamba-Tiny (embed_dim 96, depths 2-2-9-2)``.

    Parameters
    ----------
    tensors
        By name.
    prefix
        What stands before VMamba's own names.
    """
    embed_dim = _size(tensors, f"{prefix}layers.0.blocks.0.ln_1.weight", 0)
    depths = _depths(tensors, prefix)
    name = _VMAMBA_SIZES.get((embed_dim, depths), "VMamba")
    return f"{name} (embed_dim {embed_dim}, depths {'-'.join(map(str, depths))})"


def _title(family: str, tensors: Mapping[str, Tensor]) -> str:
    if family == VMAMBA:
        return encoder_title(tensors)
    if family not in (SWIN_UMAMBA, SWIN_UMAMBA_D):
        return family
    if family == SWIN_UMAMBA:
        channels = _size(tensors, "stem.0.weight", 1)
        classes = _size(tensors, "out_layers.0.conv.conv.weight", 0)
    else:
        channels = _size(tensors, "vssm_encoder.patch_embed.proj.weight", 1)
        classes = _size(tensors, "decoder.seg_layers.0.weight", 0)
    embed_dim = _size(tensors, "vssm_encoder.layers.0.blocks.0.ln_1.weight", 0)
    depths = "-".join(map(str, _depths(tensors, "vssm_encoder.")))
    return f"{family} (embed_dim {embed_dim}, depths {depths}, input channels {channels}, classes {classes})"


def _size(tensors: Mapping[str, Tensor], name: str, axis: int) -> int | str:
    tensor = tensors.get(name)
    return "?" if tensor is None or tensor.dim() <= axis else tensor.shape[axis]


def _depths(tensors: Mapping[str, Tensor], prefix: str) -> tuple[int, ...]:
    pattern = re.compile(re.escape(prefix) + r"layers\.(\d)\.blocks\.(\d{1,3})\.")
    blocks = {match.groups() for name in tensors if (match := pattern.match(name))}
    depths = Counter(stage for stage, _ in blocks)
    return tuple(depths[stage] for stage in sorted(depths))
