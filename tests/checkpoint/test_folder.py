"""The model folder is the ecosystem's: ``transformers`` loads it as it is and gives our numbers."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForPreTraining, AutoTokenizer

from benchmarks.batches import padded, random_batch
from cloze.checkpoint.folder import load_pretrained, save_pretrained
from cloze.errors import InputError
from cloze.model.bert import BertForPreTraining
from tests.tiny import VOCABULARY, shaken, tiny_model, tiny_tokenizer


@pytest.fixture
def model() -> BertForPreTraining:
    return shaken(tiny_model(attention_probs_dropout_prob=0.0))


@pytest.fixture
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


@pytest.fixture
def folder(tmp_path: Path, model: BertForPreTraining, tokenizer: Tokenizer) -> Path:
    save_pretrained(model, tokenizer, tmp_path / "model")
    return tmp_path / "model"


def test_transformers_loads_it_whole_and_gives_our_logits(folder: Path, model: BertForPreTraining) -> None:
    theirs, info = AutoModelForPreTraining.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    assert type(theirs).__name__ == "BertForPreTraining"
    assert theirs.config.attention_probs_dropout_prob == 0
    assert theirs.config.pad_token_id == 0
    batch = random_batch([5, 20, 48], len(VOCABULARY))
    inputs = padded(batch)
    with torch.no_grad():
        ours = model(batch.packed, batch.masked_positions)
        expected = theirs.eval()(**inputs)
    torch.testing.assert_close(ours.next_sentence, expected.seq_relationship_logits, atol=1e-4, rtol=0)
    at_masks = expected.prediction_logits[inputs["labels"] != -100]
    torch.testing.assert_close(ours.masked_lm, at_masks, atol=1e-4, rtol=0)


def test_transformers_loads_the_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    text = "The cab, and déjà vu"
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] == tokenizer.encode(text).ids


def test_round_trip_is_bit_for_bit(folder: Path, model: BertForPreTraining) -> None:
    again = load_pretrained(folder)
    assert again.config == model.config
    state = model.state_dict()
    assert again.state_dict().keys() == state.keys()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_what_transformers_saves_is_read(tmp_path: Path, folder: Path, model: BertForPreTraining) -> None:
    AutoModelForPreTraining.from_pretrained(folder).save_pretrained(tmp_path / "theirs")
    again = load_pretrained(tmp_path / "theirs")
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_saving_again_replaces_the_folder_and_leaves_nothing_beside(
    folder: Path, model: BertForPreTraining, tokenizer: Tokenizer
) -> None:
    (folder / "stale").touch()
    save_pretrained(model, tokenizer, folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]


def test_a_folder_that_cannot_be_read_is_refused_in_one_sentence(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())

    def refusal(**changes: object) -> str:
        (folder / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(InputError) as error:
            load_pretrained(folder)
        return str(error.value)

    assert "model_type is 'roberta'" in refusal(model_type="roberta")
    assert "intermediate.weight has shape (64, 32), but config.json says (128, 32)" in refusal(intermediate_size=128)
    assert "describes no encoder: hidden_size=32 cannot be shared" in refusal(num_attention_heads=5)
    assert "has no 'bert.encoder.layer.2" in refusal(num_hidden_layers=3)
    (folder / "model.safetensors").write_bytes(b"\x00" * 20)
    assert "damaged" in refusal()
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is missing" in refusal()
