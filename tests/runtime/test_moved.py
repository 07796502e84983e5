"""What earlier versions recorded is read by the names of today."""

from cloze.config.nodes import locate
from cloze.runtime.moved import CONTINUED, WORDS, present, present_path, present_run
from cloze.text.quality.rules import QualityRules


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


def test_the_tokenizer_of_a_model_to_start_from_was_stated_as_another_class() -> None:
    def run(target: str, **more: object) -> dict[str, object]:
        words = {"_target_": target, "lowercase": True, **more}
        return {"init": "model", "tokenizer": words, "data": {"preparation": {"tokenizer": words}}}

    assert present_run(run(WORDS)) == run(CONTINUED)
    for stays in (run(CONTINUED), run(WORDS, vocab=None), run(WORDS) | {"init": None}):
        assert present_run(stays) == stays


def test_the_names_of_today_stay() -> None:
    for path in (
        "cloze.data.pretraining.masked_lm.MaskedLM",
        "cloze.data.pretraining.module.PretrainingData",
        "torch.optim.AdamW",
    ):
        assert present_path(path) == path


def test_runs_of_earlier_versions_dropped_nothing_of_their_text() -> None:
    stated = {"sentences": {"_target_": "a"}, "tokenizer": {"_target_": "b"}}
    before = {**stated, "preparation": {**stated, "duplicates": "count"}, "data": {"preparation": stated, "seed": 1}}
    now = present_run(before)
    rules = {"_target_": "cloze.text.quality.rules.QualityRules"}
    assert now["quality"] == now["preparation"]["quality"] == now["data"]["preparation"]["quality"] == rules
    assert present_run(now) == now
    assert locate(rules["_target_"], "quality") is QualityRules
    assert present_run({**stated, "quality": {**rules, "min_words": 5}})["quality"] == {**rules, "min_words": 5}
