"""BERT's tokenizer, with the ids of Hugging Face's BertTokenizerFast: basic tokenisation, then WordPiece."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from cloze.bounded import read_json
from cloze.errors import InputError
from cloze.text.remote import RemotePath, fetch_folder

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"  # of pieces that continue a word
LONGEST_WORD = 100
"""Characters; BERT's WordPiece takes a longer word as ``[UNK]`` without a look."""
CASE_SHARE = (
    0.01  # uncased vocabularies hold a few capitals (2 of 21,128 in Google's Chinese one), cased ones a quarter
)


@dataclass(frozen=True, kw_only=True)
class WordPiece:
    """Which vocabulary to use, or how to train one.

    Attributes:
        vocab: a ``vocab.txt`` (one piece a line) or the folder that holds it; None trains one from the corpus.
        vocab_size: pieces to train, the special tokens included; a small corpus may give fewer.
        lowercase: lower the case and strip accents (BERT's "uncased").
        chinese_characters: put spaces around Chinese characters, so that each is a word.
        strip_accents: decompose characters and drop the marks (``schön`` becomes ``schon``). None does as `lowercase`
            says; where a vocabulary is trained on text in which marks carry meaning, they are kept.
        alphabet_size: characters that a trained vocabulary knows, the most frequent ones; words with others become
            ``[UNK]``. None takes 1,000, or as many as 99.95 % of the text need. At most half of `vocab_size`.
        max_input_chars_per_word: characters of a word from which on it becomes ``[UNK]``. None takes 100 as BERT does;
            where a vocabulary is trained on text without spaces, 1,000.
        min_frequency: how often a pair of pieces must occur to be joined in training.
        sample_megabytes: text that training takes into account at most, from the beginning of what it is given. It
            bounds memory: training needs about five times as much.
    """

    vocab: str | None = None
    vocab_size: int = 30_522
    lowercase: bool = True
    chinese_characters: bool = True
    strip_accents: bool | None = None
    alphabet_size: int | None = None
    max_input_chars_per_word: int | None = None
    min_frequency: int = 2
    sample_megabytes: float = 64.0

    def __post_init__(self) -> None:
        if self.vocab_size < 100:
            raise InputError(f"tokenizer.vocab_size={self.vocab_size}: must be at least 100")
        for key in ("alphabet_size", "max_input_chars_per_word", "min_frequency", "sample_megabytes"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise InputError(f"tokenizer.{key}={value}: must be positive")

    @property
    def strips_accents(self) -> bool:
        return self.lowercase if self.strip_accents is None else self.strip_accents

    @property
    def longest_word(self) -> int:
        return self.max_input_chars_per_word or LONGEST_WORD

    def build(self, vocab: Sequence[str]) -> Tokenizer:
        """The tokenizer of `vocab` with this normalisation."""
        return build_tokenizer(
            vocab,
            lowercase=self.lowercase,
            chinese_characters=self.chinese_characters,
            strip_accents=self.strip_accents,
            max_input_chars_per_word=self.longest_word,
        )


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
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(CLS, ids[CLS]), (SEP, ids[SEP])],
    )
    return tokenizer


def read_vocabulary(path: str | Path, *, lowercase: bool | None = None) -> list[str]:
    """Pieces of a ``vocab.txt``, or of the one in the folder `path`, in the order of their ids.

    With `lowercase`, the normalisation it will be used with, it is checked that the two fit.

    Raises:
        InputError: no such file, not UTF-8, an empty or repeated line, no special tokens, or case against `lowercase`.
    """
    path = Path(path)
    path = path / "vocab.txt" if path.is_dir() else path
    try:
        pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the vocabulary is not UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: the vocabulary cannot be read ({error.strerror}); set tokenizer.vocab") from error
    first_lines: dict[str, int] = {}
    for number, piece in enumerate(pieces, start=1):
        if not piece:
            raise InputError(f"{path}, line {number}: is empty; a vocabulary has one piece a line")
        if first_lines.setdefault(piece, number) != number:
            raise InputError(
                f"{path}, line {number}: repeats {piece!r} of line {first_lines[piece]}; remove one, or change it to an"
                " [unused] piece where the ids of a checkpoint must stay"
            )
    absent = [token for token in SPECIAL_TOKENS if token not in first_lines]
    if absent:
        raise InputError(f"{path}: has no {', '.join(absent)}; a BERT vocabulary needs {', '.join(SPECIAL_TOKENS)}")
    if lowercase is not None:
        _check_case(path, pieces, lowercase)
    return pieces


