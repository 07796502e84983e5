"""Folders of encoders with rotary positions: of versions of transformers, of the hub, and those only cloze reads."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.batches import padded, random_batch
from cloze.checkpoint.conversion import convert
from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.modules import fine_tuned_model, pretraining_model
from cloze.checkpoint.pretrained import read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import architecture_of
from cloze.model.kernels.attention import Padded
from cloze.model.modern import ModernBertForPreTraining
from cloze.model.modern_config import EuroBertConfig, ModernBertConfig, NomicBertConfig
from cloze.tasks.masked_lm import pretraining_losses
from cloze.text.tokenizer import build_tokenizer
from tests.model.families import LENGTHS, POOLINGS, TOLERANCE, VOCABULARY, YARN, config, pair
from tests.tiny import shaken


@pytest.mark.parametrize("family", POOLINGS)
def test_a_folder_comes_back_bit_for_bit_with_the_head_of_pairs(family: type[ModernBertConfig], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = shaken(ModernBertForPreTraining(config(family)))
    save_pretrained(model, build_tokenizer(VOCABULARY), tmp_path / "model")
    again = pretraining_model(read_pretrained(tmp_path / "model"))
    assert again.config == model.config
    states = again.state_dict(), model.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())
    convert(tmp_path / "model", tmp_path / "copy")
    copy = pretraining_model(read_pretrained(tmp_path / "copy")).state_dict()
    assert all(torch.equal(copy[name], tensor) for name, tensor in states[1].items())
    title = architecture_of(model.config).title
    with pytest.raises(InputError, match=f"is a {title}, but Google's format is for BERT alone: give format=hf"):
        convert(tmp_path / "model", tmp_path / "google", "google")
    longer = ModernBertForPreTraining(replace(model.config, max_position_embeddings=8192)).eval()
    longer.load_state_dict(model.state_dict())
    batch = random_batch(LENGTHS, model.config.vocab_size)
    with torch.no_grad():  # more positions alone change nothing
        logits = model(batch.packed, batch.masked_positions)
        for other in (again, longer):
            assert all(map(torch.equal, other(batch.packed, batch.masked_positions), logits))


def test_configurations_of_both_versions_of_transformers_are_read_and_written(tmp_path: Path) -> None:
    file, linear = tmp_path / "config.json", {"rope_type": "linear", "factor": 2.0}
    for shape in (
        config(global_rope_theta=80_000.0, local_rope_theta=500.0, tie_word_embeddings=False),
        config(global_rope_scaling=YARN, local_rope_scaling=linear),
        config(EuroBertConfig, global_rope_theta=80_000.0, mlp_bias=True, decoder_bias=True),
        config(EuroBertConfig, classifier_pooling="cls", global_rope_scaling=YARN, hidden_activation="gelu"),
        config(NomicBertConfig, global_rope_theta=80_000.0, global_rope_scaling=linear),
    ):
        record = architecture_of(shape)
        special = {key: number for number, key in enumerate(record.special_ids)}
        written = record.write_config(shape) | special | {"tie_word_embeddings": shape.tie_word_embeddings}
        theirs = getattr(transformers, f"{record.classes}Config")(**json.loads(json.dumps(written)))
        theirs.validate_rope()
        full = {"rope_type": "default", **(shape.global_rope_scaling or {}), "rope_theta": shape.global_rope_theta}
        assert (theirs.rope_parameters.get("full_attention") or theirs.rope_parameters) == full
        version_5 = {key: value for key, value in written.items() if "theta" not in key and key != "rope_scaling"}
        version_4 = {key: value for key, value in written.items() if key not in ("rope_parameters", "layer_types")}
        if scaling := version_4.pop("rope_scaling", None):
            version_4["rope_scaling"] = {key.replace("rope_type", "type"): value for key, value in scaling.items()}
        scaled_by_kind = shape.local_rope_scaling is not None  # which version 4 does not know
        for settings_ in (written, version_5, theirs.to_dict(), *(() if scaled_by_kind else (version_4,))):
            assert record.read_config(json.loads(json.dumps(settings_)), file) == shape


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        (ModernBertConfig, {"hidden_activation": "tanh"}, "is 'tanh', but must be one of gelu, silu, relu"),
        (ModernBertConfig, {"rope_parameters": {"rope_theta": 1.0}}, "neither full_attention nor sliding_attention"),
        (EuroBertConfig, {"num_key_value_heads": 1}, "num_key_value_heads is 1 .*grouped-query attention"),
        (EuroBertConfig, {"head_dim": 8}, "head_dim is 8"),
        (EuroBertConfig, {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "is 'dynamic', but only default"),
        (EuroBertConfig, {"rope_parameters": {**YARN, "mscale": 1.0}}, "takes factor.* but no mscale"),
        (EuroBertConfig, {"rope_parameters": {**YARN, "truncate": False}}, "truncate is not true"),
        (EuroBertConfig, {"rope_parameters": {"rope_type": "linear"}}, "rope_type linear needs factor"),
        (EuroBertConfig, {"rope_parameters": {**YARN, "factor": 0.5}}, "factor is 0.5, but must be a number from 1"),
        (EuroBertConfig, {"partial_rotary_factor": 0.5}, "partial_rotary_factor is not 1"),
        (EuroBertConfig, {"classifier_pooling": "last"}, "classifier_pooling is 'last', but must be one of"),
        (NomicBertConfig, {"prenorm": True}, "prenorm is True, but only False is read"),
    ],
)  # fmt: skip
def test_settings_that_change_what_is_computed_are_refused(
    family: type[ModernBertConfig], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    shape = config(family)
    record = architecture_of(shape)
    with pytest.raises(InputError, match=message):
        record.read_config({**record.write_config(shape), **changes}, tmp_path / "config.json")


HUB_NAMES = {
    "nomic_bert.": "", "embeddings.LayerNorm": "emb_ln", "layers.": "encoder.layers.",
    "self_attn.o_proj": "attn.out_proj", "post_attention_layernorm": "norm1",
    "post_mlp_layernorm": "norm2", "up_proj": "fc11", "gate_proj": "fc12",
    "down_proj": "fc2",
}  # fmt: skip
"""Those of today -> of NomicBERT's folders on the hub."""


