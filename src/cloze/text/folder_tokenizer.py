"""The tokenizer of a folder: read as it is, used everywhere, written back unchanged."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tokenizers import Tokenizer, models

from cloze.errors import InputError
from cloze.files.bounded import parse_json
from cloze.files.remote import RemotePath, fetch_folder
from cloze.text.bert_rules import (
    CASE_SHARE,
    LONGEST_WORD,
    NAMES,
    add_own_tokens,
    bert_rules,
    build_tokenizer,
    capitals,
    is_dense,
    own_tokens,
    read_vocabulary,
    steps,
    template,
)
from cloze.text.special_tokens import CONFIG, PROBE, SpecialTokens, sequence_ends, special_tokens
from cloze.text.tokenizer_files import (
    FILES,
    FLAGS,
    OF_BERT,
    VOCABULARY,
    WHOLE,
    WHOLE_FILE,
    Stated,
    checked_special_tokens,
    from_file,
)

OF_OTHERS = (
    "type", "unk_token", "unk_id", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
    "ignore_merges", "merges", "scores",
)  # fmt: skip
"""What BPE, Unigram and WordLevel have besides their vocabulary."""


class FolderTokenizer(NamedTuple):
    """The tokenizer of a folder.

    Attributes:
        tokenizer: with every token that transformers would give it; it neither truncates nor pads.
        files: those of the folder by name, which make the same tokenizer wherever they are written.
    """

    tokenizer: Tokenizer
    files: dict[str, bytes]

    @property
    def special(self) -> SpecialTokens:
        """Its special tokens, by what they are for."""
        return special_tokens(self.tokenizer, self.files)

    @property
    def is_dense(self) -> bool:
        """Whether every id up to the last one is that of a token."""
        return is_dense(self.tokenizer)

    def with_tokens(self, tokens: Sequence[str]) -> "FolderTokenizer":
        """It with special tokens of the user's own; what is in the vocabulary already keeps its id."""
        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        add_own_tokens(tokenizer, tokens)
        return self.replaced(tokenizer)

    def replaced(self, tokenizer: Tokenizer) -> "FolderTokenizer":
        """Another tokenizer with what the configuration says besides the tokens."""
        settings = parse_json(self.files.get(CONFIG, b"{}"))
        for key in ("extra_special_tokens", "added_tokens_decoder"):  # they stand in tokenizer.json
            settings.pop(key, None)
        own = _own_settings(tokenizer, special_tokens(tokenizer, self.files))
        return FolderTokenizer(tokenizer, {CONFIG: _json({**settings, **own})})

    @property
    def has_segments(self) -> bool:
        """Whether the second text of a pair has a segment of its own."""
        return bool(max(self.tokenizer.encode(PROBE, PROBE).type_ids) > 0)

    def with_segments(self) -> "FolderTokenizer":
        """It for a model of several segments: the second text of a pair has one, for transformers, too."""
        tokenizer, files = self
        if not self.has_segments:
            tokenizer, (cls, sep) = Tokenizer.from_str(tokenizer.to_str()), sequence_ends(tokenizer)
            tokenizer.post_processor = template(tokenizer, cls.content, sep.content)
            files = {name: content for name, content in files.items() if name != WHOLE}
        inputs, settings = _inputs(tokenizer), parse_json(files.get(CONFIG, b"{}"))
        if set(inputs) - {*settings.get("model_input_names", inputs)}:
            files = {**files, CONFIG: _json({**settings, "model_input_names": inputs})}
        return FolderTokenizer(tokenizer, files)


