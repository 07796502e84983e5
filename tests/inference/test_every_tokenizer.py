"""What tasks, features, answers, targets and saved models are with tokenizers of every kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import AddedToken
from transformers import AutoTokenizer, BertModel

from cloze.batch import Packed
from cloze.callbacks.samples import heldout_masked
from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.pretrained import read_pretrained
from cloze.data.extraction.options import Sizes
from cloze.data.extraction.text_tokens import OUTSIDE, RowText, TextEncoder
from cloze.data.extraction.vectors import NOWHERE, rows_of
from cloze.data.finetuning.items import Sequences, encode
from cloze.data.finetuning.questions import QuestionFeatures, encode_passages
from cloze.data.finetuning.tagging import TaggingFeatures
from cloze.data.tables.examples import Answer, QuestionExample, TaggedExample
from cloze.errors import InputError
from cloze.inference.fill_mask import forms
from cloze.tasks.answer_spans import best_answers
from cloze.text.tokenizer import read_tokenizer
from cloze.text.word_boundaries import BLANK, Spelling, shown
from tests.kinds import KINDS
from tests.tiny import tiny_model


@pytest.mark.parametrize("kind", ["modernbert", "eurobert", "mmbert"])
def test_words_of_a_task_have_the_tokens_of_their_text_and_answers_no_space(
    kind_folders: dict[str, Path], kind: str
) -> None:
    tokenizer, text = read_tokenizer(kind_folders[kind]).tokenizer, "the file, one small list"
    places = ((0, 3), (4, 8), (8, 9), (10, 13), (14, 19), (20, 24))
    words = tuple(text[start:end] for start, end in places)
    example = TaggedExample(id="1", where="here", words=words, tags=None, text=text, offsets=places)
    (item,) = TaggingFeatures(max_length=64).items([example], tokenizer, ["O", "B-X"])
    assert item.sequences[0].input_ids.tolist() == tokenizer.encode(text).ids
    passage = encode_passages([text], tokenizer)[text]
    for start, end in places:
        span = passage.span(Answer(text[start:end], start))
        assert span is not None
        if kind != "mmbert" or text[end : end + 1] != ",":
            assert text[passage.offsets[span[0]][0] : passage.offsets[span[1]][1]] == text[start:end]


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_begins_or_ends_with_white_space(kind_folders: dict[str, Path], kind: str) -> None:
    context = " the  file\n\n, one\tlist  "
    asked = QuestionExample(id="1", where="here", question="what", context=context, answers=())
    features = QuestionFeatures(max_length=64, stride=16, max_question_length=8)
    items = features.items([asked], read_tokenizer(kind_folders[kind]).tokenizer, [])
    random = np.random.default_rng(0)
    outputs = [random.normal(size=(item.num_tokens, 2)).astype(np.float32) for item in items]
    answers = best_answers(items, outputs, n_best=400, max_answer_length=9, no_answer=False)
    found = [context[start:end] for (start, end), p in zip(*(a[0].tolist() for a in answers[:2]), strict=True) if p]
    assert {"the", "file", "the  file", "list"} <= set(found)
    assert all(text and text == text.strip() for text in found)


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_features_have_the_tokens_of_their_text(kind_folders: dict[str, Path], kind: str) -> None:
    tokenizer = read_tokenizer(kind_folders[kind]).tokenizer
    encoder = TextEncoder(tokenizer=tokenizer, sizes=Sizes(max_length=64))
    words = ("the", "list", "returned", "file", "naïve")
    found = [encoder.encode([RowText(text, None, None, None)])[0] for text in (words, " ".join(words))]
    for text in found:
        assert text.ids.tolist() == tokenizer.encode(" ".join(words)).ids
    given, read = found
    for number, word in enumerate(words):
        tokens = np.flatnonzero(given.words == number)
        places = given.offsets[tokens]
        seen = tokens[places[:, 0] < places[:, 1]]
        assert (places[-len(seen), 0], places[-1, 1]) == (0, len(word))
        begin = len(" ".join((*words[:number], "")))
        assert (read.offsets[seen] == given.offsets[seen] + begin).all()
        assert (read.words[seen] == number).all()
    assert set(read.words[read.words < 0].tolist()) <= {OUTSIDE, BLANK}


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_a_text_are_cut_at_its_spaces(kind_folders: dict[str, Path], kind: str) -> None:
    """White space is no word, nor part of one, whatever tokens it is made of; each token in its text."""
    encoder = TextEncoder(tokenizer=read_tokenizer(kind_folders[kind]).tokenizer, sizes=Sizes(max_length=64))
    text, pair = "the  file 12\n\n returned ", "\tlist two"
    (found,) = encoder.encode([RowText(text, pair, None, None)])
    rows, count = rows_of(found, "word_mean")
    assert count == 6
    for (start, end), row, segment in zip(found.offsets.tolist(), rows.tolist(), found.segments.tolist(), strict=True):
        token = (pair if segment else text)[start:end]
        assert (row == NOWHERE) == (not token.strip())
        assert row == NOWHERE or token == token.strip()
    first, _ = rows_of(found, "word")
    places = np.flatnonzero(first != NOWHERE)
    texts = [pair if segment else text for segment in found.segments[places].tolist()]
    begin = [text_[start:].split()[0] for text_, start in zip(texts, found.offsets[places, 0].tolist(), strict=True)]
    assert begin == ["the", "file", "12", "returned", "list", "two"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_of_held_out_text_is_masked_where_it_stands(kind_folders: dict[str, Path], kind: str) -> None:
    read = read_tokenizer(kind_folders[kind])
    mask, text = read.special.mask_of(kind), "a the list the a the the a"
    ((shown_text, ids),) = heldout_masked([[text]], read.tokenizer, read.special, 1)
    assert shown_text == f"a the {mask.content} the a the the a (list)"
    whole, place = read.tokenizer.encode(text).ids, ids.index(mask.id)
    assert ids == [*whole[:place], mask.id, *whole[place + 1 :]]
    assert shown(read.tokenizer, whole[place : place + 1])[0].strip() == "list"


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_has_the_space_that_its_mask_stands_behind(kind_folders: dict[str, Path], kind: str) -> None:
    """The token that the word has in running text, where the mask takes in the space as those of released models do."""
    tokenizer = read_tokenizer(kind_folders[kind]).tokenizer
    mask = read_tokenizer(kind_folders[kind]).special.mask_of(kind)
    tokenizer.add_special_tokens([AddedToken(mask.content, lstrip=True, special=True)])
    spelling = Spelling.of(tokenizer, mask)
    for before in ("", "the ", "the\n"):
        read = tokenizer.encode(f"{before}list", add_special_tokens=False).ids
        if "\n" not in before or kind in ("unigram", "words"):  # a line feed is a token of its own to others
            assert forms("list", tokenizer)[spelling.begins_with_space(before)] == read[-1]
        assert not spelling.begins_with_space(f"{before}the")
    assert forms(" list", tokenizer)[0] == forms("list", tokenizer)[1]
    with pytest.raises(InputError, match="targets: 'the list' is 2 tokens"):
        forms("the list", tokenizer)
    with pytest.raises(InputError, match="targets: '' is no token"):
        forms("", tokenizer)
    with pytest.raises(InputError, match="targets: 'é' is"):
        forms("é", tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_two_segments_has_a_tokenizer_that_gives_them(
    kind_folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    read = read_tokenizer(kind_folders[kind])
    model = tiny_model(read.tokenizer.get_vocab_size()).eval()
    save_pretrained(model, read.tokenizer, tmp_path, tokenizer_files=read.files)
    theirs, again = AutoTokenizer.from_pretrained(tmp_path), read_pretrained(tmp_path)
    pair = ("the list", "a file")
    sequence = Sequences(again.tokenizer, 64).of(*encode(again.tokenizer, pair))[0]
    expected = theirs(*pair, return_tensors="pt")
    assert expected["input_ids"][0].tolist() == sequence.input_ids.tolist() == read.tokenizer.encode(*pair).ids
    assert expected["token_type_ids"][0].tolist() == sequence.token_type_ids.tolist()
    assert expected["token_type_ids"].max() == 1
    assert again.special == read.special
    assert (again.tokenizer_files["tokenizer.json"] == read.files["tokenizer.json"]) == (kind == "words")
    packed = Packed.of([sequence.input_ids.tolist()], [sequence.token_type_ids.tolist()])
    with torch.inference_mode():
        hidden = BertModel.from_pretrained(tmp_path)(**expected).last_hidden_state[0]
        torch.testing.assert_close(model.encoder(packed), hidden, atol=1e-5, rtol=1e-5)
