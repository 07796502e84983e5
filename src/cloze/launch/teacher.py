"""`teacher=FOLDER`: read it and compare it with its student before any work."""

from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only
from tokenizers import Tokenizer

from cloze.checkpoint.modules import fine_tuned_model
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.config.schema import FineTuning, Pretraining
from cloze.data.pretraining.module import PretrainingData
from cloze.errors import InputError
from cloze.inference.rebuild import fits_problem
from cloze.launch.continuation import Beginning
from cloze.launch.strategy import compute_as
from cloze.model.heads import PretrainingModel
from cloze.model.task_heads import TaskModel
from cloze.run.folder import note
from cloze.tasks.finetuning import FineTuning as Module
from cloze.tasks.teacher import Teacher
from cloze.text.continued_tokenizer import ContinuedTokenizer
from cloze.text.manifest import MANIFEST
from cloze.text.tokenizer import load_tokenizer


def check_student(teacher: Teacher[PretrainingModel], config: Pretraining, start: Beginning | None) -> None:
    """Compare what the student will read with what its teacher can.

    Args:
        teacher: of the student.
        config: the root, with the folder of its corpus, which may have to be prepared yet.
        start: what the student begins with; None for random weights.

    Raises:
        InputError: another tokenizer, or sequences longer than the teacher's positions.
    """
    data = config.data.build(num_workers=0, static_shapes=False, pin_memory=False)
    teacher.check_length(data.stages.max_length, "objective.max_length")
    found = _tokenizer(data, start)
    if found is None:
        raise InputError(
            f"teacher={teacher.name} is asked about the tokens of the student, whose tokenizer would be trained on "
            f"the corpus: give the teacher's, tokenizer=folder tokenizer.vocab={teacher.name}"
        )
    teacher.check_tokenizer(
        found,
        f"{data.folder}" if start is None else f"init={start.tokenizer.name}",
        f"prepare the corpus with the teacher's, tokenizer=folder tokenizer.vocab={teacher.name}",
    )
    rank_zero_only(note)(f"teacher {teacher.told()}")


def task_teacher(
    config: FineTuning, student: Pretrained, labels: Sequence[str], max_length: int
) -> Teacher[TaskModel] | None:
    """`teacher=FOLDER` of fine-tuning, before the data are encoded; None without one.

    Args:
        config: the root.
        student: what fine-tuning begins with.
        labels: of the task.
        max_length: tokens of a sequence.

    Raises:
        InputError: it cannot be read, was not fine-tuned on this task, or has another tokenizer or fewer positions.
    """
    if config.teacher is None:
        return None
    module, name = config.task.module.class_, f"teacher={config.teacher}"
    found = read_pretrained(config.teacher)
    model = fine_tuned_model(found)
    if module.soft_targets is Module.soft_targets:
        raise InputError(f"{name}: {config.task.module.target} learns from no teacher: leave it out")
    if model is None or found.head != module.head or not fits_problem(module, found.problem_type):
        raise InputError(
            f"{name} holds a {found.title}, but teaches the task {config.task.name}: give a folder that was fine-tuned "
            "on it"
        )
    if {*labels} != {*(found.labels or ())}:
        told = [", ".join(map(repr, names)) or "none" for names in (found.labels or (), labels)]
        raise InputError(f"{name} has the labels {told[0]:.100}, but the task {told[1]:.100}: they must be the same")
    teacher = Teacher.of(config.teacher, found, model)
    teacher.check_length(max_length, "task.max_length")
    whose = "the tokenizer of the task" if student.folder is None else f"model={student.folder}"
    teacher.check_tokenizer(student.tokenizer, whose, "give a model with the teacher's tokenizer")
    compute_as(config.hardware, model.encoder, static_shapes=False)
    rank_zero_only(note)(f"teacher {teacher.told()}")
    return teacher


def _tokenizer(data: PretrainingData, start: Beginning | None) -> Tokenizer | None:
    """The one of the corpus; None where it is still to be trained."""
    if (data.folder / MANIFEST).exists():
        return load_tokenizer(data.folder / "tokenizer")
    own = None if start is None else start.tokenizer
    if isinstance(own, ContinuedTokenizer):
        return own.grown(own.added).tokenizer if own.vocab_size is None else None
    source = None if data.preparation is None else data.preparation.tokenizer
    return source.given().tokenizer if source is not None and source.is_given else None
