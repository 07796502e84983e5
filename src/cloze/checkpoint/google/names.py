"""Map Google's variable names of BERT to Hugging Face's parameter names.

Both follow the same modules; a linear layer's weight is called kernel there and lies transposed, a LayerNorm has gamma
and beta, and the heads have names of their own (google-research/bert, ``run_pretraining.py``, ``run_classifier.py``,
``run_squad.py``).
"""

import re
from collections.abc import Collection

from torch import Tensor

from cloze.model.architecture import Head
from cloze.model.families.bert import NAMES

HEADS = {
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
}
CLASSIFIER = {"output_weights": "classifier.weight", "output_bias": "classifier.bias"}
ANSWERS = {"cls/squad/output_weights": "classifier.weight", "cls/squad/output_bias": "classifier.bias"}

KINDS = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
COUNTERS = ("global_step", "beta1_power", "beta2_power")
"""Variables of a training that belong to no other variable."""


def from_google(variable: str) -> str | None:
    """Hugging Face's name of a variable; None for one that does not belong to a BERT."""
    if head := (HEADS | CLASSIFIER | ANSWERS).get(variable):
        return head
    module, _, kind = variable.rpartition("/")
    if kind.endswith("_embeddings"):
        module, kind = variable, "weight"
    elif kind in KINDS:
        kind = KINDS[kind]
    else:
        return None
    name = re.sub(r"/layer_(\d+)/", r"/layer/\1/", module).replace("/", ".") + f".{kind}"
    return name if NAMES.is_known(name) and to_google(name) == variable else None


def to_google(name: str, head: Head | None = None) -> str:
    """The variable of a parameter under Hugging Face's name.

    Args:
        name: with ``classifier.*`` for the heads of all tasks.
        head: which tells run_squad's from run_classifier's.
    """
    heads = HEADS | (ANSWERS if head == "question_answering" else CLASSIFIER)
    if variable := {theirs: variable for variable, theirs in heads.items()}.get(name):
        return variable
    module, _, kind = name.rpartition(".")
    path = re.sub(r"\.layer\.(\d+)\.", r".layer_\1.", module).replace(".", "/")
    if module.endswith("_embeddings"):
        return path
    if module.endswith("LayerNorm"):
        return f"{path}/{'gamma' if kind == 'weight' else 'beta'}"
    return f"{path}/{'kernel' if kind == 'weight' else 'bias'}"


def turned(variable: str, tensor: Tensor) -> Tensor:
    """The values of a variable as the other side keeps them, from either side."""
    return tensor.t().contiguous() if variable.endswith("/kernel") and tensor.dim() == 2 else tensor


def is_of_training(variable: str, variables: Collection[str]) -> bool:
    """Whether a variable is an optimizer's: a step, or a slot, which is called after the variable that it is of."""
    words = variable.split("/")
    owners = ("/".join(words[:end]) for end in range(1, len(words)))
    return words[-1] in COUNTERS or any(owner in variables for owner in owners)


def head_in(variables: Collection[str]) -> Head:
    """The head that is there; that of texts serves words and choices, too."""
    if any(head in variables for head in ANSWERS):
        return "question_answering"
    if any(head in variables for head in CLASSIFIER):
        return "sequence_classification"
    masked = "cls/predictions/output_bias" in variables
    pairs = "cls/seq_relationship/output_weights" in variables
    if masked:
        return "pretraining" if pairs else "masked_lm"
    return "next_sentence" if pairs else "encoder"
