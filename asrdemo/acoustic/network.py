"""The forward pass of a wav2vec2 for inference: the same mathematics as transformers, arranged to be fast and exact.

Exact: what depends on neighbouring frames (convolutions, normalisation over time, attention) always runs on one
recording at a time, without padding; only the layers that treat each frame by itself run over several recordings laid
end to end. So group-norm checkpoints are never padded, layer-norm ones need no mask, and no recording can see another.

Fast: channels-last convolutions (1.3 to 2 times the default layout, and layer norm needs no transposition), the
weight norm of the positional convolution folded away, one matrix product for query, key and value, and the group norm
of the first layer folded into its convolution, whose output it would otherwise read three times.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PACKED_FOR = 128  # frames of a pass for which weights are laid out
BLOCK = 2048  # frames the first layer makes at a time on a CPU: 4 MB, which stays in the cache


def supports(model: PreTrainedModel) -> bool:
    """Whether `Network` computes this model. Others run through transformers, one recording at a time."""
    config = model.config
    return (
        type(model).__name__ == "Wav2Vec2ForCTC"
        and not config.add_adapter
        and config.feat_extract_activation == "gelu"
        and config.feat_extract_norm in ("group", "layer")
        and config.num_conv_pos_embeddings > 0
    )


class Network(nn.Module):
    """A Wav2Vec2ForCTC rearranged. Takes over the model's weights: the model is not to be used afterwards."""

    int8 = True

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        base: Any = model.wav2vec2
        layers = list(base.feature_extractor.conv_layers)
        self.first = _First(layers[0])
        self.convs = nn.ModuleList(_Conv(layer) for layer in layers[1:])
        self.norm_features = base.feature_projection.layer_norm
        self.projection = base.feature_projection.projection
        self.positions = _Positions(base.encoder.pos_conv_embed)
        self.stable = bool(model.config.do_stable_layer_norm)
        self.norm = base.encoder.layer_norm
        self.layers = nn.ModuleList(_Layer(layer, self.stable) for layer in base.encoder.layers)
        self.head: nn.Module = model.lm_head
        self.eval().requires_grad_(False)

    @property
    def dtype(self) -> torch.dtype:
        """Of the encoder; the first layer and the result are always float32."""
        return self.norm.weight.dtype

    def cast(self, dtype: torch.dtype) -> Network:
        """A copy in that type (the original stays as it is)."""
        other = copy.deepcopy(self).to(dtype)
        other.first.load_state_dict(self.first.state_dict())
        other.first.float()
        if dtype is torch.bfloat16 and other.norm.weight.device.type == "cpu" and _packs():
            _pack(other)
        return other

    def forward(self, waves: Sequence[Tensor], rows: int | None = None) -> list[Tensor]:
        """Log-probabilities, float32, shape = (frames, vocabulary), for each wave of shape (samples,).

        rows: where given, the frame-wise layers always run over exactly that many frames, whatever the waves: matrix
        products then round in the same way for a recording alone and among others. Must be at least their sum.
        """
        parts = [self._embed(wave) for wave in waves]
        lengths = [len(part) for part in parts]
        if rows is not None:
            parts.append(parts[0].new_zeros(max(0, rows - sum(lengths)), parts[0].shape[1]))
        x = torch.cat(parts) if len(parts) > 1 else parts[0]
        if not self.stable:
            x = self.norm(x)
        for layer in self.layers:
            x = layer(x, lengths)
        if self.stable:
            x = self.norm(x)
        return list(F.log_softmax(self.head(x).float(), dim=-1)[: sum(lengths)].split(lengths))

    def _embed(self, wave: Tensor) -> Tensor:
        """Features with their positions added, shape = (frames, hidden)."""
        x = self.first(wave, self.dtype)
        for conv in self.convs:
            x = conv(x)
        x = self.projection(self.norm_features(x))
        return x + self.positions(x)


def _channels_last(weight: Tensor) -> nn.Parameter:
    """A Conv1d weight (out, in, width) as a Conv2d weight of height 1 in channels-last layout."""
    return nn.Parameter(weight.detach().unsqueeze(2).contiguous(memory_format=torch.channels_last), False)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, **options: Any) -> Tensor:
    """1-D convolution of x, shape = (frames, channels), with a weight from `_channels_last`; same layout out."""
    image = x.t()[None, :, None]  # (1, channels, 1, frames), channels-last without a copy
    y = F.conv2d(image, weight, bias, **options)
    return y[0, :, 0].t()


class _First(nn.Module):
    """The convolution over raw samples with its normalisation, in float32: sound keeps its 16 bits until here."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        conv: Any = layer.conv
        self.width, self.stride = conv.kernel_size[0], conv.stride[0]
        self.weight = nn.Parameter(conv.weight.detach()[:, 0].clone(), False)  # (channels, width)
        bias = torch.zeros(len(self.weight)) if conv.bias is None else conv.bias.detach().clone()
        self.bias = nn.Parameter(bias, False)
        norm: Any = getattr(layer, "layer_norm", None)
        self.over_time = isinstance(norm, nn.GroupNorm)
        self.norm: Any = norm

    def forward(self, wave: Tensor, dtype: torch.dtype) -> Tensor:
        patches = wave.unfold(0, self.width, self.stride)
        weight, bias = self._folded(patches) if self.over_time else (self.weight, self.bias)
        step = BLOCK if wave.device.type == "cpu" else len(patches)
        out = torch.empty(len(patches), len(weight), dtype=dtype, device=wave.device)
        for at in range(0, len(patches), step):
            y = F.linear(patches[at : at + step], weight, bias)
            out[at : at + step] = F.gelu(y if self.over_time or self.norm is None else self.norm(y))
        return out

    def _folded(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias with the group norm (one group a channel: mean and variance over time) worked in.

        The output is linear in the patches, so its mean and variance follow from theirs.
        """
        wide = patches.double()
        mean = wide.mean(0)
        centred = wide - mean
        covariance = centred.T @ centred / len(wide)
        weight = self.weight.double()
        variance = ((weight @ covariance) * weight).sum(1).clamp_min(0)
        scale = self.norm.weight.double() * torch.rsqrt(variance + self.norm.eps)
        return (weight * scale[:, None]).float(), (self.norm.bias.double() - scale * (weight @ mean)).float()


