"""docs/extending.md as a reader would try it: files copied from the page, commands run, outside of the repository."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests import forks
from tests.conftest import REPOSITORY
from tests.docs import extending, tutorial_world


@pytest.mark.slow
def test_every_example_runs(tmp_path: Path) -> None:
    for script in ("train.py", "finetune.py"):
        (tmp_path / script).symlink_to(REPOSITORY / script)
    tutorial_world.make(tmp_path)
    extending.write(tmp_path)
    extending.write_data(tmp_path)
    (tmp_path / "blocks.json").write_text(json.dumps(list(extending.commands())), encoding="utf-8")
    path = os.pathsep.join([".", forks.SURROUNDINGS["PYTHONPATH"]])
    environment = {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    done = forks.run("tests.docs.shell", "blocks.json", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr

    runs = tmp_path / "runs"
    record = json.loads((runs / "detect/model/cloze.json").read_text(encoding="utf-8"))
    assert record["module"] == {"class": "detection.Detection", "arguments": {"positive_weight": 2.0}}
    assert record["objective"]["class"] == "detection.ReplacedTokens"
    known = json.loads((runs / "known/results.json").read_text(encoding="utf-8"))["heldout"]
    assert 0 < known["accuracy"] < 1
    settings = json.loads((runs / "relu/model/config.json").read_text(encoding="utf-8"))
    assert (settings["model_type"], settings["hidden_act"]) == ("relu-bert", "relu2")
    assert np.isfinite(np.load(tmp_path / "new.npy", allow_pickle=True)[0]).all()
    with (runs / "lion/metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert any(row["val/embedding_norm"] for row in rows)
    assert "schedule: {peak" not in (runs / "lion/config.yaml").read_text(encoding="utf-8")
    newest = sorted((runs / "lion/checkpoints").glob("*.ckpt"))[-1]
    (optimizer,) = torch.load(newest, weights_only=True)["optimizer_states"]
    assert {*optimizer["state"][0]} == {"momentum"}
    assert yaml.safe_load((runs / "cycle/config.yaml").read_text(encoding="utf-8"))["optimizer"]["lr"] in (1e-5, "1e-5")
    assert "mail" in (runs / "mail/config.yaml").read_text(encoding="utf-8")
    assert {"accuracy", "kappa"} <= json.loads((runs / "tickets/results.json").read_text())["dev"].keys()


def test_the_page_has_an_example_of_everything() -> None:
    files = {name for name, _ in extending.FILE.findall(extending.PAGE)}
    groups = {name.split("/")[1] for name in files if name.startswith("my_conf/")}
    assert groups >= {"model", "objective", "module", "callbacks", "optimizer", "schedule", "corpus", "task"}
    named = {text for name, text in extending.FILE.findall(extending.PAGE) if name.endswith(".yaml")}
    for module in (name for name in files if name.endswith(".py")):
        assert any(f"_target_: {module.removesuffix('.py')}." in text for text in named), module
