"""Two layers of MiniLM's shape with random weights: ``python -m benchmarks.embeddings.model FOLDER``."""

import os
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

DATA = Path(os.environ.get("CLOZE_DATA", Path(__file__).resolve().parents[2] / "../shared/data")).resolve()


def main() -> None:
    """Write it."""
    vocab = next(iter(sorted((DATA / "vocab").glob("*uncased*.txt"))))
    torch.manual_seed(0)
    shape = BertConfig(
        num_hidden_layers=2, hidden_size=384, num_attention_heads=12, intermediate_size=1536, vocab_size=30522
    )
    BertModel(shape).save_pretrained(sys.argv[1])
    BertTokenizerFast(vocab=str(vocab), do_lower_case=True).save_pretrained(sys.argv[1])


if __name__ == "__main__":
    main()
