"""Published GLUE figures of other small BERTs, in percent as they were published."""

from collections.abc import Mapping

from cloze.report.glue import Row
from cloze.report.seeds import Spread

MINIATURES = (
    "google-research/bert, README (Turc et al. 2019): 4 epochs, for each task the best of batch sizes 8 to 128 and "
    "rates 3e-4 to 3e-5; their GLUE scores, with WNLI, are 64.2, 65.8, 71.2 and 73.5"
)
PAPER = "Devlin et al. 2019, table 1; its mean is 79.6"
CRAMMING = (
    "Geiping & Goldstein 2023, model card in JonasGeiping/cramming: 24 h on one A6000, 5 epochs with one setting for "
    "all tasks, best of 5 checkpoints; the mean there is 80.7"
)


def _row(name: str, split: str, source: str, percent: Mapping[str, tuple[float | None, ...]]) -> Row:
    scores = {
        task: [None if value is None else Spread(value / 100, None, 1) for value in values]
        for task, values in percent.items()
    }
    return Row(name, split, scores, source)


PEERS = (
    _row("BERT-Tiny", "test", MINIATURES, {
        "cola": (0.0,), "sst2": (83.2,), "mrpc": (81.1, 71.1), "stsb": (74.3, 73.6), "qqp": (62.2, 83.4),
        "mnli": (70.2, 70.3), "qnli": (81.5,), "rte": (57.2,), "wnli": (62.3,),
    }),
    _row("BERT-Mini", "test", MINIATURES, {
        "cola": (0.0,), "sst2": (85.9,), "mrpc": (81.1, 71.8), "stsb": (75.4, 73.3), "qqp": (66.4, 86.2),
        "mnli": (74.8, 74.3), "qnli": (84.1,), "rte": (57.9,), "wnli": (62.3,),
    }),
    _row("BERT-Small", "test", MINIATURES, {
        "cola": (27.8,), "sst2": (89.7,), "mrpc": (83.4, 76.2), "stsb": (78.8, 77.0), "qqp": (68.1, 87.0),
        "mnli": (77.6, 77.0), "qnli": (86.4,), "rte": (61.8,), "wnli": (62.3,),
    }),
    _row("BERT-Medium", "test", MINIATURES, {
        "cola": (38.0,), "sst2": (89.6,), "mrpc": (86.6, 81.6), "stsb": (80.4, 78.4), "qqp": (69.6, 87.9),
        "mnli": (80.0, 79.1), "qnli": (87.7,), "rte": (62.2,), "wnli": (62.3,),
    }),
    _row("BERT-Base", "test", PAPER, {
        "cola": (52.1,), "sst2": (93.5,), "mrpc": (88.9, None), "stsb": (None, 85.8), "qqp": (71.2, None),
        "mnli": (84.6, 83.4), "qnli": (90.5,), "rte": (66.4,),
    }),
    _row("crammed BERT", "dev", CRAMMING, {
        "cola": (53.3,), "sst2": (92.0,), "mnli": (84.1, 84.6), "rte": (58.5,),
    }),
)  # fmt: skip
