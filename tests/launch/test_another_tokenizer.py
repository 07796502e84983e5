"""`init=FOLDER tokenizer=...`: a model of one tokenizer goes on with another."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

import cloze
from cloze.model.heads import PretrainingModel
from cloze.text.tokenizer import SPECIAL_TOKENS, load_tokenizer, read_tokenizer
from cloze.text.vocabulary_transfer import origins
from tests.launch.stories import command, play
from tests.launch.test_families import losses
from tests.launch.test_init import PIECES
from tests.launch.test_kinds import released  # noqa: F401 # a fixture
from tests.tiny import NO_DROPOUT, save_tiny

Command = Callable[..., subprocess.CompletedProcess[str]]
TEXT = "The quick object returns: a small list, then reads another one."
ROWS = {
    "bert": ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"],
    "modernbert": ["model.embeddings.tok_embeddings.weight", "decoder.bias"],
}


@pytest.fixture
def words(small_text: Path) -> list[str]:
    return [
        "corpus=text", f"corpus.files={small_text}", "corpus.prepared=prepared", "preparation.workers=0",
        "preparation.heldout_fraction=0.2", "objective=mlm", "objective.max_length=32", "data.batch_tokens=256",
        "trainer.max_steps=2", "trainer.validate_every=2", "trainer.log_every=1", "checkpoint.every_steps=1",
        "checkpoint.keep_last=9",
    ]  # fmt: skip


def assert_begun(start: Path, model: Path, family: str) -> None:
    """The rows of a model that has learned next to nothing are those that the rule asks for."""
    before, after = (load_file(folder / "model.safetensors") for folder in (start, model))
    found = origins(read_tokenizer(model), read_tokenizer(start))
    known = load_tokenizer(start).get_vocab_size()
    for name in ROWS[family]:
        rows = before[name]
        expected = torch.stack([rows[part or range(known)].mean(0) for part in found.parts])
        torch.testing.assert_close(after[name], expected, atol=1e-6, rtol=0)


def assert_read_by_transformers(model: Path) -> None:
    """The tokenizer gives the same ids there, and the model the same hidden states."""
    ours, theirs = load_tokenizer(model), transformers.AutoTokenizer.from_pretrained(model)
    assert theirs(TEXT).input_ids == ours.encode(TEXT).ids
    read, told = transformers.AutoModelForMaskedLM.from_pretrained(model, output_loading_info=True)
    assert not told["missing_keys"], told
    assert read.config.vocab_size == len(theirs) == ours.get_vocab_size()
    for name, token in (("pad", "[PAD]"), ("cls", "[CLS]"), ("sep", "[SEP]"), ("bos", "[CLS]"), ("eos", "[SEP]")):
        stated = getattr(read.config, f"{name}_token_id", None)
        assert stated in (None, theirs.convert_tokens_to_ids(token))
    bert = cloze.load(model)
    assert isinstance(bert.model, PretrainingModel)
    packed, ids = bert.pack([TEXT]), theirs(TEXT, return_tensors="pt")
    with torch.inference_mode():
        head = bert.model.masked_lm_head
        found = head(bert.encoder(packed)) @ bert.model.decoder_weight.T + head.decoder_bias
        torch.testing.assert_close(found, read.eval()(**ids).logits[0], atol=1e-4, rtol=0)


def counts(run: Path) -> dict[str, int]:
    return json.loads((run / "init/tokens.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_a_bert_goes_on_with_byte_pairs(train: Command, words: list[str], tmp_path: Path) -> None:
    """Whole, stopped and resumed without the folder it came from, and on two ranks."""
    start = save_tiny(tmp_path / "start", PIECES, num_hidden_layers=1, **NO_DROPOUT)
    words += [f"init={start}", "tokenizer=bpe", "tokenizer.vocab_size=320", "optimizer.lr=1e-3"]
    words.append("trainer.max_steps=3")
    still = ["optimizer.lr=1e-12", "trainer.max_steps=1", "run=still"]
    play(
        tmp_path,
        command([*words, "run=whole"]),
        command([*words, "run=ranks", "hardware.micro_batch_tokens=128"], ranks=2),
        command([*words, *still]),
        statuses=[0, 0, 0],
    )
    stop = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 2}"
    assert "PowerCutError" in train(*words, "run=parts", stop).stderr
    assert_begun(start, tmp_path / "runs/still/model", "bert")
    shutil.rmtree(start)
    done = train(*words, "run=parts")
    assert done.returncode == 0, done.stderr
    assert "resuming from" in done.stderr
    assert "before training" not in done.stdout

    whole, parts, ranks = (tmp_path / "runs" / run for run in ("whole", "parts", "ranks"))
    expected, found = (load_file(run / "model/model.safetensors") for run in (whole, parts))
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert losses(ranks) == pytest.approx(losses(whole), rel=1e-4)
    assert_read_by_transformers(whole / "model")

    told = counts(whole)
    assert told == counts(parts) == counts(ranks)
    assert sum(told.values()) == load_tokenizer(whole / "model").get_vocab_size()
    kept, averaged, unread = told.values()
    assert min(kept, averaged, unread) > 20
    note = (
        f"{kept} keep their embeddings, {averaged} begin at the mean of their old tokens, {unread} at the mean of all"
    )
    assert note in (tmp_path / "0.0.log").read_text(encoding="utf-8")
    for run in (whole, parts):
        page = (run / "report.html").read_text(encoding="utf-8")
        assert f"{averaged} begin at the mean of their old tokens, {unread} at that of all" in page
        card = (run / "model/README.md").read_text(encoding="utf-8")
        assert f"kept the embeddings of {kept} tokens; {averaged + unread} began at a mean of others" in card


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_a_modernbert_goes_on_with_another_kind(
    kind: str,
    train: Command,
    words: list[str],
    released: Path,  # noqa: F811 # the fixture
    tmp_path: Path,
) -> None:
    if kind == "unigram":
        pytest.importorskip("sentencepiece")
    words += [f"init={released}", f"tokenizer={kind}", "tokenizer.vocab_size=150", "trainer.max_steps=1"]
    done = train(*words, "run=other", "optimizer.lr=1e-12")
    assert done.returncode == 0, done.stderr
    model = tmp_path / "runs/other/model"
    assert_begun(released, model, "modernbert")
    assert_read_by_transformers(model)
    ours = load_tokenizer(model)
    assert [ours.id_to_token(number) for number in range(5)] == [*SPECIAL_TOKENS] or kind == "unigram"


def test_a_vocabulary_that_is_given_and_the_one_that_a_model_knows(
    train: Command, words: list[str], tmp_path: Path
) -> None:
    """With the tokenizer of its own folder a model is what it was, and a run for nothing tells what it would do."""
    start = save_tiny(tmp_path / "start", PIECES, num_hidden_layers=1, **NO_DROPOUT)
    words += [f"init={start}", "optimizer.lr=1e-12", "trainer.max_steps=1"]
    own = train(*words, "run=own")
    given = train(*words, "tokenizer=folder", f"tokenizer.vocab={start}", "run=given", "corpus.prepared=given")
    assert (own.returncode, given.returncode) == (0, 0), own.stderr + given.stderr
    assert f"of {len(PIECES)} tokens {len(PIECES)} keep their embeddings, 0 begin" in given.stderr
    assert losses(tmp_path / "runs/own") == losses(tmp_path / "runs/given")
    assert not (tmp_path / "runs/own/init/tokens.json").exists()
    dry = train(*words, "tokenizer=bpe", "tokenizer.vocab_size=300", "run=dry", "corpus.prepared=dry", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert not (tmp_path / "dry").exists()
