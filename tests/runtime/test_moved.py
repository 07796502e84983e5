"""What earlier versions recorded is read by the names of today."""

from cloze.runtime.moved import present, present_path


def test_targets_have_the_names_of_today_at_any_depth() -> None:
    recorded = {
        "objective": {"_target_": "cloze.data.objective.Objective", "pairs": "none"},
        "data": {
            "_target_": "cloze.data.pretraining.PretrainingData",
            "objective": [{"_target_": "cloze.data.objective.Objective"}],
        },
        "task": {"features": {"_target_": "cloze.data.downstream.windows.QuestionFeatures"}},
        "own": {"_target_": "my_package.Own", "note": "cloze.data.downstream.windows.QuestionFeatures"},
        "run": "cloze.data.objective.Objective",
    }
    assert present(recorded) == {
        "objective": {"_target_": "cloze.data.pretraining.masked_lm.MaskedLM", "pairs": "none"},
        "data": {
            "_target_": "cloze.data.pretraining.module.PretrainingData",
            "objective": [{"_target_": "cloze.data.pretraining.masked_lm.MaskedLM"}],
        },
        "task": {"features": {"_target_": "cloze.data.finetuning.questions.QuestionFeatures"}},
        "own": {"_target_": "my_package.Own", "note": "cloze.data.downstream.windows.QuestionFeatures"},
        "run": "cloze.data.objective.Objective",
    }


def test_the_names_of_today_stay() -> None:
    for path in (
        "cloze.data.pretraining.masked_lm.MaskedLM",
        "cloze.data.pretraining.module.PretrainingData",
        "torch.optim.AdamW",
    ):
        assert present_path(path) == path
