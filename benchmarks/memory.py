"""What a training step keeps in memory: the formula of ``cloze.model.memory`` next to what is measured.

    python -m benchmarks.memory --json FILE

First the bytes that the forward pass keeps for each token, by formula and as autograd keeps them on this processor, in
fp32 and under bf16. Then the largest micro-batch of each size at length 512 on cards of 141, 80 and 24 GB, in bf16 with
AdamW, by formula: with all activations, and with ``hardware.gradient_checkpointing``. Where torch sees a GPU, a step
of that formula's half is run on it, and the most that it took stands next to the formula. A compiled encoder keeps
less.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.batches import random_batch
from benchmarks.machine import print_rows, write_rows
from benchmarks.shapes import SHAPES, VOCAB_SIZE, shape
from cloze.batch import PretrainingBatch
from cloze.model.architecture import Kernels, architecture_of
from cloze.model.bert import BertForPreTraining
from cloze.model.config import BertConfig
from cloze.model.families.costs import block_bytes, head_bytes, norm_bytes
from cloze.model.heads import PretrainingModel
from cloze.model.memory import activation_bytes, step_memory
from cloze.tasks.masked_lm import pretraining_losses

CARDS = {"141 GB": 141e9, "80 GB": 80e9, "24 GB": 24e9}
RESERVED = 2e9
"""Bytes of a card for the driver, the libraries' work space, and what the allocator cannot put together."""
ADAMW = 8.0
"""Bytes of its state for each parameter."""
LENGTH, MASK_RATE = 512, 0.15


def kept_bytes(model: PretrainingModel, batch: PretrainingBatch, *, half: bool) -> int:
    """Bytes of all tensors that a forward pass leaves to the backward pass, each memory counted once.

    Parameters and the batch do not count; the backward pass is run, too, so that nothing is missing.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *batch.packed[:4], *batch[1:4])}
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no memory is given to two of them

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    kept = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with torch.autocast("cpu", torch.bfloat16, enabled=half), kept:
        losses = pretraining_losses(model, batch)
    (losses.masked_lm.loss + losses.next_sentence.loss).backward()
    return sum(sizes.values())


def kept_by_formula(config: Any, kernels: Kernels, batch: PretrainingBatch, *, checkpointing: bool) -> float:
    """The same by formula. With checkpointing, the block that is computed again belongs to the backward pass."""
    lengths = batch.packed.cu_seqlens.diff()
    mean = float((lengths**2).sum() / batch.num_tokens)
    encoder = activation_bytes(config, kernels, mean, checkpointing=checkpointing)
    if checkpointing:
        encoder -= block_bytes(config, kernels, mean, norm=norm_bytes(config))
    heads = architecture_of(config).head_bytes(config, kernels, len(batch.masked_positions), len(lengths))
    kept = batch.num_tokens * encoder + heads
    if checkpointing:
        return kept
    unread = batch.num_tokens - len(batch.masked_positions) - len(lengths)
    return kept - unread * architecture_of(config).unread_bytes(config, kernels, mean)


def activation_rows(sizes: list[str]) -> Iterator[dict[str, Any]]:
    """Formula and measurement of a forward pass on this processor, a row each."""
    for size in sizes:
        for precision, dropout in (("32-true", 0.1), ("32-true", 0.0), ("bf16-mixed", 0.0)):
            config = shape(size, attention_probs_dropout_prob=dropout)
            batch = random_batch([128] * 8, VOCAB_SIZE, MASK_RATE)
            kernels = Kernels.of(precision, on_gpu=False)
            model = BertForPreTraining(config).train()
            heads = head_bytes(config, kernels, len(batch.masked_positions), 8)
            formula = (kept_by_formula(config, kernels, batch, checkpointing=False) - heads) / batch.num_tokens
            if precision != "32-true":  # of the parameters autocast keeps copies, here of few tokens each
                formula += kernels.compute * matrices(model) / batch.num_tokens
            found = (kept_bytes(model, batch, half=precision != "32-true") - heads) / batch.num_tokens
            yield {
                "what": f"activations of a token, {size} at 128, {precision}, attention dropout {dropout:g}",
                "unit": "bytes",
                "ours": formula,
                "peer": found,
                "peer_name": "measured",
                "ratio": found / formula,
            }


def matrices(model: BertForPreTraining) -> int:
    """Numbers in the matrices that are factors of products, but for the decoder."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    return sum(p.numel() for p in model.parameters() if p.ndim == 2 and id(p) not in tables)


