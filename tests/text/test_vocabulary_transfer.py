"""Which old tokens the tokens of another tokenizer begin with, against the rule in plain Python."""

import re
from itertools import product

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers

from cloze.checkpoint.growth import transfer_vocabulary
from cloze.text.characters import Characters
from cloze.text.tokenizer import SPECIAL_TOKENS, FolderTokenizer, WordPiece, build_tokenizer, read_tokenizer, vocabulary
from cloze.text.trained import ByteLevelBPE
from cloze.text.vocabulary_transfer import origins
from tests.kinds import KINDS, modernbert, save
from tests.small_text import small_text

TEXT = small_text().splitlines()


@pytest.fixture(scope="session")
def all_kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FolderTokenizer]:
    place = tmp_path_factory.mktemp("kinds")
    trained = {
        "wordpiece": WordPiece(vocab_size=300),
        "cased": WordPiece(vocab_size=300, lowercase=False),
        "bpe": ByteLevelBPE(vocab_size=400),
        "characters": Characters(),
    }
    released = {kind: read_tokenizer(save(kind, make(TEXT), place / kind)) for kind, make in KINDS.items()}
    return released | {kind: source.learn(lambda: TEXT).tokenizer for kind, source in trained.items()}


def test_a_tokenizer_keeps_all_of_its_own_tokens(all_kinds: dict[str, FolderTokenizer]) -> None:
    for kind, own in all_kinds.items():
        found = origins(own, own)
        assert found.parts == [[number] for number in range(len(found.parts))], kind
        assert (found.kept, found.averaged, found.unread) == (len(found.parts), 0, 0)


def test_special_tokens_go_by_what_they_are_for(all_kinds: dict[str, FolderTokenizer]) -> None:
    for new, old in product(all_kinds.values(), repeat=2):
        found = origins(new, old)
        for role in ("cls", "sep", "mask"):
            token, there = getattr(new.special, role), getattr(old.special, role)
            assert found.parts[token.id] == [there.id]


def bytes_of_gpt2() -> dict[str, int]:
    """The characters that stand for bytes (Radford et al. 2019, `encoder.py`)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [number for number in range(256) if number not in shown]
    return {chr(number): number for number in shown} | {chr(256 + at): number for at, number in enumerate(others)}


def text_of_bpe(piece: str) -> str | None:
    try:
        return bytes(bytes_of_gpt2()[letter] for letter in piece).decode()
    except UnicodeDecodeError:
        return None


def text_of_wordpiece(piece: str) -> str:
    if piece.startswith("##"):
        return piece[2:]
    return f" {piece}" if re.fullmatch(r"\w+", piece) else piece


def read_by_wordpiece(text: str, vocab: dict[str, int]) -> list[int]:
    """Longest match first; a word with a letter that there is no token for gives nothing."""
    found: list[int] = []
    for word in re.finditer(r"\w+|[^\w\s]", text.lower()):
        rest, prefix = word.group(), "##" if word.start() == 0 and word.group().isalnum() else ""
        ids: list[int] = []
        while rest:
            end = next((end for end in range(len(rest), 0, -1) if prefix + rest[:end] in vocab), 0)
            if not end:
                ids = []
                break
            ids.append(vocab[prefix + rest[:end]])
            rest, prefix = rest[end:], "##"
        found += ids
    return found


def expected_of(texts: list[str | None], old: dict[str, int], read: dict[str, list[int]]) -> list[list[int]]:
    """For ordinary tokens: the same text, the same but for the space before it, or what it is read as."""
    found = []
    for text in texts:
        other = None if text is None else text[1:] if text.startswith(" ") else f" {text}"
        same = old.get(text or "", old.get(other or ""))
        found.append([same] if same is not None else read[text] if text is not None else [])
    return found


def test_byte_pairs_begin_in_word_pieces_and_the_other_way_round() -> None:
    pieces = WordPiece(vocab_size=300).learn(lambda: TEXT).tokenizer
    pairs = ByteLevelBPE(vocab_size=400, add_prefix_space=False).learn(lambda: TEXT).tokenizer
    of_pieces, of_pairs = (vocabulary(one.tokenizer)[len(SPECIAL_TOKENS) :] for one in (pieces, pairs))
    texts_of_pieces = [text_of_wordpiece(piece) for piece in of_pieces]
    texts_of_pairs = [text_of_bpe(piece) for piece in of_pairs]
    first = len(SPECIAL_TOKENS)

    vocab = pieces.tokenizer.get_vocab()
    old: dict[str, int] = {}
    for number, text in enumerate(texts_of_pieces, start=first):
        old.setdefault(text, number)
    read = {text: read_by_wordpiece(text, vocab) for text in texts_of_pairs if text is not None}
    found = origins(pairs, pieces)
    assert found.parts[first:] == expected_of(texts_of_pairs, old, read)
    assert min(found.kept, found.averaged, found.unread) > 20

    there = {text: number for number, text in enumerate(texts_of_pairs, start=first) if text is not None}
    read = {text: pairs.tokenizer.encode(text, add_special_tokens=False).ids for text in texts_of_pieces}
    back = origins(pieces, pairs)
    assert back.parts[first:] == expected_of([*texts_of_pieces], there, read)
    assert min(back.kept, back.averaged) > 10

    prefixing = Tokenizer.from_str(pairs.tokenizer.to_str())
    prefixing.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # what it puts there is not read
    assert origins(pieces, FolderTokenizer(prefixing, {})).parts == back.parts


def test_a_character_is_its_token_before_it_is_its_byte(all_kinds: dict[str, FolderTokenizer]) -> None:
    new, old = (all_kinds[kind].tokenizer.get_vocab() for kind in ("modernbert", "mmbert"))
    parts = origins(all_kinds["modernbert"], all_kinds["mmbert"]).parts
    assert parts[new["."]] == [old["."]]
    assert parts[new["["]] == [old["<0x5B>"]]


def test_words_of_each_kind_are_one_text() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    old = build_tokenizer([*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters), "the", "##urns", "."])
    new = read_by(modernbert(["the the the urns. urns. xurns. yurns. they hey whey xhey"] * 9))
    parts = dict(zip(vocabulary(new.tokenizer), origins(new, FolderTokenizer(old, {})).parts, strict=True))
    ids = old.get_vocab()
    assert parts["Ġthe"] == [ids["the"]]
    assert parts["."] == [ids["."]]
    assert parts["urns"] == [ids["##urns"]]
    assert parts["hey"] == [ids["##h"], ids["##e"], ids["##y"]]
    assert parts["[MASK]"] == [ids["[MASK]"]]
    assert parts["À"] == []  # the byte of no character


def read_by(tokenizer: Tokenizer) -> FolderTokenizer:
    return FolderTokenizer(tokenizer, {})


def test_rows_are_means_of_rows() -> None:
    state = {"words": torch.randn(7, 3), "bias": torch.randn(7), "other": torch.ones(2)}
    moved = transfer_vocabulary(state, ["words", "bias", "absent"], [[4], [0, 2], []], 5)
    for name in ("words", "bias"):
        rows = state[name]
        assert torch.equal(moved[name][0], rows[4])
        torch.testing.assert_close(moved[name][1], (rows[0] + rows[2]) / 2)
        torch.testing.assert_close(moved[name][2], sum(rows[:5]) / 5)  # what is behind the tokens is padding
        assert len(moved[name]) == 3
    assert moved["other"] is state["other"]
    assert "absent" not in moved
