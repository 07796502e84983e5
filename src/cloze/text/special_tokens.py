"""The special tokens of a tokenizer by what they are for, whatever they are called.

BERT and ModernBERT write ``[CLS] A [SEP]``, mmBERT ``<bos> A <eos>``, EuroBERT ``<|begin_of_text|> A <|end_of_text|>``.
What stands around a text is what the post-processor puts there, the token of unknown words is the model's; only the
tokens for padding and for masks have to be named, in ``tokenizer_config.json`` or ``special_tokens_map.json``.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tokenizers import Tokenizer, models

from cloze.errors import InputError
from cloze.files.bounded import parse_json

CONFIG, SPECIAL = "tokenizer_config.json", "special_tokens_map.json"

NO_MASK = f"has no mask token, so that nothing can be masked: name one as mask_token in {CONFIG}, or take another"

PROBE = "a"
"""A text of one word, to see what a tokenizer puts around it."""


class SpecialToken(NamedTuple):
    """A special token as it is written, and its id."""

    content: str
    id: int


class Ends(NamedTuple):
    """What stands around a text: ``cls A sep`` or ``cls A sep B sep``."""

    cls: SpecialToken
    sep: SpecialToken


class SpecialTokens(NamedTuple):
    """The special tokens by role; two roles may share a token, as EuroBERT's end of a text is its padding, too.

    Attributes:
        cls: before a text.
        sep: behind each text.
        pad: None where the tokenizer names none.
        mask: in place of a masked token; None where the tokenizer has none: nothing can be masked then.
        unk: for what the vocabulary has no token for; None where there is nothing of the kind, as in bytes.
    """

    cls: SpecialToken
    sep: SpecialToken
    pad: SpecialToken | None
    mask: SpecialToken | None
    unk: SpecialToken | None

    @property
    def filler(self) -> int:
        """The id that fills rows up, where nothing looks at it."""
        return (self.pad or self.sep).id

    @property
    def contents(self) -> frozenset[str]:
        """The texts of those that are there."""
        return frozenset(token.content for token in self if token is not None)

    def mask_of(self, name: object) -> SpecialToken:
        """The token for masks.

        Args:
            name: of the model or the corpus, for the message.

        Raises:
            InputError: the tokenizer has none.
        """
        if self.mask is None:
            raise InputError(f"{name}: its tokenizer {NO_MASK}")
        return self.mask


NO_FILES: Mapping[str, bytes] = MappingProxyType({})


def special_tokens(tokenizer: Tokenizer, files: Mapping[str, bytes] = NO_FILES) -> SpecialTokens:
    """The special tokens of a tokenizer.

    Where the files name no token for padding or masks, it is the special token that is called so, in whatever
    brackets: ``[MASK]``, ``<mask>``, ``<|mask|>``.

    Args:
        tokenizer: as it is read from them.
        files: those of its folder (`cloze.text.tokenizer.FolderTokenizer`).

    Raises:
        InputError: it puts other tokens around a text than ``cls A sep``, or several are called mask.
    """
    named = named_tokens(files)
    pad, mask = (_named(tokenizer, role, named.get(f"{role}_token")) for role in ("pad", "mask"))
    return SpecialTokens(*sequence_ends(tokenizer), pad, mask, unknown_token(tokenizer))


def named_tokens(files: Mapping[str, bytes]) -> dict[str, str]:
    """The contents of the tokens that the files name, by their keys there, as ``mask_token``."""
    settings: dict[str, Any] = parse_json(files.get(CONFIG, b"{}"))
    if "added_tokens_decoder" not in settings:  # as transformers, which reads the older file only then
        settings |= {key: value for key, value in parse_json(files.get(SPECIAL, b"{}")).items() if value is not None}
    contents = {key: value.get("content") if isinstance(value, dict) else value for key, value in settings.items()}
    return {key: value for key, value in contents.items() if key.endswith("_token") and isinstance(value, str)}


def _named(tokenizer: Tokenizer, role: str, content: str | None) -> SpecialToken | None:
    if content is not None:
        number = tokenizer.token_to_id(content)
        return None if number is None else SpecialToken(content, number)
    added = tokenizer.get_added_tokens_decoder().items()
    found = [SpecialToken(token.content, number) for number, token in added if _is_called(token.content, role)]
    if len(found) > 1:
        contents = " and ".join(token.content for token in found)
        raise InputError(f"its tokenizer has {contents}: name one of them as {role}_token in {CONFIG}")
    return found[0] if found else None


def _is_called(content: str, role: str) -> bool:
    return content.strip("[]<>|").lower() == role and content.lower() != role


def sequence_ends(tokenizer: Tokenizer) -> Ends:
    """What a tokenizer puts around a text.

    Raises:
        InputError: others than ``cls A sep`` and ``cls A sep B sep``.
    """
    bare = Tokenizer(tokenizer.model)  # without truncation and padding, which the folder of a model may switch on
    for name in ("normalizer", "pre_tokenizer", "post_processor"):
        if (part := getattr(tokenizer, name)) is not None:
            setattr(bare, name, part)
    text = bare.encode(PROBE, add_special_tokens=False).ids
    single, pair = bare.encode(PROBE).ids, bare.encode(PROBE, PROBE).ids
    if len(single) >= 2 and single[1:-1] == text and pair == [*single, *text, single[-1]]:
        first, last = (str(tokenizer.id_to_token(number)) for number in (single[0], single[-1]))
        return Ends(SpecialToken(first, single[0]), SpecialToken(last, single[-1]))
    found = " ".join(str(tokenizer.id_to_token(number)) for number in pair)
    raise InputError(
        f"its tokenizer makes {found!r} of the texts {PROBE!r} and {PROBE!r}; only a token before the first and one "
        "and the same behind each are read, as in [CLS] A [SEP] B [SEP]: set the post_processor of tokenizer.json to "
        "that, which then is what the model is trained with"
    )


def stand_in(tokenizer: Tokenizer) -> int:
    """The id that a word is shown as of which a tokenizer leaves nothing: that of unknown words, or else of ``sep``."""
    return (unknown_token(tokenizer) or sequence_ends(tokenizer).sep).id


def unknown_token(tokenizer: Tokenizer) -> SpecialToken | None:
    """The token for what a vocabulary has none for."""
    model = tokenizer.model
    if isinstance(model, models.Unigram):  # which tells it only so
        number = json.loads(model.__getstate__())["unk_id"]
        return None if number is None else SpecialToken(str(tokenizer.id_to_token(number)), int(number))
    content = getattr(model, "unk_token", None)
    number = None if content is None else tokenizer.token_to_id(content)
    return None if number is None else SpecialToken(str(content), int(number))
