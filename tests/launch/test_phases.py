"""Phases and mixtures through the commands: stopped and resumed in a ramp, on two ranks, and refused by name."""

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cloze.text.prepare import Preparation
from cloze.text.sentences import English
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import WordPiece
from cloze.text.tokenizer_source import GivenTokenizer
from tests.command import Command
from tests.launch.stories import NO_DROPOUT, command, play

PHASES = """[
    {steps: 4, max_length: 16, batch_tokens: 128, final_batch_tokens: 512, lr: 0, final_lr: 2e-3},
    {steps: 4, max_length: 64, mask_rate: 0.3, final_mask_rate: 0.1, weights: [1, 1], global_rope_theta: 20000},
    {steps: 2, frozen: [embeddings, layers.0], final_lr: 0, lr_shape: 1-sqrt}]"""
WORDS = [
    "model=modern_tiny", "model.hidden_size=32", "model.intermediate_size=48", "model.num_hidden_layers=2",
    "model.num_attention_heads=2", "objective=mlm", f"phases={' '.join(PHASES.split())}", "trainer.max_steps=null",
    "trainer.validate_every=5", "trainer.log_every=1", "checkpoint.every_steps=1", "checkpoint.keep_last=99",
    "data.heldout_tokens=1000", "objective.max_length=64", "data.batch_tokens=512",
]  # fmt: skip


