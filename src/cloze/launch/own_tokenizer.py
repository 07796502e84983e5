"""The tokenizer of a model as the tokenizer of a corpus."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Tokenizer

from cloze.errors import InputError
from cloze.text.tokenizer import LONGEST_WORD, SPECIAL_TOKENS, WordPiece, read_vocabulary, tokenizer_sha256, vocabulary


def own_words(stated: Mapping[str, Any], words: WordPiece, tokenizer: Tokenizer, name: str) -> WordPiece:
    """The normalisation of a model's tokenizer, which the configuration may not contradict.

    Args:
        stated: the section `tokenizer`.
        words: built from it; also says how new pieces are chosen.
        tokenizer: the model's.
        name: of the model.

    Raises:
        InputError: they differ, or no corpus can be prepared with this tokenizer.
    """
    own = normalised(words, tokenizer)
    normalisation = {key: getattr(own, key) for key in ("lowercase", "chinese_characters", "strip_accents")}
    for key, value in {**normalisation, "max_input_chars_per_word": own.longest_word}.items():
        if key in stated and stated[key] != value:
            raise InputError(
                f"tokenizer.{key} is {stated[key]}, but that of {name} is {value}: leave tokenizer= and it out"
            )
    for key in ("vocab", "vocab_size"):
        if stated.get(key) is not None:
            raise InputError(
                f"tokenizer.{key} is set, but the vocabulary is that of {name}: leave it out, or see grow.vocab"
            )
    pieces = vocabulary(tokenizer)
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    if added := [token for token in added if token not in SPECIAL_TOKENS]:
        raise InputError(
            f"{name}: its tokenizer has tokens of its own ({', '.join(added[:5])}), with which no corpus is prepared"
        )
    dense = [tokenizer.token_to_id(piece) for piece in pieces] == list(range(len(pieces)))
    if not dense or _steps(own.build(pieces)) != _steps(tokenizer):
        raise InputError(f"{name}: its tokenizer is not BERT's (other steps before WordPiece, or ids that nothing has)")
    with vocabulary_file(pieces) as file:
        try:
            read_vocabulary(file, lowercase=own.lowercase)
        except InputError as error:
            raise InputError(
                f"{name}: its vocabulary cannot be used ({str(error).removeprefix(f'{file}: ')})"
            ) from error
    return own


def normalised(words: WordPiece, tokenizer: Tokenizer) -> WordPiece:
    """`words` with the normalisation of a tokenizer."""
    state = json.loads(tokenizer.to_str())["normalizer"] or {}
    longest = tokenizer.model.max_input_chars_per_word
    return replace(
        words,
        lowercase=bool(state.get("lowercase")),
        chinese_characters=bool(state.get("handle_chinese_chars")),
        strip_accents=state.get("strip_accents"),
        max_input_chars_per_word=None if longest == LONGEST_WORD else longest,
    )


def _steps(tokenizer: Tokenizer) -> list[Any]:
    """All that decides the ids of a text."""
    whole = json.loads(tokenizer.to_str())
    model = {key: value for key, value in whole["model"].items() if key != "vocab"}
    return [tokenizer_sha256(tokenizer), whole["pre_tokenizer"], model]


@contextmanager
def vocabulary_file(pieces: Sequence[str]) -> Iterator[Path]:
    """A preparation takes its vocabulary from a file, and keeps its own."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        file.write_text("\n".join(pieces) + "\n", encoding="utf-8")
        yield file
