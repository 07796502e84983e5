"""The model card: what the model is, in Hugging Face's format (https://huggingface.co/docs/hub/model-cards)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cloze.checkpoint.weights import CONFIG, read_json
from cloze.files.atomic import write_atomically
from cloze.files.layout import MODEL, MODEL_AVERAGE
from cloze.model.architecture import Architecture, stated_architecture
from cloze.report.markdown import plain, table
from cloze.report.page.corpus import Corpus, read_corpora
from cloze.report.page.figures import OF_ONE_TYPE, key_figures, title
from cloze.report.page.run import TASK, Run, begun_tokens, mask_token, read_run, section
from cloze.runtime.wording import counted, with_article
from cloze.text.tokenizer import MASK

CARD = "README.md"
ENGLISH = {"pydocs", "pydocs_library", "wikitext", "squad", "squad_v2", "conll2003", "wnut17", "swag", "codah"}
CHINESE = {"afqmc", "chnsenticorp", "cmrc2018", "msra"}


class Use(NamedTuple):
    """What a head is for.

    Attributes:
        pipeline: the tag of the Hugging Face hub, which names `pipeline(...)` of transformers, too, where it has one.
        what: in words.
        example: the argument of the pipeline, with BERT's token for masks in place of the model's; none where
            transformers has no such pipeline.
        call: of sentence-transformers' class and method, where that library loads the folder.
    """

    pipeline: str
    what: str
    example: str
    call: tuple[str, str] | None = None


FILL_MASK = Use("fill-mask", "fills in words that are masked", f'"The function returns a {MASK}."')
EMBEDDING = Use(
    "sentence-similarity",
    "gives each text a vector, near that of texts that mean the same",
    '["A text."]',
    ("SentenceTransformer", "encode"),
)
RERANKING = Use(
    "text-ranking",
    "gives a query and a passage a score, higher for those that belong together",
    '[("A query.", "A passage.")]',
    ("CrossEncoder", "predict"),
)
DETECTION = Use("feature-extraction", "was trained to tell replaced words from original ones", '"A text."')
USES = {  # by the class of the module
    "Classification": Use("text-classification", "gives a text, or a pair of texts, one of its classes", '"A text."'),
    "MultiLabel": Use("text-classification", "gives a text each of its labels that fits", '"A text.", top_k=None'),
    "Regression": Use(
        "text-classification", "gives a text, or a pair of texts, a score", '"A text.", function_to_apply="none"'
    ),
    "TokenClassification": Use("token-classification", "gives each word of a text a tag", '"A text."'),
    "QuestionAnswering": Use(
        "question-answering", "marks the answer to a question in a passage", 'question="Who?", context="A passage."'
    ),
    "ReplacedTokensPretraining": DETECTION,
    "Embedding": EMBEDDING,
    "Reranking": RERANKING,
    "MultipleChoice": Use("multiple-choice", "takes one of several choices", ""),
}


def write_card(folder: Path) -> None:
    """Write `README.md` into the model folders of a run, of the last weights and of their average; where it has them.

    Raises:
        InputError: a file of the run is broken.
    """
    if (folder / MODEL / CONFIG).exists():
        run = read_run(folder, folder.resolve().name)
        corpora = read_corpora(run)
        write_atomically(folder / MODEL / CARD, card(run, corpora).encode())
        if (folder / MODEL_AVERAGE / CONFIG).exists():
            write_atomically(folder / MODEL_AVERAGE / CARD, card(_averaged(run), corpora, is_average=True).encode())


def card(run: Run, corpora: Sequence[Corpus], *, is_average: bool = False) -> str:
    """The card as Markdown with a YAML head. The license is for the owner of the model to choose.

    Args:
        run: with the figures of the model.
        corpora: that it was trained on.
        is_average: whether its weights are the average of those of many steps.
    """
    use = _use(run)
    head = yaml.safe_dump(_head(run, use), sort_keys=False, allow_unicode=True)
    lines = [
        "---",
        "# license: to be chosen by you, as apache-2.0",
        head.rstrip(),
        "---",
        "",
        f"# {plain(_name(run))}",
        "",
    ]
    named = with_article(plain(_encoder(run).title))
    kind = f"{named[0].upper()}{named[1:]} that {use.what}" + (
        f", fine-tuned on {plain(_task_name(run))}." if run.kind == TASK else "."
    )
    if is_average:
        kind += " Its weights are the average of those of many steps."
    lines += [kind, "", "## Intended use", "", *_intended(run, use), "", "## Figures", "", *_figures(run), ""]
    lines += ["## Data", "", *_data(run, corpora), "", "## Training", "", *_training(run, is_average=is_average)]
    return "\n".join(lines) + "\n"


def _averaged(run: Run) -> Run:
    """The run with the figures of its average in place of those of its last weights."""
    curves = {name: curve for name, curve in run.metrics.curves.items() if not name.startswith("val/")}
    own = {name.replace("val_average/", "val/"): curve for name, curve in curves.items()}
    return run._replace(metrics=run.metrics._replace(curves=own))


def _name(run: Run) -> str:
    """The run's; a run of a sweep is called after the sweep, too."""
    return f"{run.folder.resolve().parent.name}-{run.name}" if run.name.isdigit() else run.name