@pytest.fixture(scope="module")
def mixture(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words of a command line that mixes two prepared corpora of one tokenizer."""
    folder = tmp_path_factory.mktemp("corpora")
    text = small_text.read_text(encoding="utf-8").split("\n\n")
    tokenizer: WordPiece | GivenTokenizer = WordPiece(vocab_size=120)
    for name, own in (("odd", text[1::2]), ("even", text[::2])):
        (folder / f"{name}.txt").write_text("\n\n".join(own), encoding="utf-8")
        Preparation(
            source=TextFiles(files=str(folder / f"{name}.txt")), sentences=English(), tokenizer=tokenizer,
            workers=0, heldout_fraction=0.1,
        ).run(folder / name)  # fmt: skip
        tokenizer = GivenTokenizer(vocab=str(folder / name / "tokenizer"))
    parts = f"corpus.parts=[{{prepared: {folder}/odd, weight: 3}}, {{prepared: {folder}/even}}]"
    return ["corpus=mixture", parts, "callbacks.samples.sentences=['the quick [MASK] returns']"]


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").read_text(encoding="utf-8").splitlines()))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model/model.safetensors")  # type: ignore[no-any-return]


def state(run: Path, step: int) -> dict[str, torch.Tensor]:
    content = torch.load(run / f"checkpoints/step-{step:08d}.ckpt", weights_only=True)
    return content["state_dict"]  # type: ignore[no-any-return]


def test_every_phase_holds_and_a_run_resumed_in_any_of_them_is_the_same(
    mixture: list[str], train: Command, tmp_path: Path
) -> None:
    words = [*mixture, *WORDS, *NO_DROPOUT]
    resumed = [f"resume=runs/whole/checkpoints/step-{step:08d}.ckpt" for step in (2, 6, 8)]
    play(
        tmp_path,
        command([*words, "run=whole"]),
        *(command([*words, word, f"run=parts{number}"]) for number, word in enumerate(resumed)),
        command([*words, "run=ranks", "hardware.micro_batch_tokens=128"], ranks=2),
        statuses=[0] * 5,
    )
    whole = tmp_path / "runs/whole"
    told, expected = rows(whole), weights(whole)
    assert len(told) == 10
    lr = [float(row["optim/lr"]) for row in told]
    decay = [1.0, 1 - 0.5**0.5]
    assert lr == pytest.approx([2e-3 * share for share in (0.25, 0.5, 0.75, *[1.0] * 5, *decay)], rel=1e-5)
    tokens = [float(row["data/tokens"]) for row in told]
    sizes = [after - before for before, after in zip([0.0, *tokens], tokens, strict=False)]
    assert sizes[:4] == pytest.approx([128, 256, 384, 512], abs=17)
    assert sizes[4:] == pytest.approx([512] * 6, abs=65)
    for name in ("loss", "odd/loss", "even/loss"):
        assert 3.0 < float(told[-1][f"val/{name}"]) < 5.0
    assert told[-1]["val/odd/loss"] != told[-1]["val/even/loss"]

    card = (whole / "model/README.md").read_text(encoding="utf-8")
    assert "2 corpora were mixed." in card
    assert "### `odd`" in card
    assert "### `even`" in card

    config = json.loads((whole / "model/config.json").read_text(encoding="utf-8"))
    assert config["rope_parameters"]["full_attention"]["rope_theta"] == 20000
    before, after = state(whole, 8), state(whole, 10)
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith(("model.encoder.embeddings", "model.encoder.blocks.0.")) for name in moved)
    assert any(name.startswith("model.encoder.blocks.1.") for name in moved)

    for number in range(3):
        again = tmp_path / f"runs/parts{number}"
        assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(again).items()), number
        assert rows(again)[-1]["val/odd/loss"] == told[-1]["val/odd/loss"]
    several = weights(tmp_path / "runs/ranks")
    assert all(torch.allclose(tensor, expected[name], atol=1e-5) for name, tensor in several.items())
    dry = train(*words, "run=dry", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "in 10 steps" in dry.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["phases=[{share: 0.9, max_lenght: 16}, {share: 0.1}]"], "did you mean 'phases[0].max_length'?"),
        (
            ["phases=[{steps: 3}, {steps: 4}]", "trainer.max_steps=9"],
            "together they have 7 steps, but trainer",
        ),
        (["phases=[{steps: 3}, {}]"], "expected a length in steps, tokens or epochs; set trainer.max_steps"),
        (["phases=null"], "the length of training is missing"),
        (["phases=[{steps: 3, frozen: [layers.7]}]"], "phases[0].frozen has layers.7, but the model has 2 layers"),
        (
            ["phases=[{steps: 3, weights: [1]}]"],
            "phases[0].weights are [1]: corpus.parts has 2; expected one for each part",
        ),
        (
            ["model=tiny", "phases=[{steps: 3, local_rope_theta: 100}]"],
            "is for rotary positions, which this model",
        ),
        (["trainer.max_epochs=2", "phases=null"], "a mixture has no epochs of its own"),
        (["corpus.prepared=somewhere"], "corpus.prepared is for one corpus"),
        (["corpus.parts=[{prepared: nowhere}]", "phases=[{steps: 3}]"], "nowhere: not a prepared corpus"),
        (["corpus.parts=[]", "phases=[{steps: 3}]"], "corpus.parts is empty"),
        (["quality=gopher"], "quality is for a text that is to be prepared, but corpus=mixture takes corpora as"),
        (["tokenizer=bpe"], "tokenizer is for a text that is to be prepared"),
        (["+corpus.near_duplicates=0.8"], "corpus.near_duplicates is for a text that is to be prepared"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    mixture: list[str], train: Command, words: list[str], message: str, tmp_path: Path
) -> None:
    kept = [word for word in WORDS if "model=tiny" not in words or not word.startswith("model")]
    done = train(*mixture, *kept, "run=refused", *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs/refused/checkpoints").exists()


def test_a_corpus_of_another_tokenizer_is_refused(
    mixture: list[str], small_corpus: list[str], train: Command, tmp_path: Path
) -> None:
    given = ["corpus.prepared=other", "tokenizer.vocab_size=110", "trainer.max_steps=1"]
    assert train(*small_corpus, *given, "run=other", *WORDS[:5]).returncode == 0
    parts = mixture[1].replace("}]", "}, {prepared: other}]")
    done = train(*mixture, parts, *WORDS, "phases=[{steps: 3}]", "run=mixed")
    assert done.returncode == 2
    assert "was prepared with another tokenizer than other: " in done.stderr
