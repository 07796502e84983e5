"""Use the tokenizer of a model as the tokenizer of a corpus."""

from collections.abc import Iterable, Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer

from cloze.errors import InputError
from cloze.text.bert_rules import bert_rules, check_vocabulary, is_dense, own_tokens, steps
from cloze.text.new_tokens import possible
from cloze.text.tokenizer import LONGEST_WORD, WordPiece, vocabulary
from cloze.text.tokenizer_source import GivenTokenizer, TokenizerSource


def own_words(
    stated: Mapping[str, Any], words: WordPiece, tokenizer: Tokenizer, name: str
) -> WordPiece | GivenTokenizer:
    """The normalisation of a model's tokenizer, which the configuration may not contradict.

    Args:
        stated: the arguments of the node `tokenizer`.
        words: built from it; also says how new tokens are chosen.
        tokenizer: the model's.
        name: of the model.

    Returns:
        Its settings if it is BERT's, which can grow by words; else no more than where it is.

    Raises:
        InputError: they differ, or no corpus can be prepared with this tokenizer.
    """
    if not is_dense(tokenizer):
        raise InputError(f"{name}: its tokenizer has ids that nothing has: save it again with transformers")
    if bert_rules(tokenizer) is None:
        if other := [key for key in stated if key not in ("special_tokens", "sample_megabytes")]:
            raise InputError(f"tokenizer.{other[0]} is set, but {name} has a tokenizer of its own: leave it out")
        return GivenTokenizer(vocab=name)
    own = normalised(words, tokenizer)
    normalisation = {key: getattr(own, key) for key in ("lowercase", "chinese_characters", "strip_accents")}
    for key, value in {**normalisation, "max_input_chars_per_word": own.longest_word}.items():
        if key in stated and stated[key] != value:
            raise InputError(
                f"tokenizer.{key} is {stated[key]}, but that of {name} is {value}: leave it out, or give the model "
                "another tokenizer as tokenizer="
            )
    for key in ("vocab", "vocab_size"):
        if stated.get(key) is not None:
            raise InputError(
                f"tokenizer.{key} is set, but the vocabulary is that of {name}: leave it out, see grow.vocab, or give "
                "the model another tokenizer as tokenizer="
            )
    tokens = {token.content for token in own_tokens(tokenizer)}
    pieces = [piece for piece in vocabulary(tokenizer) if piece not in tokens]
    check_vocabulary(pieces, f"{name}: its vocabulary", own.lowercase)
    return own


def own_settings(words: TokenizerSource, tokenizer: Tokenizer, name: str) -> WordPiece | GivenTokenizer:
    """What `own_words` says, of a tokenizer that was checked when its run began."""
    is_bert = bert_rules(tokenizer) is not None and isinstance(words, WordPiece)
    return normalised(words, tokenizer) if is_bert else GivenTokenizer(vocab=name)  # type: ignore[arg-type]


def check_own(words: TokenizerSource, tokenizer: Tokenizer, name: str) -> None:
    """Refuse what is asked of a tokenizer where a model brings its own; what is as by default need not be asked for.

    Raises:
        InputError: names the key.
    """
    if not isinstance(words, WordPiece):
        raise InputError(
            f"tokenizer is a {type(words).__name__}, but {name} has a tokenizer of its own: leave tokenizer= out"
        )
    default, own = WordPiece(), normalised(words, tokenizer)
    for key in ("vocab", "lowercase", "chinese_characters", "strip_accents", "max_input_chars_per_word"):
        asked = getattr(words, key)
        if asked not in (getattr(default, key), None if key == "vocab" else getattr(own, key)):
            raise InputError(
                f"tokenizer.{key} is {asked}, but {name} has a tokenizer of its own: leave it out, or train one with a "
                "size as model="
            )


def normalised(words: WordPiece, tokenizer: Tokenizer) -> WordPiece:
    """`words` with the normalisation of a tokenizer."""
    state = steps(tokenizer)["normalizer"] or {}
    longest = getattr(tokenizer.model, "max_input_chars_per_word", LONGEST_WORD)
    return WordPiece(
        vocab_size=words.vocab_size,
        alphabet_size=words.alphabet_size,
        min_frequency=words.min_frequency,
        sample_megabytes=words.sample_megabytes,
        lowercase=bool(state.get("lowercase")),
        chinese_characters=bool(state.get("handle_chinese_chars")),
        strip_accents=state.get("strip_accents"),
        special_tokens=(),  # they are the tokenizer's
        max_input_chars_per_word=None if longest == LONGEST_WORD else longest,
    )


def check_apart(tokens: Iterable[AddedToken], words: WordPiece, name: str) -> None:
    """Refuse to grow a vocabulary with tokens of its own that are words, too: as tokens they would be found elsewhere.

    Raises:
        InputError: names one.
    """
    for token in tokens:
        if possible(token.content, words):
            raise InputError(
                f"{name}: its tokenizer has a token of its own, {token.content!r}, that is a word, too, so that its "
                "vocabulary cannot grow: leave grow= out, or begin from a model without it"
            )