def save_tokenizer(
    tokenizer: Tokenizer, folder: str | Path, files: Mapping[str, bytes] | None = None, *, segments: bool = True
) -> None:
    """Writes a tokenizer as `AutoTokenizer` reads it: ``tokenizer.json``, ``tokenizer_config.json``, ``vocab.txt``.

    Args:
        tokenizer: to be saved; ``vocab.txt`` is only written where BERT's rules make the same of it.
        folder: made if it is not there.
        files: of `FolderTokenizer`; what is among them stays as it was.
        segments: whether the model reads them; if not, transformers makes no ``token_type_ids`` for it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rules = bert_rules(tokenizer)
    special = special_tokens(tokenizer, files or {})
    names = {f"{role}_token": token.content for role, token in special._asdict().items() if token is not None}
    names = {key: names[key] for key in NAMES if key in names}
    config: dict[str, Any] = {
        "tokenizer_class": OF_BERT[0],
        **(rules or {}),
        **names,
        **_own_settings(tokenizer, special),
    }
    if rules is None or tokenizer.model.max_input_chars_per_word != LONGEST_WORD:
        # transformers makes a BertTokenizer from the vocabulary alone, with its own limit; this class reads the file.
        config |= {**WHOLE_FILE, "model_input_names": _inputs(tokenizer)}
    if not segments:
        config["model_input_names"] = ["input_ids", "attention_mask"]
    if rules is not None and is_dense(tokenizer):
        (folder / VOCABULARY).write_text("\n".join(vocabulary(tokenizer)) + "\n", encoding="utf-8")
    tokenizer.save(str(folder / WHOLE))
    (folder / CONFIG).write_bytes(_json(config))
    for name, content in (files or {}).items():
        (folder / name).write_bytes(content)


def _own_settings(tokenizer: Tokenizer, special: SpecialTokens) -> dict[str, Any]:
    own = [token.content for token in own_tokens(tokenizer, special.contents) if token.special]
    return {"additional_special_tokens": own} if own else {}


def _json(settings: Mapping[str, Any]) -> bytes:
    return (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode()


def load_tokenizer(folder: str | Path | RemotePath) -> Tokenizer:
    """The tokenizer of `read_tokenizer` alone."""
    return read_tokenizer(folder).tokenizer


def read_tokenizer(folder: str | Path | RemotePath) -> FolderTokenizer:
    """The tokenizer of a folder in Hugging Face's layout: ``tokenizer.json``, or ``vocab.txt`` as Google published it.

    Its ids are those of `AutoTokenizer`, with the tokens that other files add; a ``tokenizer.json`` may be of any kind
    (BPE, Unigram, WordLevel, WordPiece), and its rules hold, whatever class is named next to it. Next to a
    ``vocab.txt`` for which nothing says ``do_lower_case``, the vocabulary tells whether text is to be lowercased: an
    uncased one has next to no capitals.

    Raises:
        InputError: neither file is there, the tokenizer needs code of its own or puts others around a text than
            ``cls A sep``, or two files contradict each other.
    """
    if isinstance(folder, RemotePath):
        with TemporaryDirectory() as copy:
            return read_tokenizer(fetch_folder(folder, Path(copy) / folder.name))
    folder = Path(folder)
    stated = Stated.read(folder)
    in_file: list[dict[str, Any]] = []
    instead: dict[str, Any] = {}  # of the settings
    if (folder / WHOLE).is_file():
        tokenizer, in_file = from_file(folder / WHOLE)
        of_file = {**stated.settings, **WHOLE_FILE, "model_input_names": _inputs(tokenizer)}
        instead = stated.instead() if stated.agrees(tokenizer) else of_file
    elif not (folder / VOCABULARY).is_file():
        raise InputError(f"{folder}: holds neither {WHOLE} nor {VOCABULARY}; give the folder of a model or a corpus")
    elif stated.of_file:
        raise InputError(f"{folder}: has a {stated.class_name}, whose rules stand in a {WHOLE}: copy that there, too")
    else:
        stated.check_named()
        pieces, rules = read_vocabulary(folder), stated.rules()
        if "do_lower_case" not in stated.settings:
            rules["do_lower_case"] = capitals(pieces) <= CASE_SHARE * len(pieces)
            instead = {**stated.settings, "do_lower_case": rules["do_lower_case"]}
        tokenizer = build_tokenizer(
            pieces,
            lowercase=bool(rules["do_lower_case"]),
            chinese_characters=bool(rules["tokenize_chinese_chars"]),
            strip_accents=rules["strip_accents"],
        )
    stated.add_tokens(tokenizer, in_file)
    # Folders of sentence encoders carry both, and would truncate every text to 128 tokens without a word.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    files = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    if instead:
        files[CONFIG] = _json(instead)
    checked_special_tokens(tokenizer, folder, files)
    return FolderTokenizer(tokenizer, files)


def _inputs(tokenizer: Tokenizer) -> list[str]:
    """What transformers gives a model: segments, too, where the second text of a pair has one of its own."""
    segments = FolderTokenizer(tokenizer, {}).has_segments
    return ["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"]


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """Tokens in the order of their ids."""
    ids = tokenizer.get_vocab(with_added_tokens=True)
    return sorted(ids, key=ids.__getitem__)


def tokenizer_sha256(tokenizer: Tokenizer) -> str:
    """What determines the ids, vocabulary and rules, in one hash that no version of a library changes."""
    model = tokenizer.model
    state = steps(tokenizer)["normalizer"] or {}
    normalizer = {key: state.get(key) for key in ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")}
    content: list[Any] = [vocabulary(tokenizer), normalizer]
    if not isinstance(model, models.WordPiece):
        content.append(_beyond_vocabulary(model))
    elif model.max_input_chars_per_word != LONGEST_WORD:
        content.append(model.max_input_chars_per_word)
    if bert_rules(tokenizer) is None:
        content.append(steps(tokenizer))
    if not is_dense(tokenizer):
        content.append(sorted(tokenizer.get_vocab(with_added_tokens=True).values()))
    if own := own_tokens(tokenizer):
        content.append([[token.content, *(getattr(token, flag) for flag in FLAGS)] for token in own])
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _beyond_vocabulary(model: models.Model) -> dict[str, Any]:
    """What decides how BPE, Unigram or WordLevel splits a word, besides the tokens and their ids."""
    state = json.loads(model.__getstate__())
    if isinstance(model, models.Unigram):
        state["scores"] = [score for _, score in state["vocab"]]
    if "merges" in state:  # in two spellings
        state["merges"] = [pair.split(" ") if isinstance(pair, str) else pair for pair in state["merges"]]
    return {key: state[key] for key in OF_OTHERS if state.get(key) is not None}