def _encoder(run: Run) -> Architecture[Any]:
    file = run.folder / MODEL / CONFIG
    return stated_architecture(read_json(file), file)


def _foreign(run: Run) -> list[str]:
    """Classes of the user's own that say what the outputs mean."""
    paths = [str(section(run.task, part).get("_target_", "cloze.")) for part in ("module", "features")]
    return [path for path in paths if not path.startswith("cloze.")]


def _use(run: Run) -> Use:
    if foreign := _foreign(run):  # its hidden states are all that others can read
        return Use("feature-extraction", f"answers in the terms of {plain(' and '.join(foreign))}", "")
    node = section(run.task if run.kind == TASK else run.config, "module")
    module = str(node.get("_target_", "")).rpartition(".")[2]
    return USES.get(module, FILL_MASK)


def _head(run: Run, use: Use) -> dict[str, Any]:
    own_head = (run.folder / MODEL / "head.safetensors").exists()  # a head that transformers does not have
    own_head = own_head and use is not EMBEDDING
    library = "cloze" if own_head else "sentence-transformers" if use.call else "transformers"
    head: dict[str, Any] = {"library_name": library}
    if language := _language(run):
        head["language"] = language
    head |= {"pipeline_tag": use.pipeline, "tags": [_encoder(run).model_type, "cloze", use.pipeline]}
    results = _results(run, use)
    if results:
        head["metrics"] = list(dict.fromkeys(metric["type"] for result in results for metric in result["metrics"]))
        head["model-index"] = [{"name": _name(run), "results": results}]
    return head


def _results(run: Run, use: Use) -> list[dict[str, Any]]:
    """In the words of the hub: a task, a data set with its split, metrics."""
    if run.kind != TASK:
        return []
    name = _task_name(run)
    return [
        {
            "task": {"type": use.pipeline},
            "dataset": {"name": name, "type": name.replace("/", "-"), "split": split},
            "metrics": [
                {"type": metric, "name": title(metric), "value": value}
                for metric, value in scores.items()
                if not metric.startswith(OF_ONE_TYPE)
            ],
        }
        for split, scores in run.results.items()
        if scores
    ]


def _language(run: Run) -> str | None:
    """Where data sets or rules of sentences say it; text of one's own may be in any."""
    name = str(section(run.config, "corpus").get("name") or run.task.get("name") or "")
    if name in ENGLISH or name.startswith("glue/"):
        return "en"
    sentences = section(run.config, "sentences")
    if name in CHINESE or sentences.get("_target_") == "cloze.text.sentences.Chinese":
        return "zh"
    stated = sentences.get("language")  # of which English stands for all that have no rules of their own
    return None if stated in (None, "en") else str(stated)


def _task_name(run: Run) -> str:
    return str(run.task.get("name") or "a task")


def _intended(run: Run, use: Use) -> Sequence[str]:
    if use is DETECTION:
        text = "As a source of features, and above all for fine-tuning in the same language."
    elif run.kind != TASK:
        text = "To fill in masked words, as a source of features, and above all for fine-tuning in the same language."
    else:
        text = "For texts like those that it was trained on; other kinds of text need a measurement first."
    limits = (
        "It repeats what its data says, prejudices and errors included, and should not decide about people on its own."
    )
    own_head = (run.folder / MODEL / "head.safetensors").exists() and use is not EMBEDDING
    if use.call is not None and not own_head:
        kind, method = use.call
        code = [
            "```python",
            f"from sentence_transformers import {kind}",
            f'{kind}("FOLDER").{method}({use.example})',
            "```",
        ]
    elif _foreign(run):
        code = ["```", "cloze-finetune task=NAME stage=predict model=FOLDER task.data.test=FILE", "```"]
    elif use is not DETECTION and (own_head or not use.example):
        code = ["```", "cloze-predict model=FOLDER input=FILE", "```"]
    else:
        code = [
            "```python",
            "from transformers import pipeline",
            f'pipeline("{use.pipeline}", "FOLDER")({use.example.replace(MASK, mask_token(run))})',
            "```",
        ]
    return [text, limits, "", *code]


