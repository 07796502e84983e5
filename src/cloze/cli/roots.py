"""The configuration root of each command, by file name in `conf/`."""

from cloze.cli.convert import Converting
from cloze.cli.doctor import Doctor
from cloze.cli.glue import Glue
from cloze.cli.prepare import Preparing
from cloze.cli.report import Reporting
from cloze.config.nodes import Root
from cloze.config.schema import Demo, Embeddings, Features, FineTuning, Predicting, Pretraining
from cloze.config.searching import Mining, Searching

SCHEMAS: dict[str, type[Root]] = {
    "convert": Converting,
    "demo": Demo,
    "doctor": Doctor,
    "embed": Embeddings,
    "features": Features,
    "finetune": FineTuning,
    "glue": Glue,
    "mine": Mining,
    "predict": Predicting,
    "prepare": Preparing,
    "report": Reporting,
    "search": Searching,
    "train": Pretraining,
}
