"""Read the tokenizer files of a folder as transformers does: rules and tokens.

``tokenizer.json`` has the rules of a tokenizer, of whatever kind, and ``vocab.txt`` none, and next to either lies what
the library keeps of it: the class, named and additional tokens. Not every reader takes all of it into account: of
BERT's classes, which are as old as their vocabularies, what two files say differently is refused; for all others the
rules are those of ``tokenizer.json``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models

from cloze.errors import InputError
from cloze.files.bounded import parse_json, read_json, read_text
from cloze.text.bert_rules import LONGEST_WORD, NAMES, bert_rules, steps, template
from cloze.text.patterns import pattern_fault
from cloze.text.special_tokens import CONFIG, SPECIAL, SpecialTokens, named_tokens, special_tokens

WHOLE, ADDED, VOCABULARY = "tokenizer.json", "added_tokens.json", "vocab.txt"
FILES = (WHOLE, CONFIG, SPECIAL, ADDED, VOCABULARY)
MODEL = "config.json"

OF_BERT = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
"""Classes that make BERT's rules of three settings and a vocabulary, whatever rules stand in ``tokenizer.json``."""
OF_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes whose rules are those of ``tokenizer.json``."""
REBUILT = (
    "AlbertTokenizer", "BartTokenizer", "BigBirdTokenizer", "CamembertTokenizer", "CodeLlamaTokenizer",
    "CohereTokenizer", "DebertaTokenizer", "DebertaV2Tokenizer", "FNetTokenizer", "GPT2Tokenizer", "GPTNeoXTokenizer",
    "GemmaTokenizer", "HerbertTokenizer", "LlamaTokenizer", "LongformerTokenizer", "MPNetTokenizer", "Qwen2Tokenizer",
    "RemBertTokenizer", "RobertaTokenizer", "T5Tokenizer", "XLMRobertaTokenizer", "XLNetTokenizer",
)  # fmt: skip
"""Classes of which version 4 of transformers takes the rules of ``tokenizer.json``, and version 5 those of its code."""

RIVALS = ("add_bos_token", "add_eos_token")
"""Settings for which version 5 of transformers puts others around a text than the post-processor says."""

MODELS = (models.BPE, models.Unigram, models.WordLevel, models.WordPiece)

WHOLE_FILE: dict[str, Any] = {"tokenizer_class": OF_FILE[0]}
"""Settings with which transformers takes the rules of ``tokenizer.json``."""

RULES = ("do_lower_case", "tokenize_chinese_chars", "strip_accents")
"""Settings of BERT's classes."""

