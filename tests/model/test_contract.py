"""What the record of an architecture has to carry, by an encoder that is not built like BERT."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer

from benchmarks.batches import padded, random_batch
from cloze.batch import Packed, TaskBatch
from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.onnx import difference, padded_model, write_onnx
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.errors import InputError
from cloze.model import architecture
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head, architecture_of
from cloze.model.flops import training_flops, work_of
from cloze.optim.groups import parameter_groups
from cloze.optim.muon import MatrixMuon, MuonAdamW
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests.tiny import shaken

TOY = Path(__file__).parent / "own_architecture/toy_encoder.py"
VOCABULARY = [*SPECIAL_TOKENS, *"abcdefgh"]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the toy, which is registered for one test only."""
    monkeypatch.setattr(architecture, "_RECORDS", dict(architecture.architectures()))
    spec = importlib.util.spec_from_file_location("toy_encoder", TOY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "toy_encoder", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tokenizer() -> Tokenizer:
    return build_tokenizer(VOCABULARY)


def settings_of(config: Any) -> dict[str, Any]:
    """The shape as ModernBERT's configuration has it."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_activation": config.hidden_activation,
        "layer_types": config.layer_types,
        "rope_parameters": config.rope_parameters,
        "local_attention": config.local_attention,
        "pad_token_id": 0,
        "attn_implementation": "eager",
    }


def test_every_layer_is_that_of_modern_bert_in_transformers(toy: ModuleType) -> None:
    """The toy computes what ModernBERT does, so that its implementation there says what its hidden states are."""
    config = toy.ToyConfig(vocab_size=97, num_hidden_layers=4, layer_types=[toy.FULL, toy.NEAR, toy.NEAR, toy.FULL])
    torch.manual_seed(0)
    encoder = shaken(toy.ToyEncoder(config))
    theirs = transformers.ModernBertModel(transformers.ModernBertConfig(**settings_of(config))).eval()
    names = {
        "blocks.": "layers.",
        "word_embeddings": "tok_embeddings",
        "attention_norm": "attn_norm",
        "query_key_value": "attn.Wqkv",
        "attention_output": "attn.Wo",
        "feed_forward_norm": "mlp_norm",
        "gate_and_up": "mlp.Wi",
        "feed_forward_output": "mlp.Wo",
    }
    state = {}
    for name, tensor in encoder.state_dict().items():
        for ours, other in names.items():
            name = name.replace(ours, other)
        state["final_norm.weight" if name == "norm.weight" else name] = tensor
    theirs.load_state_dict(state)
    packed = random_batch([3, 17, 1, 40], config.vocab_size).packed
    rows = padded(random_batch([3, 17, 1, 40], config.vocab_size))
    real = rows["attention_mask"].bool()
    with torch.no_grad():
        expected = theirs(rows["input_ids"], rows["attention_mask"], output_hidden_states=True)
        found = encoder.hidden_states(packed)
        for ours, other in zip(found, expected.hidden_states, strict=True):
            torch.testing.assert_close(ours, other[real], atol=1e-5, rtol=0)
        torch.testing.assert_close(encoder(packed), expected.last_hidden_state[real], atol=1e-5, rtol=0)
        weights = theirs(rows["input_ids"][3:], output_attentions=True).attentions
        one = Packed.of([rows["input_ids"][3]])
        for head, other in zip(encoder.attention_weights(one), weights, strict=True):
            torch.testing.assert_close(head, other[0], atol=1e-5, rtol=0)


def test_names_order_and_settings_are_those_of_the_record(
    toy: ModuleType, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    config = toy.ToyConfig(vocab_size=len(VOCABULARY))
    model = shaken(toy.ToyForPreTraining(config))
    save_pretrained(model, tokenizer, tmp_path)
    theirs = load_file(tmp_path / "model.safetensors")
    width = config.hidden_size // config.num_attention_heads
    for number, block in enumerate(model.encoder.blocks):
        rows = list(theirs[f"model.layers.{number}.attn.Wqkv.weight"])
        for head in range(config.num_attention_heads):  # of each its queries, its keys, its values
            for part in range(3):
                first = part * config.hidden_size + head * width
                for row in block.query_key_value.weight[first : first + width]:
                    assert torch.equal(rows.pop(0), row)
        gate, up = block.gate_and_up.weight.chunk(2)
        assert torch.equal(theirs[f"model.layers.{number}.mlp.gate_proj.weight"], gate)
        assert torch.equal(theirs[f"model.layers.{number}.mlp.up_proj.weight"], up)
    assert {"model.final_norm.weight", "decoder.bias"} <= theirs.keys()

    settings = json.loads((tmp_path / "config.json").read_text())
    wanted = {"hidden_activation": "silu", "norm_eps": 1e-5, "attention_bias": False, "cls_token_id": 2}
    assert wanted.items() <= settings.items()
    assert (settings["local_rope_theta"], settings["tie_word_embeddings"]) == (100.0, True)
    told = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert told["model_input_names"] == ["input_ids", "attention_mask"]

    again = read_pretrained(tmp_path)
    assert again.config == config
    assert all(torch.equal(again.state[name], tensor) for name, tensor in model.state_dict().items())
    del settings["rope_parameters"]  # as an earlier version wrote it
    settings |= {"global_rope_theta": 500, "cls_token_id": 999}  # whose special ids nobody believes
    (tmp_path / "config.json").write_text(json.dumps(settings))
    earlier = read_pretrained(tmp_path).config
    assert [rope["rope_theta"] for rope in earlier.rope_parameters.values()] == [500, 100.0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("hidden_activation", "tanh", "hidden_activation is 'tanh', but must be one of silu, gelu"),
        ("layer_types", "full_attention", "layer_types is 'full_attention', but must be a list of text"),
        ("layer_types", ["full_attention", 7], "but must be text"),
        ("layer_types", ["full_attention"], "layer_types=['full_attention']: it must name"),
        ("rope_parameters", {"full_attention": 7}, "but must be a section of"),
        ("norm_eps", "small", "norm_eps is 'small', but must be a number"),
        ("hidden_size", True, "hidden_size is True, but must be a number"),
        ("hidden_size", 32.5, "hidden_size is 32.5, but must be a whole number"),
        ("attention_bias", True, "attention_bias is True, but only False is read"),
        ("position_embedding_type", None, "position_embedding_type is None, but only 'rope' is read"),
    ],
)
def test_the_type_of_a_field_says_what_config_json_may_have(
    toy: ModuleType, key: str, value: object, expected: str
) -> None:
    record = architecture_of("toy")
    settings = record.write_config(toy.ToyConfig(vocab_size=7))
    read = record.read_config({**settings, "hidden_size": 32.0}, Path("config.json"))
    assert (read, type(read.hidden_size)) == (toy.ToyConfig(vocab_size=7), int)
    with pytest.raises(InputError, match=re.escape(expected)) as refused:
        record.read_config({**settings, key: value}, Path("config.json"))
    assert str(refused.value).startswith("config.json")


def test_muon_takes_the_matrices_that_lie_in_one_tensor_apart(toy: ModuleType) -> None:
    torch.manual_seed(0)
    model = toy.ToyEncoder(toy.ToyConfig(vocab_size=9))
    groups = parameter_groups(model, 0.1)
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(id(p) for p in model.parameters())
    fused = {name: p for name, p in model.named_parameters() if "query_key_value" in name or "gate_and_up" in name}
    counts = {name: 3 if "query_key_value" in name else 2 for name in fused}
    apart = {name: [part.detach().clone() for part in p.chunk(counts[name])] for name, p in fused.items()}
    optimizer = MuonAdamW(groups, lr=0.1)
    for name, parameter in fused.items():
        parameter.grad = torch.randn_like(parameter)
        for part, grad in zip(apart[name], parameter.grad.chunk(counts[name]), strict=True):
            part.grad = grad.clone()
    optimizer.step()
    MatrixMuon([part for parts in apart.values() for part in parts], lr=0.1, adjust_lr_fn="match_rms_adamw").step()
    for name, parameter in fused.items():
        torch.testing.assert_close(parameter.detach(), torch.cat(apart[name]))


def test_the_work_of_a_window_is_less(toy: ModuleType) -> None:
    config, lengths = toy.ToyConfig(vocab_size=50), [7, 30]
    tokens, hidden = sum(lengths), config.hidden_size
    products = 2 * (4 * hidden**2 + 3 * hidden * config.intermediate_size) * tokens  # of both blocks
    for length in lengths:
        seen = sum(1 + (abs(i - j) <= 2) for i in range(length) for j in range(length))  # one block sees all
        products += 2 * hidden * seen
    heads = 5 * hidden * (hidden + 50) + 2 * hidden * (hidden + 2)
    assert training_flops(config, work_of(config, lengths, masked=5)) == 6 * (products + heads)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("head", ["sequence_classification", "token_classification", "question_answering"])
def test_heads_of_tasks(toy: ModuleType, tmp_path: Path, tokenizer: Tokenizer, head: Head, pooling: str) -> None:
    config = toy.ToyConfig(vocab_size=len(VOCABULARY), classifier_pooling=pooling)
    scratch = Pretrained(config=config, tokenizer=tokenizer)
    labels = [] if head == "question_answering" else ["x", "y"]
    model = shaken(task_model(head, scratch, labels=labels, adaptation=Adaptation()))
    save_task_model(model, tokenizer, tmp_path / "m", head=head, labels=labels)
    # Hugging Face has no class of this architecture for answers: the head lies beside the encoder.
    assert (tmp_path / "m/head.safetensors").exists() == (head == "question_answering")
    pretrained = read_pretrained(tmp_path / "m")
    assert (pretrained.head, pretrained.labels) == (head, labels)
    again = task_model(head, pretrained, labels=labels, adaptation=pretrained.adaptation).eval()
    assert again.drawn == ()
    packed = random_batch([9, 4, 12], len(VOCABULARY)).packed
    batch = TaskBatch(packed, torch.empty(0), torch.arange(3), 25, 1)
    with torch.no_grad():
        logits, hidden = again(batch), model.encoder(packed)
        assert torch.equal(logits, model(batch))
        if head == "sequence_classification":
            parts = hidden.split([9, 4, 12])
            hidden = torch.stack([part[0] if pooling == "cls" else part.mean(0) for part in parts])
        assert isinstance(model.pooler, toy.ToyTransform)
        expected = model.classifier(model.pooler.norm(F.gelu(model.pooler.dense(hidden))))
        torch.testing.assert_close(logits, expected)


def test_onnx_has_no_input_for_segments_that_nobody_reads(
    toy: ModuleType, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    onnx = pytest.importorskip("onnx")
    config = toy.ToyConfig(vocab_size=len(VOCABULARY))
    scratch = Pretrained(config=config, tokenizer=tokenizer)
    task = shaken(task_model("sequence_classification", scratch, labels=["x", "y"], adaptation=Adaptation()))
    save_task_model(task, tokenizer, tmp_path / "m", head="sequence_classification", labels=["x", "y"])
    model = padded_model(read_pretrained(tmp_path / "m"))
    write_onnx(model, tmp_path)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [given.name for given in graph.input] == ["input_ids", "attention_mask"]
    assert difference(model, tmp_path) < 1e-4


def test_a_head_without_a_class_is_one_sentence(toy: ModuleType) -> None:
    with pytest.raises(InputError, match=r"^Hugging Face has no ToyForMultipleChoice, so that a Toy cannot be saved"):
        architecture_of("toy").class_of("multiple_choice")
    assert architecture_of("toy").head_of("ToyForMaskedLM") == "masked_lm"
    assert architecture_of("toy").head_of("BertForMaskedLM") is None
