"""Weights of other networks are told by name, and refused."""

import pytest
import torch
from swin_umamba import SwinUMamba, load_pretrained
from swin_umamba.checkpoints import CheckpointError
from swin_umamba.checkpoints.architectures import recognize

from .checkpoints import SMALL, released_shapes, vmamba_weights

NAMES = {
    "a later version of VMamba": ["patch_embed.0.weight", "layers.0.blocks.0.op.A_logs", "classifier.head.weight"],
    "Vision Mamba": ["cls_token", "layers.0.mixer.A_log", "layers.0.norm.weight"],
    "Swin Transformer": ["patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table"],
    "SwinUNETR": ["swinViT.patch_embed.proj.weight", "encoder1.layer.conv1.conv.weight"],
    "UNETR": ["vit.patch_embedding.position_embeddings", "vit.blocks.0.mlp.linear1.weight", "encoder1.x.weight"],
    "nnFormer": ["embedding.0.convolution.weight", "bottleneck.blocks.0.norm.weight"],
    "SegResNet": ["convInit.conv.weight", "down_layers.0.1.conv1.conv.weight"],
    "U-Mamba_Enc": ["encoder.stages.0.blocks.0.conv1.conv.weight", "encoder.mamba_layers.0.mamba.A_log"],
    "U-Mamba_Bot": ["encoder.stages.0.blocks.0.conv1.conv.weight", "mamba.A_log", "decoder.seg_layers.0.weight"],
    "nnU-Net's ResidualEncoderUNet": ["encoder.stages.0.blocks.0.conv1.conv.weight", "decoder.seg_layers.0.weight"],
    "nnU-Net's PlainConvUNet": ["encoder.stages.0.0.convs.0.conv.weight", "decoder.seg_layers.0.weight"],
    "Vision Transformer": ["cls_token", "blocks.0.attn.qkv.weight"],
    "Segment Anything": ["image_encoder.pos_embed", "mask_decoder.iou_token.weight"],
    "ConvNeXt": ["downsample_layers.0.0.weight", "stages.0.0.dwconv.weight"],
    "ResNet": ["conv1.weight", "layer1.0.conv1.weight", "fc.weight"],
    "unknown": ["head.weight"],
}


@pytest.mark.parametrize("family", NAMES)
def test_other_networks_are_told_and_refused(tmp_path, make_network, family):
    weights = {name: torch.zeros(2, 2) for name in NAMES[family]}
    assert recognize(weights).family == family
    torch.save({"model": weights}, tmp_path / "a.pth")
    told = "a network that is not known here \\(1 tensors: head.weight, …\\)" if family == "unknown" else family
    fits = r"What fits are a checkpoint of the same network, and weights of VMamba \(embed_dim 8, depths 1-2-1-1\)$"
    with pytest.raises(CheckpointError, match=rf"It looks like {told}: another network\. {fits}"):
        load_pretrained(make_network(SwinUMamba), tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("embed_dim", "depths", "name"),
    [
        (96, (2, 2, 9, 2), "VMamba-Tiny (embed_dim 96, depths 2-2-9-2)"),
        (96, (2, 2, 27, 2), "VMamba-Small (embed_dim 96, depths 2-2-27-2)"),
        (128, (2, 2, 27, 2), "VMamba-Base (embed_dim 128, depths 2-2-27-2)"),
        (96, (1, 1, 1, 1), "VMamba (embed_dim 96, depths 1-1-1-1)"),
    ],
)
def test_sizes_of_vmamba_are_told(embed_dim, depths, name):
    weights = {
        f"layers.{stage}.blocks.{block}.{parameter}": torch.empty(embed_dim * 2**stage, device="meta")
        for stage, depth in enumerate(depths)
        for block in range(depth)
        for parameter in ("ln_1.weight", "self_attention.A_logs")
    }
    assert recognize(weights).title == name


def test_small_weights_have_the_released_names():
    """What the other tests load."""
    names = {name for name in released_shapes() if ".blocks." not in name}
    assert names <= set(vmamba_weights(**SMALL))


@pytest.mark.parametrize(
    "names", [["layers.0.blocks.0.self_attention.A_logs"], ["vssm_encoder.x", "stem.0.weight"], ["vssm_encoder.x"]]
)
def test_fragments_do_not_confuse(tmp_path, make_network, names):
    torch.save(dict.fromkeys(names, torch.tensor(1.0)), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_pretrained(make_network(SwinUMamba), tmp_path / "a.pth")
