"""BERT's rules for cutting a text, of the tokenizers library: how they are built and recognised, and which tokens."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from cloze.errors import InputError

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"  # of pieces that continue a word
LONGEST_WORD = 100
"""Characters; BERT's WordPiece takes a longer word as ``[UNK]`` without a look."""

NAMES = {"pad_token": PAD, "unk_token": UNK, "cls_token": CLS, "sep_token": SEP, "mask_token": MASK}
"""What transformers calls the special tokens."""


def build_normalizer(
    *, lowercase: bool, chinese_characters: bool, strip_accents: bool | None
) -> normalizers.Normalizer:
    """Google's BasicTokenizer up to the cutting: control characters, white space, Chinese characters, case, accents."""
    return normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese_characters, strip_accents=strip_accents, lowercase=lowercase
    )


def build_tokenizer(
    vocab: Sequence[str],
    *,
    lowercase: bool = True,
    chinese_characters: bool = True,
    strip_accents: bool | None = None,
    max_input_chars_per_word: int = LONGEST_WORD,
) -> Tokenizer:
    """The tokenizer of `vocab`, whose ids are the positions in it."""
    ids = {piece: index for index, piece in enumerate(vocab)}
    tokenizer = Tokenizer(
        models.WordPiece(
            ids,
            unk_token=UNK,
            continuing_subword_prefix=PREFIX,
            max_input_chars_per_word=max_input_chars_per_word,
        )
    )
    tokenizer.normalizer = build_normalizer(
        lowercase=lowercase, chinese_characters=chinese_characters, strip_accents=strip_accents
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=PREFIX)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = template(tokenizer)
    return tokenizer


def template(tokenizer: Tokenizer) -> processors.PostProcessor:
    """[CLS] A [SEP] and [CLS] A [SEP] B [SEP]."""
    return processors.TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)],
    )


def bert_rules(tokenizer: Tokenizer) -> dict[str, bool | None] | None:
    """The settings of transformers' BertTokenizer by which a tokenizer normalises; None where its rules are others."""
    state = steps(tokenizer)
    normalizer, cut, model = (state[name] or {} for name in ("normalizer", "pre_tokenizer", "model"))
    kinds = tuple(step.get("type") for step in (normalizer, cut, model))
    if (
        kinds != ("BertNormalizer", "BertPreTokenizer", "WordPiece")
        or not normalizer["clean_text"]
        or (model["unk_token"], model["continuing_subword_prefix"]) != (UNK, PREFIX)
    ):
        return None
    return {
        "do_lower_case": normalizer["lowercase"],
        "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        "strip_accents": normalizer["strip_accents"],
    }


def own_tokens(tokenizer: Tokenizer) -> list[AddedToken]:
    """The tokens beside BERT's that are found in a text before it is cut, in the order of their ids."""
    added = tokenizer.get_added_tokens_decoder()
    return [token for _, token in sorted(added.items()) if token.content not in SPECIAL_TOKENS]


def add_own_tokens(tokenizer: Tokenizer, tokens: Iterable[str]) -> None:
    """Let a tokenizer find more special tokens, exactly as they are written; one of the vocabulary keeps its id."""
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])


def check_own_tokens(tokens: Sequence[str]) -> None:
    """Refuse special tokens of the user's own that no vocabulary can hold.

    Raises:
        InputError: one is empty, has blanks around it or a line break in it, is one of BERT's, or comes twice.
    """
    for token in tokens:
        if token != token.strip() or not token or len(token.splitlines()) != 1:
            raise InputError(
                f"tokenizer.special_tokens has {token!r}: expected a text without blanks around it, on one line"
            )
        if token in SPECIAL_TOKENS or tokens.count(token) > 1:
            why = "one of BERT's own" if token in SPECIAL_TOKENS else "there twice"
            raise InputError(f"tokenizer.special_tokens has {token!r}, which is {why}: leave it out")


def is_dense(tokenizer: Tokenizer) -> bool:
    """Whether every id up to the last one is that of one token."""
    return sorted(tokenizer.get_vocab(with_added_tokens=True).values()) == list(range(tokenizer.get_vocab_size()))


def steps(tokenizer: Tokenizer) -> dict[str, Any]:
    """All that decides how a text is cut, beside the vocabulary and the added tokens."""
    state = json.loads(tokenizer.to_str())
    model = {key: value for key, value in state["model"].items() if key != "vocab"}
    return {"normalizer": state["normalizer"], "pre_tokenizer": state["pre_tokenizer"], "model": model}
