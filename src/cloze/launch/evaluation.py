"""`stage=evaluate` of pre-training: evaluate a model on held-out text."""

from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from cloze.callbacks.length import Length
from cloze.callbacks.progress import Progress
from cloze.checkpoint.pretrained import pretraining_record
from cloze.config.schema import Pretraining as Config
from cloze.config.trust import import_packages
from cloze.data.pretraining.loader import telling_of_dead_workers
from cloze.data.pretraining.module import PretrainingData
from cloze.errors import InputError
from cloze.files.layout import RESULTS
from cloze.launch.continuation import Beginning
from cloze.launch.module import as_trained, make_module
from cloze.launch.placement import at_place, with_corpus
from cloze.launch.pretraining import begin, begun_module, prepared_data
from cloze.launch.ranks import Ranks, begin_ranks
from cloze.launch.reporting import leave_report
from cloze.launch.trainer import accumulate, make_trainer
from cloze.report.results import Results, read_results, write_results
from cloze.run.folder import RunFolder
from cloze.run.summary import task_summary
from cloze.text.manifest import MANIFEST

HELDOUT = "heldout"
"""The split in `results.json`."""
TEXT_FILES = "cloze.text.sources.files.TextFiles"


def evaluate(config: Config) -> float:
    """Evaluate the model of `init` on the held-out text, and write `results.json` into `runs/NAME/`.

    Args:
        config: the root, with the hardware as it is on this machine.

    Returns:
        What the module monitors.

    Raises:
        InputError: for what only the data, the model, the machine or the run's folder can show to be wrong.
    """
    assert config.init is not None  # else the root is refused
    trust = import_packages(config.trust)
    config = as_trained(config, pretraining_record(config.init), config.init, trust)
    folder, ranks = Path(config.folder), begin_ranks(config.hardware)
    if (run := begin(config, ranks, policy="never", finished=RESULTS)) is None:
        rank_zero_only(print)(f"{folder} is finished", flush=True)
        return _told(config, read_results(folder))
    assert run.start is not None
    _check_heads(config, run.start)
    data, config = _heldout(config, run.config, run.start, ranks)
    module = begun_module(config, data, run.start, Length(steps=1))
    trainer = make_trainer(config.trainer, config.hardware, [Progress()])
    accumulate(trainer, data, config.hardware.micro_batch_tokens, config.trainer.validate_every)
    if trainer.is_global_zero:
        RunFolder(Path(config.folder), config.recorded).write_config()
    with telling_of_dead_workers():
        found = trainer.validate(module, datamodule=data, verbose=False)[0]
    results: Results = {HELDOUT: module.heldout(found)}
    if trainer.is_global_zero:
        write_results(results, folder)
    return _told(config, results)


def _told(config: Config, results: Results) -> float:
    folder = Path(config.folder)
    rank_zero_only(print)(task_summary(folder, results, None), flush=True)
    leave_report(folder)
    return results[HELDOUT][config.module.class_.monitor]


def _check_heads(config: Config, start: Beginning) -> None:
    """Refuse a model without the heads that are asked: those that would be newly initialised know nothing."""
    module = make_module(config, start.config, Length(steps=1), device="meta")
    expected = module.model.state_dict()
    there = {name.partition(".")[0] for name in start.state if name in expected}
    unlike = {
        name.partition(".")[0]
        for name, tensor in start.state.items()
        if name in expected and tensor.shape != expected[name].shape
    }
    for part in module.needed_parts(config.objective.build()):
        if part in unlike:
            raise InputError(
                f"{start.tokenizer.name} has a {part} of another shape than module= says: leave the shape of the "
                f"{part} out, or give the one that it was trained with"
            )
        if part not in there:
            of_pairs = part in ("pooler", "next_sentence_head")
            advice = "evaluate it with objective=mlm" if of_pairs else "give a pre-trained model"
            raise InputError(
                f"{start.tokenizer.name} has no {part}, so that the objective cannot be evaluated: {advice}"
            )


def _heldout(given: Config, config: Config, start: Beginning, ranks: Ranks) -> tuple[PretrainingData, Config]:
    """The data with its held-out text, and the configuration with its folder.

    Of held-out files nothing else is needed, if the corpus that they are held out from has not been prepared before.
    """
    alone = _heldout_files_alone(config)
    if alone is not None and config.data.arguments.get("folder") is None:
        whole = ranks.decide("corpus with held-out files", lambda: _prepared(config, start))
        if whole is None:
            prepared = with_corpus(_heldout_files_alone(given) or given, alone, start, ranks)
            data = prepared_data(prepared, start, stage="validate")
            return _checked(data), at_place(config, str(data.folder))
    config = with_corpus(given, config, start, ranks)
    return _checked(prepared_data(config, start, stage="validate")), config


def _checked(data: PretrainingData) -> PretrainingData:
    if not data.manifest.heldout:
        raise InputError(
            f"{data.folder} has no held-out text: give corpus.heldout_files=FILES, or corpus.heldout_fraction=1 for all"
        )
    return data


def _prepared(config: Config, start: Beginning) -> Path | None:
    """The folder of the whole corpus, if it has been prepared."""
    try:
        folder = start.tokenizer.place(config.preparation.build(), config.corpus.name)
    except InputError:  # its text is not at hand
        return None
    return folder if (folder / MANIFEST).exists() else None


def _heldout_files_alone(config: Config) -> Config | None:
    """The configuration of a corpus of nothing but the held-out files; None where there are none."""
    stated = config.preparation.arguments
    files, source = stated.get("heldout_files"), stated["source"]
    if files is None:
        return None
    source = {**(source if "files" in source else {"_target_": TEXT_FILES}), "files": files}
    own = config.preparation.with_(source=source, heldout_files=None, heldout_fraction=1.0)
    return config.with_(preparation=own, data=config.data.with_(preparation=own.plain))