ONLY: dict[str, Any] = {
    "auto_map": None,
    "do_basic_tokenize": True,
    "never_split": None,
    "split_special_tokens": False,
    "subword_tokenizer_type": "wordpiece",
    "word_tokenizer_type": "basic",
}
"""Settings that ask for rules in code, or for others than the tokenizers library has, with the value that does not."""

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class Stated:
    """What a folder says besides ``tokenizer.json`` and ``vocab.txt``.

    Attributes:
        folder: that was read.
        settings: of ``tokenizer_config.json``.
        special: of ``special_tokens_map.json``.
        added: of ``added_tokens.json``, ids by token.
        class_name: of transformers, without "Fast"; None where nothing names one.
    """

    folder: Path
    settings: dict[str, Any]
    special: dict[str, Any]
    added: dict[str, int]
    class_name: str | None

    @classmethod
    def read(cls, folder: Path) -> "Stated":
        """The files of a folder of a model, or of a tokenizer alone, none of which has to be there.

        Raises:
            InputError: one is damaged, or asks for a tokenizer of another kind than those that are read.
        """
        settings, special, added = (_read(folder / name) for name in (CONFIG, SPECIAL, ADDED))
        stated, model = settings.get("tokenizer_class"), _read(folder / MODEL)
        said = folder / (MODEL if stated is None else CONFIG)
        class_name = stated if stated is not None else model.get("tokenizer_class")
        if class_name is not None:
            class_name = str(class_name) if str(class_name) in OF_FILE else str(class_name).removesuffix("Fast")
        if class_name not in (None, *OF_BERT, *OF_FILE, *REBUILT):
            raise InputError(
                f"{said}: tokenizer_class is {class_name!r}, which splits text by code of its own; only {OF_BERT[0]} "
                f"and what stands whole in a {WHOLE} ({OF_FILE[0]}) are read"
            )
        for key, only in ONLY.items():
            if settings.get(key) not in (None, only, []):
                raise InputError(f"{folder / CONFIG}: {key} is {settings[key]!r:.60}, but only {only!r} is read")
        return cls(folder, settings, special, added, class_name)

    @property
    def of_file(self) -> bool:
        return self.class_name in (*OF_FILE, *REBUILT)

    def instead(self) -> dict[str, Any]:
        """The settings with which transformers takes the rules of ``tokenizer.json`` where these would not.

        None of them where they do.
        """
        kept = {key: value for key, value in self.settings.items() if key not in RIVALS}
        if self.class_name in REBUILT:
            inputs = {"model_input_names": ["input_ids", "attention_mask"]}  # as of those classes
            return {**inputs, **kept, "tokenizer_class": OF_FILE[0]}
        return kept if self.of_file and kept != self.settings else {}

    def check_named(self) -> None:
        """Refuse other special tokens than BERT's next to a ``vocab.txt``, which says nothing of them.

        Raises:
            InputError: there are others.
        """
        for file, content in ((CONFIG, self.settings), (SPECIAL, self.special)):
            for key, only in NAMES.items():
                if (token := _content(content.get(key))) not in (None, only):
                    raise InputError(f"{self.folder / file}: {key} is {token!r:.60}, but only {only!r} is read")

    def rules(self) -> dict[str, bool | None]:
        """The settings of BERT's classes, or their defaults."""
        found = {key: self.settings.get(key) for key in RULES}
        defaults = {"do_lower_case": True, "tokenize_chinese_chars": True}
        return {key: defaults.get(key) if value is None else bool(value) for key, value in found.items()}

    def agrees(self, tokenizer: Tokenizer) -> bool:
        """Whether transformers will make the tokenizer of a ``tokenizer.json`` from it, with what the files say.

        Raises:
            InputError: it will not, and they say so.
        """
        if self.of_file:
            return True
        stored, rules = bert_rules(tokenizer), self.rules()
        if stored is None:
            state = steps(tokenizer)
            kinds = [f"{name} {(state[name] or {}).get('type')}" for name in ("normalizer", "pre_tokenizer")]
            other = [f"rules that are not BERT's ({', '.join(kinds)})"]
        else:
            pairs = zip(RULES, _acts(stored), _acts(rules), strict=True)
            other = [f"{key}={json.dumps(there)}" for key, there, said in pairs if there != said]
        if (longest := getattr(tokenizer.model, "max_input_chars_per_word", LONGEST_WORD)) != LONGEST_WORD:
            other.append(f"max_input_chars_per_word={longest}")
        if not other and tokenizer.post_processor is None:
            tokenizer.post_processor = template(tokenizer)
        if other and (self.class_name in OF_BERT or any(key in self.settings for key in RULES)):
            raise InputError(
                f"{self.folder}: {WHOLE} has {', '.join(other)}, which {CONFIG} contradicts: transformers leaves the "
                f"rules of {WHOLE} out for a {self.class_name or OF_BERT[0]}; correct one of the two files, or set "
                f"tokenizer_class to {OF_FILE[0]} there"
            )
        return not other

    def add_tokens(self, tokenizer: Tokenizer, in_file: Iterable[Mapping[str, Any]]) -> None:
        """Give a tokenizer the tokens that transformers would, in its order (``_from_pretrained`` of version 5).

        Args:
            tokenizer: as ``tokenizer.json`` or BERT's rules make it.
            in_file: the added tokens of ``tokenizer.json``.

        Raises:
            InputError: they are damaged, or would get other ids than the files say.
        """
        try:
            numbered, others = self._tokens(in_file)
            known = {repr(token) for token in tokenizer.get_added_tokens_decoder().values()}
            tokenizer.add_tokens([token for _, token in sorted(numbered.items()) if repr(token) not in known])
            there = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
            tokenizer.add_tokens([token for token in others if token.content not in there])
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{self.folder}: its added tokens are damaged ({error}); copy the folder again") from error
        for number, token in sorted(numbered.items()):
            if (got := tokenizer.token_to_id(token.content)) != number:
                raise InputError(
                    f"{self.folder}: its files give the token {token.content!r} the id {number:,}, but in its place "
                    f"behind the vocabulary it gets {got:,}; save the tokenizer again with transformers"
                )
        self._check_distinct(tokenizer)

    def _check_distinct(self, tokenizer: Tokenizer) -> None:
        """Of two tokens that are one in normalised text, the library finds one or the other by chance."""
        seen: dict[str, str] = {}
        for token in tokenizer.get_added_tokens_decoder().values():
            if token.normalized and tokenizer.normalizer is not None:
                normalized = tokenizer.normalizer.normalize_str(token.content)
                if (other := seen.setdefault(normalized, token.content)) != token.content:
                    raise InputError(
                        f"{self.folder}: its added tokens {other!r} and {token.content!r} are one in normalised text "
                        f"({normalized!r}); remove one, or add both with normalized=False"
                    )

    def _tokens(self, in_file: Iterable[Mapping[str, Any]]) -> tuple[dict[int, AddedToken], list[AddedToken]]:
        """Those with an id, and those that get the next ones."""
        settings, names = dict(self.settings), list(NAMED)
        if not settings.get("extra_special_tokens"):
            settings["extra_special_tokens"] = settings.pop("additional_special_tokens", None)
        names += [key for key, value in settings.items() if key.endswith("_token") and isinstance(value, str)]
        numbered: dict[int, AddedToken] = {}
        if "added_tokens_decoder" in settings:
            numbered = {int(number): _token(token) for number, token in settings["added_tokens_decoder"].items()}
        else:
            settings |= {key: value for key, value in self.special.items() if value is not None}
            special = {_content(settings.get(key)) for key in NAMED}
            special.update(map(_content, _extra(settings)))
            for content, number in self.added.items():
                is_special = content in special
                numbered[int(number)] = AddedToken(content, normalized=not is_special, special=is_special)
            numbered |= {int(token["id"]): _token(token) for token in in_file}
            if not _extra(settings):
                settings["extra_special_tokens"] = settings.get("additional_special_tokens")
        named = [settings[key] for key in dict.fromkeys(names) if settings.get(key) is not None]
        contents = {_content(token) for token in named}
        for token in numbered.values():
            token.special = token.special or token.content in contents
        own = {token.content: token for token in numbered.values()}
        others = [_token(token, special=True) for token in (*named, *_extra(settings))]
        return numbered, [token for token in others if token.content not in own]


