import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.batches import random_batch
from cloze.model.architecture import architecture_of, attended
from cloze.model.config import BertConfig, ElectraConfig, EncoderConfig
from cloze.model.flops import training_flops, work_of
from cloze.model.modern_config import EuroBertConfig, ModernBertConfig, NomicBertConfig


@pytest.mark.parametrize("family", [BertConfig, ElectraConfig, ModernBertConfig, EuroBertConfig, NomicBertConfig])
def test_the_formula_equals_a_count_of_the_matrix_products(family: type[EncoderConfig]) -> None:
    """The forward pass counted operator by operator, attention by hand: the counter misses it on a CPU."""
    config = family(vocab_size=500, hidden_size=64, num_hidden_layers=3, num_attention_heads=2, intermediate_size=256)  # type: ignore[call-arg]  # the fields that all families have
    lengths = [10, 20, 30, 30, 80]
    batch = random_batch(lengths, 500)
    model = architecture_of(config).pretraining(config).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(batch.packed, batch.masked_positions)
    work = work_of(config, lengths, len(batch.masked_positions))
    counts = counter.get_flop_counts()["Global"]
    attention = sum(count for operator, count in counts.items() if "attention" in str(operator))
    width = model.encoder.word_embeddings.embedding_dim
    segments = 2 * batch.num_tokens * config.type_vocab_size * width  # their embeddings are computed as a product, too
    pairs = {None: sum(length**2 for length in lengths), 64: sum(attended(torch.tensor(lengths), 64).tolist())}
    by_hand = sum(blocks * 4 * 64 * pairs[window] for window, blocks in architecture_of(config).windows(config).items())
    last = config.window(2) if isinstance(config, ModernBertConfig) else None
    unread = sum(lengths) - work.read  # tokens whose queries nobody needs there
    by_hand -= 4 * 64 * pairs[last] * unread // sum(lengths)
    counted = counter.get_total_flops() - attention - segments + by_hand
    assert training_flops(config, work) == 3 * counted


@pytest.mark.parametrize("window", [None, 0, 1, 3, 50])
def test_the_tokens_of_a_window_are_counted_pair_by_pair(window: int | None) -> None:
    lengths = torch.tensor([0, 1, 2, 7, 40], dtype=torch.float64)
    counted = [
        sum(window is None or abs(i - j) <= window for i in range(length) for j in range(length))
        for length in map(int, lengths)
    ]
    assert attended(lengths, window).tolist() == counted
