"""What is tried on top of a recipe, each by itself."""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.speedrun.tracks import Overrides


class Candidate(NamedTuple):
    """One change.

    Attributes:
        what: changes, in words.
        overrides: on top of those of the recipe.
    """

    what: str
    overrides: Overrides


CANDIDATES: Mapping[str, Candidate] = {
    # the learning rate
    "lr_1e-3": Candidate("learning rate 1e-3", {"optimizer.lr": "1e-3"}),
    "lr_2e-3": Candidate("learning rate 2e-3", {"optimizer.lr": "2e-3"}),
    "lr_4e-3": Candidate("learning rate 4e-3", {"optimizer.lr": "4e-3"}),
    "lr_8e-3": Candidate("learning rate 8e-3", {"optimizer.lr": "8e-3"}),
    "warmup_5": Candidate("warm-up over 5 % of the steps", {"schedule.warmup_ratio": "0.05"}),
    "stable": Candidate(
        "constant learning rate, then 1 - sqrt over the last 40 %",
        {"schedule": "warmup_stable_decay", "schedule.decay_ratio": "0.4"},
    ),
    # the lengths
    "longer_32": Candidate("length 32 for half of the steps", {"data.phases": "[[0.5,32],[0.5,128]]"}),
    "much_longer_32": Candidate("length 32 for 70 % of the steps", {"data.phases": "[[0.7,32],[0.3,128]]"}),
    "ramp": Candidate("lengths 32, 64, 128", {"data.phases": "[[0.4,32],[0.3,64],[0.3,128]]"}),
    "ramp_16": Candidate("lengths 16, 32, 64, 128", {"data.phases": "[[0.1,16],[0.35,32],[0.3,64],[0.25,128]]"}),
    # the objective
    "mlm": Candidate("no pairs", {"objective": "mlm"}),
    "mask_15": Candidate("mask rate 0.15", {"objective.mask_rate": "0.15"}),
    "mask_30": Candidate("mask rate 0.3", {"objective.mask_rate": "0.3"}),
    "mask_40": Candidate("mask rate 0.4", {"objective.mask_rate": "0.4"}),
    "mask_ramp": Candidate(
        "mask rate from 0.3 to 0.15", {"objective.mask_rate": "0.3", "objective.final_mask_rate": "0.15"}
    ),
    "all_masked": Candidate(
        "[MASK] for all tokens to predict", {"objective.mask_token_share": "1.0", "objective.random_token_share": "0.0"}
    ),
    "whole_words": Candidate("whole words are masked", {"objective.masking": "whole_word"}),
    # the batch
    "batch_1024": Candidate("batches of 1,024 tokens", {"data.batch_tokens": "1024"}),
    "batch_4096": Candidate("batches of 4,096 tokens", {"data.batch_tokens": "4096"}),
    # the model
    "narrow": Candidate(
        "6 layers, 192 wide",
        {"model.hidden_size": "192", "model.intermediate_size": "768", "model.num_hidden_layers": "6"},
    ),
    "deep": Candidate("6 layers", {"model.num_hidden_layers": "6"}),
    "shallow": Candidate("2 layers", {"model.num_hidden_layers": "2"}),
    "tiny": Candidate(
        "2 layers, 128 wide, 2 heads",
        {"model.hidden_size": "128", "model.intermediate_size": "512", "model.num_hidden_layers": "2",
         "model.num_attention_heads": "2"},
    ),
    "heads_8": Candidate("8 heads", {"model.num_attention_heads": "8"}),
    "heads_2": Candidate("2 heads", {"model.num_attention_heads": "2"}),
    "init_5": Candidate("weights drawn with 0.05", {"model.initializer_range": "0.05"}),
    "dropout": Candidate(
        "dropout 0.1", {"model.hidden_dropout_prob": "0.1", "model.attention_probs_dropout_prob": "0.1"}
    ),
    "modern": Candidate(
        "ModernBERT's blocks, learning rate 8e-3",
        {"model": "modern_mini", "model.intermediate_size": "704", "optimizer.lr": "8e-3", "objective": "mlm",
         "objective.mask_rate": "0.3"},
    ),
    "modern_untied": Candidate(
        "the same with a decoder of its own",
        {"model": "modern_mini", "model.intermediate_size": "704", "optimizer.lr": "8e-3", "objective": "mlm",
         "objective.mask_rate": "0.3", "model.tie_word_embeddings": "false"},
    ),
    # the vocabulary
    "vocab_8k": Candidate(
        "a vocabulary of 8,192 trained on the text", {"tokenizer.vocab": "null", "tokenizer.vocab_size": "8192"}
    ),
    "vocab_16k": Candidate(
        "a vocabulary of 16,384 trained on the text", {"tokenizer.vocab": "null", "tokenizer.vocab_size": "16384"}
    ),
    # the optimizer
    "polar_express": Candidate("polar express in Muon", {"optimizer.orthogonalisation": "polar_express"}),
    "polar_express_3": Candidate(
        "polar express in Muon, three iterations",
        {"optimizer.orthogonalisation": "polar_express", "optimizer.iterations": "3"},
    ),
    "momentum": Candidate("Muon's momentum from 0.85 to 0.95 in 300 steps", {"optimizer.initial_momentum": "0.85"}),
    "neurons": Candidate("NorMuon", {"optimizer.neuron_beta": "0.95"}),
    "adamw": Candidate("AdamW, learning rate 1e-3", {"optimizer": "adamw", "optimizer.lr": "1e-3"}),
}  # fmt: skip