def largest(config: BertConfig, capacity: float, *, checkpointing: bool) -> int:
    """Tokens of the largest micro-batch of whole sequences that a card has room for, in bf16; 0 for none."""

    def total(sequences: int) -> int:
        return bf16_step(config, LENGTH * sequences, checkpointing=checkpointing)

    low, high = 0, 1
    while total(high) <= capacity - RESERVED:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if total(middle) <= capacity - RESERVED else (low, middle)
    return LENGTH * low


def bf16_step(config: BertConfig, tokens: int, *, checkpointing: bool) -> int:
    """Bytes of a step on a GPU, by formula."""
    memory = step_memory(
        config,
        Kernels.of("bf16-mixed", on_gpu=True),
        tokens=tokens,
        length=LENGTH,
        masked=round(MASK_RATE * tokens),
        optimizer_bytes=ADAMW,
        checkpointing=checkpointing,
    )
    return memory.total


def card_rows(sizes: list[str]) -> Iterator[dict[str, Any]]:
    """The largest micro-batch on each card, by formula."""
    for size in sizes:
        for card, capacity in CARDS.items():
            config = shape(size, attention_probs_dropout_prob=0.0)
            all_kept, less = (largest(config, capacity, checkpointing=again) for again in (False, True))
            yield {
                "what": f"largest micro-batch, {size} at {LENGTH}, bf16, {card}, estimated",
                "unit": "tokens",
                "ours": all_kept,
                "peer": less,
                "peer_name": "with checkpointing",
                "ratio": less / max(1, all_kept),
            }


def gpu_rows(sizes: list[str]) -> Iterator[dict[str, Any]]:
    """Steps on the GPU that is there, at half of what the formula says it has room for."""
    capacity = torch.cuda.get_device_properties(0).total_memory
    for size in sizes:
        for checkpointing in (False, True):
            config = shape(size, attention_probs_dropout_prob=0.0)
            tokens = largest(config, capacity / 2, checkpointing=checkpointing)
            formula = bf16_step(config, tokens, checkpointing=checkpointing)
            found = gpu_peak(config, tokens, checkpointing=checkpointing)
            again = ", checkpointing" if checkpointing else ""
            yield {
                "what": f"memory of a step, {size} at {LENGTH}, bf16, {tokens:,} tokens{again}",
                "unit": "bytes",
                "ours": formula,
                "peer": found,
                "peer_name": f"measured on {torch.cuda.get_device_name(0)}",
                "ratio": found / formula,
            }


def gpu_peak(config: BertConfig, tokens: int, *, checkpointing: bool) -> int:
    """The most bytes that the tensors of two steps take."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    model = BertForPreTraining(config).cuda().train()
    model.encoder.gradient_checkpointing = checkpointing
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batch = random_batch([LENGTH] * (tokens // LENGTH), VOCAB_SIZE, MASK_RATE)
    packed = batch.packed._replace(
        input_ids=batch.packed.input_ids.cuda(),
        token_type_ids=batch.packed.token_type_ids.cuda(),
        position_ids=batch.packed.position_ids.cuda(),
        cu_seqlens=batch.packed.cu_seqlens.cuda(),
    )
    batch = batch._replace(
        packed=packed,
        masked_positions=batch.masked_positions.cuda(),
        masked_labels=batch.masked_labels.cuda(),
        next_sentence_labels=batch.next_sentence_labels.cuda(),
    )
    for _ in range(2):
        with torch.autocast("cuda", torch.bfloat16):
            losses = pretraining_losses(model, batch)
        (losses.masked_lm.loss + losses.next_sentence.loss).backward()
        optimizer.step()
        optimizer.zero_grad()
    return torch.cuda.max_memory_allocated()


def main() -> None:
    """Print a line a row and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=["tiny", "mini"], help="to be measured here")
    parser.add_argument("--cards", nargs="*", choices=SHAPES, default=["base", "large"], help="to be put on cards")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    parts = [activation_rows(arguments.sizes), card_rows(arguments.cards)]
    if torch.cuda.is_available():
        parts.append(gpu_rows(arguments.cards))
    for part in parts:
        for row in part:
            rows.append(row)
            print_rows([row])
    if arguments.json:
        write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
