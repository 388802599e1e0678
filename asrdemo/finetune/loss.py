"""The CTC loss of some clips, as a sum: whoever divides it by the labels of the whole effective batch gets the same
gradient however the batch was cut, over micro-batches or over processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def ctc_sum(
    logits: torch.Tensor, frames: torch.Tensor, labels: Sequence[torch.Tensor], blank: int, smoothing: float = 0.0
) -> torch.Tensor:
    """Negative log-likelihood of the labels, summed over the clips; a scalar, float32.

    logits: (clips, frames, vocabulary), any precision. frames: how many of them are a clip's, int64, (clips,). labels:
    ids of each clip. A clip whose labels do not fit its frames adds nothing (zero_infinity). smoothing: share of the
    loss that is the divergence of each frame from the uniform distribution (Kim et al. 2018), scaled from frames to
    labels so that both shares grow with the text.
    """
    log_probs = logits.float().log_softmax(-1)
    lengths = torch.tensor([len(ids) for ids in labels], device=logits.device)
    targets = torch.cat([ids.to(logits.device) for ids in labels])
    with torch.backends.cudnn.flags(enabled=False):
        nll = F.ctc_loss(
            log_probs.transpose(0, 1), targets, frames, lengths, blank, reduction="sum", zero_infinity=True
        )
    if not smoothing:
        return nll
    valid = torch.arange(logits.shape[1], device=logits.device) < frames[:, None]
    vocabulary = torch.tensor(float(logits.shape[-1]), device=logits.device)
    divergence = -log_probs.mean(-1) - vocabulary.log()  # of the uniform distribution from the frame's
    weight = lengths / frames.clamp(min=1)
    return (1 - smoothing) * nll + smoothing * ((divergence * valid).sum(-1) * weight).sum()
