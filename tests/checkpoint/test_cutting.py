"""An encoder that is cut to its first layers gives what these gave in the whole one."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from cloze.batch import Packed, TaskBatch
from cloze.checkpoint.conversion import convert
from cloze.checkpoint.folder import read_folder, save_pretrained
from cloze.checkpoint.modules import pretraining_model
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.errors import InputError
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import architecture_of
from cloze.model.task_heads import EmbeddingModel
from tests.model.families import FAMILIES, tiny_shape
from tests.tiny import save_tiny_task, shaken, tiny_config, tiny_tokenizer

IDS = [2, 9, 12, 8, 7, 3]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_layer_of_every_family_by_itself(family: str, tmp_path: Path) -> None:
    shape = tiny_shape(family)
    torch.manual_seed(0)
    model = shaken(architecture_of(shape).pretraining(shape))
    save_pretrained(model, tiny_tokenizer(), tmp_path / "whole")
    packed = Packed.of([IDS], [[0] * len(IDS)])
    with torch.no_grad():
        wanted = model.encoder.hidden_states(packed)[1]
        wanted = wanted if model.encoder.norm is None else model.encoder.norm(wanted)
    convert(tmp_path / "whole", tmp_path / "cut", layers=1)
    found = read_folder(tmp_path / "cut")
    assert found.config.num_hidden_layers == 1
    cut = pretraining_model(read_pretrained(tmp_path / "cut")).eval()
    with torch.no_grad():
        assert torch.equal(cut.encoder(packed), wanted)
    theirs, info = transformers.AutoModel.from_pretrained(tmp_path / "cut", output_loading_info=True)
    assert not info["missing_keys"]
    with torch.no_grad():
        states = theirs.eval()(torch.tensor([IDS])).last_hidden_state[0]
    assert torch.allclose(states, wanted, atol=1e-5)


@pytest.mark.parametrize("dense", [None, 8])
def test_the_embeddings_of_a_layer_are_those_of_the_cut_model(dense: int | None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pretrained = Pretrained(config=tiny_config(num_hidden_layers=3), tokenizer=tiny_tokenizer())
    model = shaken(task_model("embedding", pretrained, labels=[], adaptation=Adaptation(dense=dense)))
    assert isinstance(model, EmbeddingModel)
    save_task_model(model, pretrained.tokenizer, tmp_path / "whole", head="embedding", labels=[])
    (tmp_path / "whole/cloze.json").rename(tmp_path / "cloze.json")  # as sentence-transformers reads it
    (tmp_path / "whole/head.safetensors").unlink(missing_ok=True)
    convert(tmp_path / "whole", tmp_path / "again")
    convert(tmp_path / "again", tmp_path / "cut", layers=2)
    assert (tmp_path / "cut/modules.json").read_bytes() == (tmp_path / "whole/modules.json").read_bytes()
    encoded = pretrained.tokenizer.encode("the cab")
    batch = TaskBatch(Packed.of([encoded.ids], [encoded.type_ids]), torch.zeros(1), torch.zeros(1), 1, 1)
    with torch.no_grad():
        last, first, second = model(batch, layers=[1, 2])[0].chunk(3)
    assert np.allclose(Embedder.read(tmp_path / "again", Inference()).embed(["the cab"])[0], last, atol=1e-6)
    assert np.allclose(Embedder.read(tmp_path / "cut", Inference()).embed(["the cab"])[0], second, atol=1e-6)
    assert not torch.allclose(first, second, atol=1e-3)


def test_what_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_task("classification", tmp_path / "a")
    for layers in (0, 3):
        with pytest.raises(InputError, match=f"layers={layers}: must be from 1 to 2"):
            convert(folder, tmp_path / "b", layers=layers)
    with pytest.raises(InputError, match="is a BertForSequenceClassification, whose head needs all: cut its encoder"):
        convert(folder, tmp_path / "b", layers=1)
    assert not (tmp_path / "b").exists()
