"""Every command's root: the name of its file in `conf/`, and what that may hold."""

from cloze.cli.convert import Converting
from cloze.cli.demo import Demo
from cloze.cli.doctor import Doctor
from cloze.cli.features import Features
from cloze.cli.glue import Glue
from cloze.cli.predict import Predicting
from cloze.cli.prepare import Preparing
from cloze.cli.report import Reporting
from cloze.config.schema import FineTuning, Pretraining

SCHEMAS: dict[str, type] = {
    "convert": Converting,
    "demo": Demo,
    "doctor": Doctor,
    "features": Features,
    "finetune": FineTuning,
    "glue": Glue,
    "predict": Predicting,
    "prepare": Preparing,
    "report": Reporting,
    "train": Pretraining,
}
