"""BERT's splitting rules in the tokenizers library: how to build and recognise them."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from cloze.errors import InputError
from cloze.files.bounded import read_text

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"  # of tokens that continue a word
LONGEST_WORD = 100
"""Characters; BERT's WordPiece takes a longer word as ``[UNK]`` without a look."""

NAMES = {"pad_token": PAD, "unk_token": UNK, "cls_token": CLS, "sep_token": SEP, "mask_token": MASK}
"""What transformers calls the special tokens."""

OF_MODEL = ("unk_token", "continuing_subword_prefix", "max_input_chars_per_word")
"""What WordPiece has besides its vocabulary."""

CASE_SHARE = 0.01
"""Uncased vocabularies hold a few capitals (2 of 21,128 in Google's Chinese one), cased ones a quarter."""


def build_normalizer(
    *, lowercase: bool, chinese_characters: bool, strip_accents: bool | None
) -> normalizers.Normalizer:
    """The cleaning of Google's BasicTokenizer: control characters, white space, Chinese characters, case, accents."""
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


def read_vocabulary(path: str | Path, *, lowercase: bool | None = None) -> list[str]:
    """Tokens of a ``vocab.txt``, or of the one in the folder `path`, in the order of their ids.

    With `lowercase`, the normalisation it will be used with, it is checked that the two fit.

    Raises:
        InputError: no such file, not UTF-8, an empty or repeated line, no special tokens, or case against `lowercase`.
    """
    path = Path(path)
    path = path / "vocab.txt" if path.is_dir() else path
    try:
        pieces = read_text(path).removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the vocabulary is not UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: the vocabulary cannot be read ({error.strerror}); set tokenizer.vocab") from error
    check_vocabulary(pieces, path, lowercase)
    return pieces


def check_vocabulary(pieces: Sequence[str], name: str | Path, lowercase: bool | None) -> None:
    """Refuse a vocabulary that does not fit BERT.

    Raises:
        InputError: an empty or repeated token, no special tokens, or case against `lowercase`.
    """
    first_lines: dict[str, int] = {}
    for number, piece in enumerate(pieces, start=1):
        if not piece:
            raise InputError(f"{name}, line {number}: is empty; a vocabulary has one token a line")
        if first_lines.setdefault(piece, number) != number:
            raise InputError(
                f"{name}, line {number}: repeats {piece!r} of line {first_lines[piece]}; remove one, or change it to an"
                " [unused] token where the ids of a checkpoint must stay"
            )
    absent = [token for token in SPECIAL_TOKENS if token not in first_lines]
    if absent:
        raise InputError(f"{name}: has no {', '.join(absent)}; a BERT vocabulary needs {', '.join(SPECIAL_TOKENS)}")
    if lowercase is not None:
        _check_case(name, pieces, lowercase)


def _check_case(name: str | Path, pieces: Sequence[str], lowercase: bool) -> None:
    count = capitals(pieces)
    words = sum(piece.isascii() and piece.isalpha() for piece in pieces)
    if lowercase and count > CASE_SHARE * len(pieces):
        raise InputError(
            f"{name}: is a cased vocabulary ({count:,} tokens with capitals); set tokenizer.lowercase=false"
        )
    if not lowercase and count == 0 and words > 26:
        raise InputError(f"{name}: is an uncased vocabulary (no token has a capital); set tokenizer.lowercase=true")


def capitals(pieces: Sequence[str]) -> int:
    """How many tokens have a capital, BERT's own tokens aside."""
    return sum(piece != piece.lower() for piece in pieces if piece not in SPECIAL_TOKENS)


def template(tokenizer: Tokenizer, cls: str = CLS, sep: str = SEP) -> processors.PostProcessor:
    """[CLS] A [SEP] and [CLS] A [SEP] B [SEP], where B has a segment of its own."""
    return processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
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


def own_tokens(tokenizer: Tokenizer, besides: Collection[str] = SPECIAL_TOKENS) -> list[AddedToken]:
    """The tokens besides BERT's, or others, that are found in a text before it is split, in the order of their ids."""
    added = tokenizer.get_added_tokens_decoder()
    return [token for _, token in sorted(added.items()) if token.content not in besides]


def add_own_tokens(tokenizer: Tokenizer, tokens: Iterable[str]) -> None:
    """Let a tokenizer find more special tokens, exactly as they are written; one of the vocabulary keeps its id."""
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])


def own_pattern(tokens: Iterable[str]) -> re.Pattern[str]:
    """Where one of some tokens stands in a text, exactly as it is written; nowhere if there are none."""
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or "(?!)")


def check_own_tokens(tokens: Sequence[str]) -> None:
    """Refuse special tokens of the user's own that no vocabulary can hold.

    Raises:
        InputError: one is empty, has blanks around it or a line break in it, is one of BERT's, or comes twice.
    """
    if isinstance(tokens, str):
        raise InputError(f"tokenizer.special_tokens={tokens}: expected a list, as ['{tokens}']")
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
    """All that decides how a text is split, besides the vocabulary and the added tokens."""
    model = {"type": type(tokenizer.model).__name__} | {key: getattr(tokenizer.model, key, None) for key in OF_MODEL}
    parts = {"normalizer": tokenizer.normalizer, "pre_tokenizer": tokenizer.pre_tokenizer}
    # The whole as JSON would be its vocabulary, most of all.
    states = {name: None if part is None else json.loads(part.__getstate__()) for name, part in parts.items()}
    return {**states, "model": model}