def _check_case(path: Path, pieces: Sequence[str], lowercase: bool) -> None:
    capitals = _capitals(pieces)
    words = sum(piece.isascii() and piece.isalpha() for piece in pieces)
    if lowercase and capitals > CASE_SHARE * len(pieces):
        raise InputError(
            f"{path}: is a cased vocabulary ({capitals:,} pieces with capitals); set tokenizer.lowercase=false"
        )
    if not lowercase and capitals == 0 and words > 26:
        raise InputError(f"{path}: is an uncased vocabulary (no piece has a capital); set tokenizer.lowercase=true")


def _capitals(pieces: Sequence[str]) -> int:
    return sum(piece != piece.lower() for piece in pieces if piece not in SPECIAL_TOKENS)


def save_tokenizer(tokenizer: Tokenizer, folder: str | Path) -> None:
    """Writes ``vocab.txt``, ``tokenizer.json`` and ``tokenizer_config.json``, as `AutoTokenizer` reads them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    normalizer = _normalizer_state(tokenizer)
    config: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": normalizer["lowercase"],
        "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        "strip_accents": normalizer["strip_accents"],
        "pad_token": PAD,
        "unk_token": UNK,
        "cls_token": CLS,
        "sep_token": SEP,
        "mask_token": MASK,
    }
    if tokenizer.model.max_input_chars_per_word != LONGEST_WORD:
        # transformers makes a BertTokenizer from the vocabulary alone, with its own limit; this class reads the file.
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary(tokenizer)) + "\n", encoding="utf-8")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_tokenizer(folder: str | Path | RemotePath) -> Tokenizer:
    """The tokenizer of a folder in Hugging Face's layout: ``tokenizer.json``, or ``vocab.txt`` as Google published it.

    Beside a ``vocab.txt`` without ``tokenizer_config.json``, whose ``do_lower_case`` says it, the vocabulary tells
    whether text is to be lowercased: an uncased one has next to no capitals.

    Raises:
        InputError: neither file is there, or they are not those of a WordPiece tokenizer.
    """
    if isinstance(folder, RemotePath):
        with TemporaryDirectory() as copy:
            return load_tokenizer(fetch_folder(folder, Path(copy) / folder.name))
    folder = Path(folder)
    whole, config = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if whole.is_file():
        try:
            tokenizer = Tokenizer.from_file(str(whole))
        except Exception as error:  # the library raises nothing narrower
            raise InputError(f"{whole}: is not a tokenizer of the tokenizers library ({error})") from error
        if not isinstance(tokenizer.model, models.WordPiece):
            raise InputError(f"{whole}: is a {type(tokenizer.model).__name__} tokenizer; BERT needs WordPiece")
        return tokenizer
    if not (folder / "vocab.txt").is_file():
        raise InputError(
            f"{folder}: holds neither tokenizer.json nor vocab.txt; give the folder of a model or a corpus"
        )
    try:
        settings = read_json(config) if config.is_file() else {}
    except ValueError as error:
        raise InputError(f"{config} is damaged ({error}); copy the folder again") from error
    pieces = read_vocabulary(folder)
    return build_tokenizer(
        pieces,
        lowercase=settings.get("do_lower_case", _capitals(pieces) <= CASE_SHARE * len(pieces)),
        chinese_characters=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
    )


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """Pieces in the order of their ids."""
    ids = tokenizer.get_vocab(with_added_tokens=True)
    return sorted(ids, key=ids.__getitem__)


def tokenizer_sha256(tokenizer: Tokenizer) -> str:
    """What determines the ids, vocabulary and normalisation, in one hash that no version of a library changes."""
    content: list[Any] = [vocabulary(tokenizer), _normalizer_state(tokenizer)]
    if (limit := tokenizer.model.max_input_chars_per_word) != LONGEST_WORD:
        content.append(limit)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def continuation_pieces(vocab: Sequence[str]) -> np.ndarray:
    """(V,) bool: the pieces that continue a word."""
    return np.array([piece.startswith(PREFIX) for piece in vocab])


def _normalizer_state(tokenizer: Tokenizer) -> dict[str, bool | None]:
    state = json.loads(tokenizer.to_str())["normalizer"] or {}
    return {key: state.get(key) for key in ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")}