class _Conv(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        conv: Any = layer.conv
        self.weight, self.stride = _channels_last(conv.weight), conv.stride[0]
        self.bias = conv.bias
        self.norm: Any = getattr(layer, "layer_norm", None)

    def forward(self, x: Tensor) -> Tensor:
        y = _convolve(x, self.weight, self.bias, stride=(1, self.stride))
        return F.gelu(y if self.norm is None else self.norm(y))


class _Positions(nn.Module):
    """The convolutional position embedding, its weight norm folded into a plain weight."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        conv: Any = embedding.conv
        self.weight = _channels_last(conv.weight)
        self.bias, self.padding, self.groups = conv.bias, conv.padding[0], conv.groups
        self.activation: Any = embedding.activation

    def forward(self, x: Tensor) -> Tensor:
        y = _convolve(x, self.weight, self.bias, padding=(0, self.padding), groups=self.groups)
        return self.activation(y[: len(x)])  # an even width yields one frame too many


class _Layer(nn.Module):
    """A transformer layer. stable: layer norm before attention and feed-forward (XLS-R), else after them."""

    def __init__(self, layer: nn.Module, stable: bool) -> None:
        super().__init__()
        attention: Any = layer.attention
        self.heads, self.stable = attention.num_heads, stable
        self.qkv = _joined([attention.q_proj, attention.k_proj, attention.v_proj])
        self.out: Any = attention.out_proj
        self.norm_in: Any = layer.layer_norm
        self.norm_out: Any = layer.final_layer_norm
        forward: Any = layer.feed_forward
        self.up, self.activation, self.down = (
            forward.intermediate_dense,
            forward.intermediate_act_fn,
            forward.output_dense,
        )
        self.adapter: Any = getattr(layer, "adapter_layer", None)

    def forward(self, x: Tensor, lengths: list[int]) -> Tensor:
        x = x + self.out(self._attend(self.norm_in(x) if self.stable else x, lengths))
        if not self.stable:
            x = self.norm_in(x)
            return self.norm_out(x + self.down(self.activation(self.up(x))))
        x = x + self.down(self.activation(self.up(self.norm_out(x))))
        return x if self.adapter is None else x + self.adapter(x)

    def _attend(self, x: Tensor, lengths: list[int]) -> Tensor:
        """Attention within each recording. Rows beyond the sum of lengths stay 0."""
        qkv = self.qkv(x)
        parts = []
        for part in qkv[: sum(lengths)].split(lengths):
            parts.append(_attention(*part.view(len(part), 3, self.heads, -1).permute(1, 2, 0, 3)))
        if sum(lengths) < len(x):
            parts.append(x.new_zeros(len(x) - sum(lengths), x.shape[1]))
        return torch.cat(parts) if len(parts) > 1 else parts[0]


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of one recording; q, k, v: shape = (heads, frames, width). Returns shape = (frames, heads * width)."""
    if q.dtype is torch.bfloat16 and q.device.type == "cpu":
        # torch's fused kernel runs at float32 speed here; plain products use the bfloat16 units: 2.2 times at 10 s.
        q, k, v = q * q.shape[-1] ** -0.5, k.transpose(1, 2), v.contiguous()
        y = torch.stack([(q[h] @ k[h]).softmax(-1) @ v[h] for h in range(len(q))])
    else:
        y = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
    return y.transpose(0, 1).reshape(y.shape[1], -1)


class _Packed(nn.Module):
    """A linear layer whose weights lie as the CPU's matrix product wants them, where torch would lay them so in each
    call: the same bits, 1.1 times as fast on short recordings."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), PACKED_FOR)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return y


def _packs() -> bool:
    """Whether this torch, on this CPU, has the two operators (torch.compile uses them; they are not documented)."""
    known = torch.ops.mkldnn
    return all(hasattr(known, name) for name in ("_reorder_linear_weight", "_linear_pointwise")) and bool(
        known._is_mkldnn_bf16_supported()
    )


def _pack(module: nn.Module) -> None:
    """Every linear layer inside it, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, _Packed(child))
        else:
            _pack(child)


def _joined(parts: list[nn.Linear]) -> nn.Linear:
    """One linear layer that computes several side by side."""
    rows = sum(p.out_features for p in parts)
    joined = nn.Linear(parts[0].in_features, rows, bias=True, device="meta")
    joined.weight = nn.Parameter(torch.cat([p.weight.detach() for p in parts]), False)
    biases = [torch.zeros(p.out_features) if p.bias is None else p.bias.detach() for p in parts]
    joined.bias = nn.Parameter(torch.cat(biases), False)
    return joined
