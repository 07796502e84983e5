"""The loss curve in fp8 next to that in bf16: same weights, same batches, same masks, on the text of this checkout."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.measure import Clock, run_step
from benchmarks.gpu.sides import our_side
from benchmarks.gpu.work import filled
from cloze.batch import Packed, PretrainingBatch
from cloze.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LENGTH = 128


def pieces() -> torch.Tensor:
    """Tokens of the checkout's own sources and pages, about half a million."""
    from tokenizers import BertWordPieceTokenizer

    folders = [REPOSITORY / name for name in ("src", "docs", "tests", "benchmarks")]
    found = sorted(file for folder in folders for file in folder.rglob("*") if file.suffix in (".py", ".md"))
    files = [str(file) for file in found]
    tokenizer = BertWordPieceTokenizer()
    tokenizer.train(files, vocab_size=8000, special_tokens=SPECIAL, show_progress=False)
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    return torch.tensor(list(itertools.chain.from_iterable(encoding.ids for encoding in encodings)))


def masked_batches(ids: torch.Tensor, tokens: int) -> Iterator[PretrainingBatch]:
    """Windows of the text, 15 % of their tokens masked; no pairs."""
    generator, rows = torch.Generator().manual_seed(0), tokens // LENGTH
    while True:
        starts = torch.randint(len(ids) - LENGTH, (rows, 1), generator=generator)
        stream = ids[starts + torch.arange(LENGTH)].flatten()
        places = torch.randperm(len(stream), generator=generator)[: int(0.15 * len(stream))].sort().values
        labels = stream[places].clone()
        stream[places] = SPECIAL.index("[MASK]")
        packed = Packed.of(stream.split(LENGTH))
        batch = PretrainingBatch(
            packed,
            places,
            labels,
            torch.full((rows,), -100),
            len(stream),
            len(labels),
            1,
            len(stream),
            torch.zeros(len(labels)),
        )
        yield filled(batch, LENGTH, len(stream))


def curves(size: str, device: torch.device, tokens: int, steps: int) -> dict[str, Any]:
    """The loss of every step, in nats a masked token; for fp8 a sentence where torchao is not installed."""
    ids, found = pieces(), dict[str, Any]()
    for name in ("bf16", "fp8"):
        torch.manual_seed(0)
        try:
            side = our_side(size, device, compiled=device.type == "cuda", fp8=name == "fp8")
        except InputError as error:
            found[name] = str(error)
            continue
        batches, losses = masked_batches(ids, tokens), []
        for step in range(steps):
            for group in side.optimizer.param_groups:
                group["lr"] = 3e-4 * min(1.0, (step + 1) / 20)
            batch = next(batches)
            there = torch.utils._pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.to(device), batch)
            losses.append(run_step(side, there, Clock(device)))
        found[name] = torch.stack(losses).tolist()
        torch._dynamo.reset()
    return {"size": size, "tokens_a_step": tokens, **found}
