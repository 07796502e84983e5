"""What users of Hydra know works here, too, and its wrong use is one sentence with exit status 2."""

from pathlib import Path

import pytest
import yaml

from tests.command import Command

OWN = "tests.cli.own_optimizers."
BRIEF = [
    "trainer.max_steps=2", "trainer.validate_every=2", "trainer.log_every=1", "objective.max_length=32",
    "model.hidden_size=32", "model.intermediate_size=32",
]  # fmt: skip
BARE = ["~optimizer.betas", "~optimizer.fused", "~optimizer.eps", "~optimizer.weight_decay"]


def refusal(train: Command, *words: str) -> str:
    done = train(*words)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


def shown(train: Command, *words: str) -> dict[str, dict[str, object]]:
    done = train(*words, "--cfg", "job")
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, object]] = yaml.safe_load(done.stdout)
    return found


@pytest.fixture
def mine(tmp_path: Path) -> list[str]:
    for name, text in {
        "rate/gentle": "# a gentle rate\nlr: 1e-5\n",
        "rate/wild": "# a wild rate\nlr: 0.1\n",
        "length/brief": "# @package trainer\n# a few steps\nmax_steps: 3\n",
        "optimizer/rated": "# AdamW at a rate\n_target_: torch.optim.AdamW\n_partial_: true\nlr: ${rate.lr}\n",
    }.items():
        file = tmp_path / "mine" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return ["--config-dir", "mine"]


def test_a_group_of_one_s_own_needs_no_plus(
    train: Command, mine: list[str], small_corpus: list[str], tmp_path: Path
) -> None:
    words = [*mine, "rate=gentle", "optimizer=rated", "length=brief"]
    found = shown(train, *words)
    assert found["trainer"]["max_steps"] == 3
    assert found["rate"] == {"lr": "1e-5"} or found["rate"] == {"lr": 1e-5}
    done = train(*words, *small_corpus, *BRIEF[1:], "run=mine", "trainer.validate_every=3")
    assert done.returncode == 0, done.stderr
    kept = yaml.safe_load((tmp_path / "runs/mine/config.yaml").read_text())
    assert float(kept["optimizer"]["lr"]) == 1e-5
    assert "rate" not in kept
    swept = train(*words[:-2], "optimizer=rated", "-m", "rate=gentle,wild", *small_corpus, *BRIEF, "run=both")
    assert swept.returncode == 0, swept.stderr
    rates = [yaml.safe_load((tmp_path / f"runs/both/{i}/config.yaml").read_text())["optimizer"]["lr"] for i in (0, 1)]
    assert [float(rate) for rate in rates] == [1e-5, 0.1]


def test_a_group_of_one_s_own_in_the_wrong_place(train: Command, mine: list[str]) -> None:
    assert "unknown option 'rate=wld'; did you mean 'rate=wild'?" in refusal(train, *mine, "rate=wld")
    told = refusal(train, *mine, "rate=wild", "trainer.max_steps=1")
    assert "'rate=wild': cloze-train has no section 'rate', and nothing refers to it as ${rate.KEY}" in told


def test_keys_that_a_constructor_takes_as_kwargs(train: Command, small_corpus: list[str], tmp_path: Path) -> None:
    own = [*small_corpus, *BRIEF, f"optimizer._target_={OWN}Passing", *BARE]
    done = train(*own, "optimizer.momentum=0.5", "run=mine")
    assert done.returncode == 0, done.stderr
    assert "momentum: 0.5" in (tmp_path / "runs/mine/config.yaml").read_text()
    told = refusal(train, *own, "optimizer.momentun=0.5", "run=other")
    assert f"optimizer: {OWN}Passing cannot be used here" in told
    assert "unexpected keyword argument 'momentun'" in told
    told = refusal(train, *own, "optimizer.lr=fast", "run=other")
    assert "optimizer.lr is 'fast', but must be a number" in told


def test_an_optimizer_that_knows_of_no_weight_decay(train: Command, small_corpus: list[str], tmp_path: Path) -> None:
    own = [*small_corpus, *BRIEF, f"optimizer._target_={OWN}NoDecay", *BARE]
    done = train(*own, "run=mine")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/mine/model/config.json").is_file()
    assert "unknown key 'optimizer.weight_decay'" in refusal(train, *own, "optimizer.weight_decay=0.1", "run=other")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["[10,2]"], "tokenizer._args_ has 2 arguments by position, but cloze.text"),
        (["10"], "tokenizer._args_ is 10, but must be a list: the arguments by position"),
    ],
)
def test_values_by_position_that_nothing_takes(train: Command, words: list[str], message: str) -> None:
    assert message in refusal(train, f"tokenizer._args_={words[0]}")


def test_values_by_position(train: Command, tmp_path: Path) -> None:
    stop = "callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping"
    assert shown(train, stop, "callbacks.stop._args_=[val/loss,0.1,2]")["callbacks"]["stop"]
    for values, message in {
        "[val/loss,much]": "callbacks.stop._args_[1] (min_delta) is 'much', but must be a number",
        "[1,2,3,4,5,6,7,8,9,10,11,12]": "EarlyStopping takes: monitor, min_delta, patience",
    }.items():
        assert message in refusal(train, stop, f"callbacks.stop._args_={values}")
    told = refusal(train, stop, "callbacks.stop._args_=[val/loss]", "callbacks.stop.monitor=x")
    assert "callbacks.stop._args_ and callbacks.stop.monitor both set monitor: leave one of them out" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.log_every=abc"], "trainer.log_every is 'abc', but must be a whole number"),
        (["trainer.log_every=abc", "--resolve"], "trainer.log_every is 'abc', but must be a whole number"),
        (["model.num_attention_heads=3"], "num_attention_heads=3"),
        (["+optimizer.typo=3"], "unknown key 'optimizer.typo'"),
        (["run=${nope}"], "Interpolation key 'nope' not found"),
    ],
)
def test_the_configuration_that_is_printed_has_been_checked(train: Command, words: list[str], message: str) -> None:
    assert message in refusal(train, *words, "--cfg", "job")


def test_a_configuration_that_lacks_a_value_is_printed(train: Command) -> None:
    assert shown(train, "corpus=text")["corpus"]["files"] == "???"