def _acts(rules: Mapping[str, bool | None]) -> list[bool]:
    """What each of ``RULES`` comes to: accents are stripped with the case where nothing is said of them."""
    lowercase, chinese, strips = (rules[key] for key in RULES)
    return [bool(lowercase), bool(chinese), bool(lowercase if strips is None else strips)]


def _extra(settings: Mapping[str, Any]) -> list[Any]:
    extra = settings.get("extra_special_tokens") or []
    return list(extra.values() if isinstance(extra, dict) else extra)


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token


def _token(token: Any, *, special: bool = False) -> AddedToken:
    if isinstance(token, str):
        return AddedToken(token, special=special)
    flags = {flag: bool(token[flag]) for flag in FLAGS if flag in token}
    return AddedToken(token["content"], **({"special": special} | flags))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file) if file.is_file() else {}
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); copy the folder again") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} is damaged (no JSON object); copy the folder again")
    return content


def from_file(file: Path) -> tuple[Tokenizer, list[dict[str, Any]]]:
    """The tokenizer of a ``tokenizer.json``, and what the file says of its added tokens.

    Raises:
        InputError: it is damaged, or of another kind.
    """
    try:
        text = read_text(file)
        tokenizer = Tokenizer.from_str(text)
        in_file = list(parse_json(text).get("added_tokens") or [])
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"{file}: is not a tokenizer of the tokenizers library ({error})") from error
    if fault := pattern_fault(tokenizer):
        raise InputError(f"{file}: {fault}")
    model = tokenizer.model
    if not isinstance(model, MODELS):
        raise InputError(f"{file}: is a {type(model).__name__} tokenizer, which is not read")
    if isinstance(model, models.BPE) and model.dropout:
        raise InputError(
            f"{file}: model.dropout is {model.dropout:.3g}, so that its tokens are drawn: set it to null there"
        )
    return tokenizer, in_file


def checked_special_tokens(tokenizer: Tokenizer, folder: Path, files: Mapping[str, bytes]) -> SpecialTokens:
    """The special tokens of a folder.

    Raises:
        InputError: it puts others around a text than ``cls A sep``, or its files name others than it puts there.
    """
    try:
        found = special_tokens(tokenizer, files)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    named = named_tokens(files)
    for key, token in (("cls_token", found.cls), ("sep_token", found.sep)):
        if named.get(key, token.content) != token.content:
            raise InputError(
                f"{folder / CONFIG}: {key} is {named[key]!r:.60}, but {token.content!r} is what its tokenizer puts "
                f"there: correct one of the two, this or the post_processor of {WHOLE}"
            )
    return found