def test_a_folder_of_the_hub_with_earlier_names_is_read(tmp_path: Path) -> None:
    """As nomic-bert-2048 is spelt; transformers reads the same tensors from it."""
    shape = config(NomicBertConfig)
    model, theirs = pair(shape, tmp_path / "model")
    written = load_file(tmp_path / "model/model.safetensors")
    hub: dict[str, Tensor] = {}
    for number in range(shape.num_hidden_layers):
        parts = [written.pop(f"nomic_bert.layers.{number}.self_attn.{part}_proj.weight") for part in "qkv"]
        hub[f"bert.encoder.layers.{number}.attn.Wqkv.weight"] = torch.cat(parts)
    for name, tensor in written.items():
        is_head = name.startswith("cls.")
        for today, earlier in HUB_NAMES.items():
            name = name if is_head else name.replace(today, earlier)
        hub[name if is_head else f"bert.{name}"] = tensor
    hub["cls.predictions.decoder.weight"] = hub["bert.embeddings.word_embeddings.weight"].clone()
    hub["cls.predictions.decoder.bias"] = hub.pop("cls.predictions.bias")
    save_file(hub, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    settings_ = {
        "model_type": "nomic_bert", "architectures": ["NomicBertForPreTraining"], "n_embd": 32, "n_layer": 4,
        "n_head": 2, "n_inner": 48, "n_positions": 256, "layer_norm_epsilon": 1e-12, "rotary_emb_base": 1000,
        "type_vocab_size": 2,
        "activation_function": "swiglu", "vocab_size": shape.vocab_size, "prenorm": False, "rotary_emb_fraction": 1.0,
        "qkv_proj_bias": False, "rotary_emb_scale_base": None,
    }  # fmt: skip
    (tmp_path / "model/config.json").write_text(json.dumps(settings_))
    again = pretraining_model(read_pretrained(tmp_path / "model"))
    assert again.config == shape
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    bare = {name.removeprefix("bert."): tensor for name, tensor in hub.items() if name.startswith("bert.")}
    save_file(bare, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    told = transformers.NomicBertModel.from_pretrained(tmp_path / "model", config=theirs.config).state_dict()
    assert all(torch.equal(told[name], tensor) for name, tensor in theirs.nomic_bert.state_dict().items())


OWN: dict[str, dict[str, Any]] = {
    "ModernBERT with BERT's norms and segments": {"pre_norm": False, "final_norm": False, "type_vocab_size": 2},
    "ModernBERT with RMSNorm": {"norm_type": "rms", "first_norm": True, "classifier_pooling": "late"},
    "a plain feed-forward layer": {"gated_mlp": False, "embedding_norm": False, "masked_lm_transform": False},
    "EuroBERT with windows": {"family": EuroBertConfig, "global_attn_every_n_layers": 2, "global_rope_scaling": YARN},
    "EuroBERT with segments": {
        "family": EuroBertConfig, "type_vocab_size": 2, "embedding_norm": True, "decoder_bias": True,
    },
    "NomicBERT with norms before": {
        "family": NomicBertConfig, "pre_norm": True, "final_norm": True, "classifier_pooling": "mean",
        "tie_word_embeddings": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("changes", OWN.values(), ids=OWN)
def test_a_combination_of_no_class_is_read_by_cloze_alone(changes: dict[str, Any], tmp_path: Path) -> None:
    """It learns, packed tokens are those of padded rows, a task keeps its head, and transformers does not know it."""
    torch.manual_seed(0)
    shape = config(**changes)
    model = ModernBertForPreTraining(shape)
    batch = random_batch(LENGTHS, shape.vocab_size)
    losses = pretraining_losses(model, batch)
    (losses.masked_lm.loss + losses.next_sentence.loss).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
    shaken(model)
    rows = padded(batch)
    places = torch.arange(rows["input_ids"].shape[1])
    in_rows = Padded(rows["input_ids"], rows["token_type_ids"], places, rows["attention_mask"])
    with torch.no_grad():
        for ours, other in zip(
            model.encoder.hidden_states(batch.packed), model.encoder.hidden_states(in_rows), strict=True
        ):
            torch.testing.assert_close(ours, other[rows["attention_mask"].bool()], **TOLERANCE)

    save_pretrained(model, build_tokenizer(VOCABULARY), tmp_path / "model")
    pretrained = read_pretrained(tmp_path / "model")
    again = pretraining_model(pretrained)
    assert again.config == shape
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(ValueError, match="model type `cloze_"):
        transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "model")
    task = task_model("sequence_classification", pretrained, labels=["a", "b"], adaptation=Adaptation())
    save_task_model(
        shaken(task), build_tokenizer(VOCABULARY), tmp_path / "task", head="sequence_classification", labels=["a", "b"]
    )
    kept = fine_tuned_model(read_pretrained(tmp_path / "task"))
    assert kept is not None
    assert all(torch.equal(kept.state_dict()[name], tensor) for name, tensor in task.state_dict().items())


def test_a_shape_that_cannot_be_is_refused() -> None:
    for changes, message in (
        ({"hidden_size": 30, "num_attention_heads": 6}, "a head's size must be even"),
        ({"layer_types": ["full_attention"]}, "for each of the 4 layers"),
        ({"local_attention": 0}, "local_attention=0: it must be at least 1"),
        ({"local_rope_theta": 0.0}, "it must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            config(**changes)
