"""The port of nnFormer: its windows, its skip attention, and what it takes."""

import pytest
import torch
import torch.nn.functional as F
from swin_umamba.networks.nnformer import NNFormer, TransformerLayer
from swin_umamba.networks.window_attention import WindowAttention, shifted_window_mask


def small(*arguments, **options):
    torch.manual_seed(0)
    return NNFormer(*arguments, embed_dim=16, head_dim=4, **options)


def attend(attention, queries, keys, bias=None):
    """Attention of two lists of vectors, head by head."""
    q = attention.query(queries)
    k, v = attention.key_value(keys).chunk(2, dim=-1)
    heads = []
    for h, (qh, kh, vh) in enumerate(zip(*(t.chunk(attention.heads, -1) for t in (q, k, v)), strict=True)):
        scores = qh @ kh.T / qh.shape[-1] ** 0.5
        heads.append(F.softmax(scores if bias is None else scores + bias[h], dim=-1) @ vh)
    return attention.proj(torch.cat(heads, dim=-1))


def relative_bias(attention, window):
    """bias[h][i, j] of the pixels i and j of a window, from the table's definition."""
    bias = torch.empty(attention.heads, window**2, window**2, dtype=torch.float64)
    for i in range(window**2):
        for j in range(window**2):
            rows, columns = i // window - j // window, i % window - j % window
            bias[:, i, j] = attention.position_bias[(rows + window - 1) * (2 * window - 1) + columns + window - 1]
    return bias


def test_each_window_attends_alone():
    attention = WindowAttention(8, 2, window=2).double()
    x = torch.randn(1, 4, 6, 8, dtype=torch.float64)
    y, bias = attention(x), relative_bias(attention, 2)
    for row in (0, 2):
        for column in (0, 2, 4):
            window = x[0, row : row + 2, column : column + 2].reshape(4, 8)
            expected = attend(attention, window, window, bias).reshape(2, 2, 8)
            torch.testing.assert_close(y[0, row : row + 2, column : column + 2], expected)


def test_shifted_windows_cross_borders_but_not_the_edge():
    attention = WindowAttention(8, 2, window=4, shifted=True).double()
    x = torch.randn(1, 8, 8, 8, dtype=torch.float64)
    y, bias = attention(x), relative_bias(attention, 4)
    middle = x[0, 2:6, 2:6].reshape(16, 8)
    torch.testing.assert_close(y[0, 2:6, 2:6], attend(attention, middle, middle, bias).reshape(4, 4, 8))
    # The upper left corner shares its rolled window with three other corners, and sees none of them.
    corner = x[0, :2, :2].reshape(4, 8)
    inside = [4 * row + column for row in (2, 3) for column in (2, 3)]
    expected = attend(attention, corner, corner, bias[:, inside][:, :, inside]).reshape(2, 2, 8)
    torch.testing.assert_close(y[0, :2, :2], expected)


def test_axis_that_one_window_covers_is_not_shifted():
    attention = WindowAttention(8, 2, window=4, shifted=True)
    plain = WindowAttention(8, 2, window=4)
    plain.load_state_dict(attention.state_dict())
    x = torch.randn(2, 4, 4, 8)
    assert torch.equal(attention(x), plain(x))
    assert not torch.allclose(attention(x.repeat(1, 2, 1, 1)), plain(x.repeat(1, 2, 1, 1)))


def test_mask_without_shift_is_empty():
    assert not shifted_window_mask(8, 12, 4, (0, 0), torch.device("cpu")).any()


def test_global_attention_covers_a_map_of_any_size():
    attention = WindowAttention(8, 2).double()
    x = torch.randn(1, 3, 5, 8, dtype=torch.float64)
    pixels = x.reshape(15, 8)
    torch.testing.assert_close(attention(x), attend(attention, pixels, pixels).reshape(1, 3, 5, 8))


def test_skip_attention_asks_with_the_decoder_and_answers_with_the_encoder():
    layer = TransformerLayer(8, 2, from_skip=True).double()
    x, skip = torch.randn(2, 1, 2, 3, 8, dtype=torch.float64)
    attention = layer.attention
    attended = attend(attention, layer.norm1(x).reshape(6, 8), layer.skip_norm(skip).reshape(6, 8))
    y = x + attended.reshape(1, 2, 3, 8)
    torch.testing.assert_close(layer(x, skip), y + layer.mlp(layer.norm2(y)))


@pytest.mark.parametrize("size", [(1, 1), (70, 65), (64, 192)])
def test_trains_at_any_size(size):
    network = small(2, 3, True)
    outputs = network(torch.randn(2, 2, *size))
    strides = (1, 4, 8)
    assert [tuple(y.shape[2:]) for y in outputs] == [tuple(max(1, round(n / s)) for n in size) for s in strides]
    sum(y.square().mean() for y in outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_first_output_is_the_one_without_deep_supervision():
    network, x = small(deep_supervision=True).eval(), torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        outputs = network(x)
        network.deep_supervision = False
        assert torch.equal(network(x), outputs[0])


def test_samples_of_a_batch_do_not_mix():
    network, x = small().eval(), torch.randn(3, 1, 64, 128)
    with torch.no_grad():
        together, alone = network(x), torch.cat([network(sample[None]) for sample in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_trains_under_autocast():
    network = small(deep_supervision=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = sum(y.float().square().mean() for y in network(torch.randn(1, 1, 128, 64)))
    loss.backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("embed_dim", [0, 48, 33])
def test_impossible_width_is_named(embed_dim):
    with pytest.raises(ValueError, match=rf"embed_dim must be even and a multiple of head_dim \(32\), got {embed_dim}"):
        NNFormer(embed_dim=embed_dim)
