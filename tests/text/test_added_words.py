"""Words that are added to a tokenizer of any kind."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from cloze.errors import InputError
from cloze.text.added_words import read_words, with_words
from cloze.text.encoding import WordEncoder
from cloze.text.tokenizer import read_tokenizer, save_tokenizer
from tests.kinds import KINDS, modernbert, save
from tests.small_text import small_text

transformers = pytest.importorskip("transformers")
TEXT = small_text().splitlines()
WORDS = ["tumour", "Sjögren", "covid-19", "blue cell"]
TEXTS = [
    "The tumour returns, tumours do not: tumour.", "tumour", "Sjögren (Sjögren) the tumour covid-19",
    "an object of blue cell lists, the blue  cell", "a\ttumour\nreturns",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_word_is_one_token_and_all_else_is_read_as_before(kind: str, tmp_path: Path) -> None:
    make: Callable[[Iterable[str]], Tokenizer] = KINDS[kind]
    own = read_tokenizer(save(kind, make(TEXT), tmp_path / "own"))
    (tmp_path / "words.txt").write_text("tumour\n\n Sjögren \nlist\ncovid-19\nblue cell\ntumour\n", encoding="utf-8")
    words = read_words(tmp_path / "words.txt", own.tokenizer)
    assert words == [
        word for word in ("tumour", "Sjögren", "list", "covid-19", "blue cell") if word in (*WORDS, *words)
    ]
    grown = own.replaced(with_words(own.tokenizer, WORDS))
    size = own.tokenizer.get_vocab_size()
    ids = [grown.tokenizer.token_to_id(word) for word in WORDS]
    assert ids == [*range(size, size + 4)]

    found = [grown.tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    assert [[number for number in each.ids if number in ids] for each in found] == [
        [ids[0], ids[0]], [ids[0]], [ids[1], ids[1], ids[0], ids[2]], [ids[3]], [ids[0]],
    ]  # fmt: skip
    before, after = (one.tokenizer.encode("The object", add_special_tokens=False).ids for one in (own, grown))
    assert (
        grown.tokenizer.encode("The object tumour", add_special_tokens=False).ids == [*before, ids[0]] == [*after, size]
    )
    for text in TEXT[:20]:
        assert grown.tokenizer.encode(text).ids == own.tokenizer.encode(text).ids
    encoder = WordEncoder(grown.tokenizer, grown.files)
    for text, expected in zip(TEXTS, found, strict=True):
        assert encoder.encode(text) == b"".join(encoder.dtype.type(number).tobytes() for number in expected.ids)

    save_tokenizer(grown.tokenizer, tmp_path / "grown", grown.files)
    (tmp_path / "grown/config.json").write_text('{"model_type": "modernbert"}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "grown")
    assert theirs(TEXTS, add_special_tokens=False)["input_ids"] == [each.ids for each in found]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tumour\n##oma\n", r"line 2: '##oma' continues a word, as tokens of WordPiece do"),
        ("the\n\n", "holds no word that is not a token already; leave grow.vocab out"),
    ],
)
def test_what_cannot_be_added_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_words(tmp_path / "words.txt", modernbert(["the the the"] * 9))