def _figures(run: Run) -> Sequence[str]:
    rows = [
        [split, plain(title(name)), f"{value:.4f}"]
        for split, scores in run.results.items()
        for name, value in scores.items()
    ]
    if rows:
        return [table(["split", "metric", "value"], rows)]
    figures = [[figure.name, figure.value, figure.note] for figure in key_figures(run)]
    return [table(["figure", "value", ""], figures)] if figures else ["None were logged."]


def _data(run: Run, corpora: Sequence[Corpus]) -> Sequence[str]:
    if run.kind == TASK:
        data = section(run.task, "data")
        files = [f"- {split}: {plain(_file(data[split]))}" for split in ("train", "dev", "test") if data.get(split)]
        page = [f"- described at <{data['homepage']}>"] if _is_address(data.get("homepage")) else []
        return [f"The task is `{_code(_task_name(run))}`.", *([""] if files or page else []), *files, *page]
    if not corpora:
        return ["Not known."]
    if len(corpora) == 1:
        name = section(run.config, "corpus").get("name")
        return [f"The corpus is `{_code(str(name or corpora[0].folder))}`.", *_contents(corpora[0])]
    parts = [line for one in corpora for line in ("", f"### `{_code(_file(one.folder))}`", *_contents(one))]
    return [f"{len(corpora)} corpora were mixed.", *parts]


def _contents(corpus: Corpus) -> Sequence[str]:
    if not corpus.counts:
        return []
    counts = [[what, f"{train:,}", f"{heldout:,}"] for what, train, heldout in corpus.counts]
    facts = [f"- {plain(what)}: {plain(value)}" for what, value in corpus.facts]
    return ["", table(["", "training", "held out"], counts), "", *facts]


def _training(run: Run, *, is_average: bool) -> Sequence[str]:
    start = section(run.config, "model").get("folder") or run.config.get("init")
    began = [f"- began with the weights of `{_code(_file(start))}`"] if start else []
    grown = section(run.config, "grow")
    sizes = {"layers": "num_hidden_layers", "width": "hidden_size, num_attention_heads or intermediate_size"}
    began += [f"- grew by {sizes[key]}: `grow.{key}={_code(str(grown[key]))}`" for key in sizes if grown.get(key)]
    if counts := begun_tokens(run):
        new = sum(counts.values()) - counts["kept"]
        began.append(f"- kept the embeddings of {counted(counts['kept'], 'tokens')}; {new:,} began at a mean of others")
    origin = [f"- {key}: `{_code(value)}`" for key, value in run.origin.items() if key != "command"]
    optimizer = section(run.config, "optimizer")
    method = [f"- optimizer: {plain(_values(optimizer))}"] if optimizer else []
    average = section(run.config, "average") if is_average else {}
    settings = [f"{key} {value}" for key, value in average.items() if value is not None]
    mean = [f"- average of weights: {plain(', '.join(settings))}"] if settings else []
    return [*began, f"- {counted(run.metrics.last_step, 'optimizer steps')}", *method, *mean, *origin]


def _values(node: Mapping[str, Any]) -> str:
    name = str(node.get("_target_", "")).rpartition(".")[2]
    return ", ".join([name, *(f"{key} {value}" for key, value in node.items() if not key.startswith("_"))])


def _file(path: object) -> str:
    """The end of a path: a card is made to be given away, and where its owner keeps files is nobody's concern."""
    parts = Path(str(path)).parts
    return "/".join(parts[-2:]) if len(parts) <= 2 or parts[-1] == MODEL else parts[-1]


def _code(text: str) -> str:
    """Within backquotes nothing is Markdown but a backquote."""
    return " ".join(text.replace("`", "'").split())


def _is_address(value: object) -> bool:
    return isinstance(value, str) and value.startswith("https://") and not set(value) & set("<> \n")
