"""What users of Hydra know works here, too, and its wrong use is one sentence with exit status 2."""

import csv
from pathlib import Path

import pytest
import torch
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
    *progress, line = done.stderr.strip().splitlines()  # of a corpus that is prepared first
    assert line.startswith("error: ")
    assert "Traceback" not in progress
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
        "schedule/cycle": (
            "# up and down again\n_target_: torch.optim.lr_scheduler.OneCycleLR\n_partial_: true\n"
            "max_lr: ${optimizer.lr}\ntotal_steps: ${trainer.max_steps}\ncycle_momentum: false\n"
        ),
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


def one_cycle(*, max_lr: float, total_steps: int) -> list[float]:
    """The rates of torch's own loop."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=max_lr)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps, cycle_momentum=False)
    rates = []
    for _ in range(total_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_a_scheduler_of_torch_resumes_to_the_bit(
    train: Command, mine: list[str], small_corpus: list[str], tmp_path: Path
) -> None:
    words = [*mine, "schedule=cycle", *small_corpus, *BRIEF[1:], "trainer.max_steps=4", "trainer.validate_every=4"]
    kept = ["checkpoint.every_steps=2", "checkpoint.keep_last=9", "checkpoint.asynchronous=false"]
    done = train(*words, *kept, "run=whole")
    assert done.returncode == 0, done.stderr
    (middle,) = (tmp_path / "runs/whole/checkpoints").glob("*2.ckpt")
    done = train(*words, f"resume={middle}", "run=resumed")
    assert done.returncode == 0, done.stderr
    weights = [(tmp_path / f"runs/{run}/model/model.safetensors").read_bytes() for run in ("whole", "resumed")]
    assert weights[0] == weights[1]
    with (tmp_path / "runs/whole/metrics.csv").open(encoding="utf-8") as file:
        rates = [float(row["optim/lr"]) for row in csv.DictReader(file) if row["optim/lr"]]
    assert rates == pytest.approx(one_cycle(max_lr=1e-4, total_steps=4), rel=1e-5)
    timed = train(*words[:3], *small_corpus, *BRIEF[1:], "trainer.max_steps=null", "trainer.max_time=1s",
                  "schedule.total_steps=100", "run=timed")  # fmt: skip
    assert timed.returncode == 0, timed.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["schedule.total_steps=2"], "schedule: Tried to step 3 times. The specified number of total steps is 2"),
        (["schedule.cycle_momentum=true"], "only the learning rate follows a schedule here: set cycle_momentum=false"),
        (["schedule.total_stps=2"], "unknown key 'schedule.total_stps'; did you mean 'schedule.total_steps'?"),
        (
            ["schedule._partial_=false"],
            "schedule._partial_ must be true: 'optimizer' of torch.optim.lr_scheduler.OneCycleLR",
        ),
        (["schedule._target_=torch.optim.lr_scheduler.LambdaLR", "schedule.lr_lambda=x"], "must be"),
        (["schedule._target_=torch.optim.lr_scheduler.ReduceLROnPlateau"], "needs more than the number of the step"),
    ],
)
def test_schedulers_that_cannot_serve(
    train: Command, mine: list[str], small_corpus: list[str], tmp_path: Path, words: list[str], message: str
) -> None:
    bare = ["~schedule.max_lr", "~schedule.total_steps", "~schedule.cycle_momentum"] if "_target_" in words[0] else []
    told = refusal(
        train, *mine, "schedule=cycle", *bare, *words, *small_corpus, *BRIEF, "trainer.max_steps=4", "run=no"
    )
    assert message in told
    assert not (tmp_path / "runs/no/metrics.csv").exists()
