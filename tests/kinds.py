"""Small tokenizers of every kind, as released encoders have them."""

from collections.abc import Callable, Iterable
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""Where Llama 3, and EuroBERT with it, cuts text before its bytes are merged."""

SIZE = 400
NAMES = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")}
GEMMA = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<bos>", "sep_token": "<eos>", "mask_token": "<mask>"}
EURO = {
    "cls_token": "<|begin_of_text|>", "sep_token": "<|end_of_text|>", "pad_token": "<|end_of_text|>",
    "mask_token": "<|mask|>",
}  # fmt: skip
XLMR = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
"""What transformers calls the special tokens of each kind."""

ROLES = {"modernbert": NAMES, "eurobert": EURO, "mmbert": GEMMA, "unigram": XLMR, "words": NAMES}


def modernbert(text: Iterable[str]) -> Tokenizer:
    """Bytes, after GPT-2's rules and NFC, with BERT's special tokens behind the vocabulary, and runs of spaces."""
    own = Tokenizer(models.BPE())
    own.normalizer, own.decoder = normalizers.NFC(), decoders.ByteLevel()
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.train_from_iterator(text, _bytes())
    spaces = [AddedToken(" " * count, normalized=True) for count in (4, 3, 2)]
    own.add_tokens([AddedToken("|||EMAIL_ADDRESS|||", normalized=True), *spaces])
    own.add_special_tokens(["<|endoftext|>", *("[UNK]", "[CLS]", "[SEP]", "[PAD]")])
    own.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True), "[unused0]"])
    return _around(own, "[CLS]", "[SEP]", second=0)


def eurobert(text: Iterable[str]) -> Tokenizer:
    """Bytes, after Llama 3's rules; the end of a text is its padding, too."""
    own = Tokenizer(models.BPE(ignore_merges=True))
    own.decoder = decoders.ByteLevel()
    own.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA_3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    own.train_from_iterator(text, _bytes())
    own.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|mask|>"])
    return _around(own, "<|begin_of_text|>", "<|end_of_text|>", second=0)


def mmbert(text: Iterable[str]) -> Tokenizer:
    """Gemma's: merges of characters with spaces among them, bytes for what has none."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    own = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    own.normalizer = normalizers.Replace(" ", "\u2581")
    own.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    own.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE + 300, special_tokens=[*special, *bytes_], show_progress=False, limit_alphabet=80
    )
    own.train_from_iterator(text, trainer)
    own.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    plain = Tokenizer(own.model)
    plain.normalizer, plain.pre_tokenizer, plain.decoder = own.normalizer, own.pre_tokenizer, own.decoder
    plain.add_special_tokens(special)
    return _around(plain, "<bos>", "<eos>", second=0)


def unigram(text: Iterable[str]) -> Tokenizer:
    """XLM-R's: words with a space before each, a language model of their parts."""
    own = Tokenizer(models.Unigram())
    own.normalizer = normalizers.NFKC()
    own.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    own.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=SIZE, special_tokens=special, unk_token="<unk>", show_progress=False)
    own.train_from_iterator(text, trainer)
    own.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return _around(own, "<s>", "</s>", second=0)


def words(text: Iterable[str]) -> Tokenizer:
    """Each word is a token."""
    own = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    own.normalizer, own.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    own.train_from_iterator(
        text, trainers.WordLevelTrainer(vocab_size=SIZE, special_tokens=list(NAMES.values()), show_progress=False)
    )
    return _around(own, "[CLS]", "[SEP]", second=1)


KINDS: dict[str, Callable[[Iterable[str]], Tokenizer]] = {
    "modernbert": modernbert,
    "eurobert": eurobert,
    "mmbert": mmbert,
    "unigram": unigram,
    "words": words,
}


def save(kind: str, tokenizer: Tokenizer, folder: Path, *, model_type: str = "modernbert") -> Path:
    """The folder of a tokenizer as transformers writes it, next to the ``config.json`` of a model."""
    from transformers import PreTrainedTokenizerFast

    inputs = ["input_ids", "attention_mask"]
    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **ROLES[kind])
    theirs.save_pretrained(folder)
    (folder / "config.json").write_text(f'{{"model_type": "{model_type}"}}')
    return folder


def _bytes() -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )


def _around(tokenizer: Tokenizer, cls: str, sep: str, *, second: int) -> Tokenizer:
    """It with ``cls A sep B sep``; B in this segment."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:{second} {sep}:{second}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    return tokenizer
