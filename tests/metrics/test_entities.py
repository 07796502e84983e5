"""Entities and their scores, against conlleval's rule restated and published figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.metrics.entities import Entity, bio2, entities, entity_scores

TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-a-b", "I-a-b"])


def starts_chunk(last: str, tag: str) -> bool:
    """Whether a chunk begins at `tag`, as conlleval.pl has it for B, I and O."""
    (last_tag, last_type), (this_tag, this_type) = split(last), split(tag)
    return (
        (last_tag, this_tag) in {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")}
        or (this_tag != "O" and last_type != this_type)
    )  # fmt: skip


def ends_chunk(last: str, tag: str) -> bool:
    """Whether a chunk ends before `tag`."""
    (last_tag, last_type), (this_tag, this_type) = split(last), split(tag)
    return (
        (last_tag, this_tag) in {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")}
        or (last_tag != "O" and last_type != this_type)
    )  # fmt: skip


def split(tag: str) -> tuple[str, str]:
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def conlleval(sentences: list[tuple[list[str], list[str]]]) -> tuple[int, int, int, int]:
    """Found, guessed and right chunks and right tags, in one pass over all words as the script makes it."""
    gold = guessed = right = tags = 0
    in_correct, last_true, last_guess = False, "O", "O"
    for true_tags, guesses in sentences:
        for true, guess in [*zip(true_tags, guesses, strict=True), ("O", "O")]:
            if in_correct:
                ends = ends_chunk(last_true, true), ends_chunk(last_guess, guess)
                if all(ends) and split(last_true)[1] == split(last_guess)[1]:
                    in_correct = False
                    right += 1
                elif ends[0] != ends[1] or split(true)[1] != split(guess)[1]:
                    in_correct = False
            starts = starts_chunk(last_true, true), starts_chunk(last_guess, guess)
            if all(starts) and split(true)[1] == split(guess)[1]:
                in_correct = True
            gold += starts[0]
            guessed += starts[1]
            tags += true == guess
            last_true, last_guess = true, guess
        tags -= 1  # of the boundary, which is no word
    return gold, guessed, right, tags


@given(st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=12), min_size=1, max_size=6))
def test_conlleval_counts_the_same(rows: list[list[tuple[str, str]]]) -> None:
    sentences = [([true for true, _ in row], [guess for _, guess in row]) for row in rows]
    gold, guessed, right, tags = conlleval(sentences)
    scores = entity_scores([true for true, _ in sentences], [guess for _, guess in sentences])
    assert scores.overall.precision == pytest.approx(right / guessed if guessed else 0)
    assert scores.overall.recall == pytest.approx(right / gold if gold else 0)
    precision, recall, f1 = scores.overall
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall) if right else 0)
    assert scores.accuracy == pytest.approx(tags / sum(map(len, rows)))
    for kind, of_type in scores.types.items():
        only = [([keep(tag, kind) for tag in true], [keep(tag, kind) for tag in guess]) for true, guess in sentences]
        gold, guessed, right, _ = conlleval(only)
        assert (of_type.precision, of_type.recall) == (right / max(guessed, 1), right / max(gold, 1))


def keep(tag: str, kind: str) -> str:
    return tag if tag.endswith(f"-{kind}") else "O"


def test_the_published_output_of_conlleval() -> None:
    """The example of the shared task's page: 459 phrases, 539 found, 371 right: 68.83, 80.83 and 74.35 %."""
    labels = [["B-NP"]] * 459 + [["O"]] * 168
    predictions = [["B-NP"]] * 371 + [["O"]] * 88 + [["B-NP"]] * 168
    scores = entity_scores(labels, predictions).overall
    assert [round(100 * score, 2) for score in scores] == [68.83, 80.83, 74.35]


def test_the_example_of_seqeval() -> None:
    """Its README: F1 0.50, and by type 0 and 1; tags 0.80."""
    labels = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    predictions = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    scores = entity_scores(labels, predictions)
    assert scores.overall == (0.5, 0.5, 0.5)
    assert {kind: score.f1 for kind, score in scores.types.items()} == {"MISC": 0, "PER": 1}
    assert scores.accuracy == 0.8


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O I-PER I-PER O", [("PER", 1, 3)]),  # I- after O begins an entity
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),  # so does another type
        ("B-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)]),
        ("I-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("O O", []),
        ("", []),
    ],
)
def test_entities(tags: str, found: list[tuple[str, int, int]]) -> None:
    assert entities(tags.split()) == [Entity(*entity) for entity in found]


ENTITIES = st.lists(st.tuples(st.sampled_from(["PER", "LOC", "", "creative-work"]), st.integers(1, 4)), max_size=8)


PREFIXES = {
    scheme: tuple(prefixes)
    for scheme, prefixes in (("BIO", "BIIB"), ("BIOES", "BIES"), ("BILOU", "BILU"), ("BMES", "BMES"))
}


def written(scheme: str, spans: list[tuple[str, int]]) -> list[str]:
    """The tags of entities side by side, in a scheme; "" is a stretch of O."""
    tags: list[str] = []
    last = ""
    for kind, length in spans:
        if not kind:
            tags += ["O"] * length
        elif scheme == "IOB1":
            tags += [f"{'B' if last == kind else 'I'}-{kind}", *[f"I-{kind}"] * (length - 1)]
        elif scheme == "IOE2":
            tags += [*[f"I-{kind}"] * (length - 1), f"E-{kind}"]
        else:
            begin, inside, end, single = PREFIXES[scheme]
            middle = [f"{inside}-{kind}"] * (length - 2)
            tags += [f"{single}-{kind}"] if length == 1 else [f"{begin}-{kind}", *middle, f"{end}-{kind}"]
        last = kind
    return tags


@pytest.mark.parametrize("scheme", ["IOB1", "BIO", "IOE2", "BIOES", "BILOU", "BMES"])
@given(spans=ENTITIES)
def test_every_scheme_reads_as_bio2(scheme: str, spans: list[tuple[str, int]]) -> None:
    assert list(bio2(written(scheme, spans))) == written("BIO", spans)


def test_nothing_predicted_and_nothing_there() -> None:
    assert entity_scores([["O"]], [["O"]]).overall == (0, 0, 0)
    assert entity_scores([["B-PER"]], [["O"]]).overall == (0, 0, 0)
    assert entity_scores([], []).accuracy == 0
