"""The two sides: our model as ``train.py`` sets it up, Hugging Face's as its scripts do. Dropout 0.1, AdamW."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.shapes import shape
from cloze.batch import PretrainingBatch
from cloze.model.bert import BertForPreTraining
from cloze.model.kernels.fp8 import multiply_in_fp8
from cloze.optim.clipping import clip_gradients
from cloze.optim.groups import parameter_groups
from cloze.tasks.masked_lm import Losses, compiled_losses, pretraining_losses

VARIANTS = ("ours", "ours without compile", "Hugging Face", "Hugging Face compiled")


class Side:
    """One model in training.

    Attributes:
        loss: from a batch, as this side takes it, to the loss.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[Any], Tensor]) -> None:
        self.model, self.optimizer, self.loss = model, optimizer, loss

    def update(self) -> None:
        """Clip, step, forget the gradients."""
        clip_gradients(self.optimizer, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def autocast(device: torch.device) -> torch.autocast:
    """bf16 on a GPU; a CPU without units for it would take seconds a step."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def our_side(
    size: str, device: torch.device, *, compiled: bool, kernel: str = "auto", graphs: bool = False, fp8: bool = False
) -> Side:
    """Attention dropout 0, as our recipes for a GPU have it; 0.1 elsewhere."""
    model = BertForPreTraining(shape(size, attention_probs_dropout_prob=0.0)).to(device).train()
    model.encoder.use_kernel("sdpa" if device.type == "cpu" and kernel == "auto" else kernel)  # no graph has the other
    if fp8:
        multiply_in_fp8(model.encoder, emulate=device.type != "cuda")
    compute: Losses = pretraining_losses
    if compiled:
        backend = "inductor" if device.type == "cuda" else "aot_eager"
        compute = compiled_losses(cuda_graphs=graphs, backend=backend)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01), lr=1e-4, fused=True)

    def loss(batch: PretrainingBatch) -> Tensor:
        with autocast(device):
            losses = compute(model, batch)
        return losses.masked_lm.loss / batch.global_masked + losses.next_sentence.loss / batch.global_pairs

    return Side(model, optimizer, loss)


def their_side(size: str, device: torch.device, *, compiled: bool) -> Side:
    """Rows padded to T, logits at every position, dropout 0.1 everywhere: what ``Trainer(bf16=True)`` runs."""
    import transformers

    theirs = transformers.BertConfig(
        **asdict(shape(size, attention_probs_dropout_prob=0.1)), attn_implementation="sdpa"
    )
    model = transformers.BertForPreTraining(theirs).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    run: Any = model
    if compiled:
        run = torch.compile(model, dynamic=False, backend="inductor" if device.type == "cuda" else "aot_eager")

    def loss(rows: dict[str, Tensor]) -> Tensor:
        with autocast(device):
            found: Tensor = run(**rows).loss
        return found

    return Side(model, optimizer, loss)
