from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from jobs.environment import differences, of_process, of_stage
from lakehouse import settings

SECRET = "12" * 32


def test_a_stage_is_told_its_home_profile_endpoint_and_result(tmp_path: Path) -> None:
    chosen = settings.load(tmp_path, "local", environ={})

    assert of_stage(chosen, "sc://127.0.0.1:1", tmp_path / "r.json", {}) == {
        "ZEROMARGIN_HOME": str(chosen.home),
        "ZEROMARGIN_PROFILE": "local",
        "ZEROMARGIN_RESULT": str(tmp_path / "r.json"),
        "SPARK_REMOTE": "sc://127.0.0.1:1",
    }


def test_settings_chosen_for_the_run_reach_the_stage(tmp_path: Path) -> None:
    chosen = settings.load(tmp_path, "local", {"engine": "spark", "vault": {"keys": "derived", "secret": SECRET}}, environ={})

    found = differences(chosen, {})

    assert found == {"ZEROMARGIN_ENGINE": "spark", "ZEROMARGIN_VAULT__KEYS": "derived", "ZEROMARGIN_VAULT__SECRET": SECRET}
    assert settings.load(tmp_path, "local", environ=found) == chosen


def test_what_the_environment_says_already_is_not_said_twice(tmp_path: Path) -> None:
    environ = {"ZEROMARGIN_ENGINE": "spark"}

    assert differences(settings.load(tmp_path, "local", environ=environ), environ) == {}


@limits(max_examples=40, deadline=None)
@given(
    seed=st.integers(),
    share=st.floats(min_value=1e-9, max_value=1e9),
    url=st.none() | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1),
    process=st.booleans(),
)
def test_another_process_arrives_at_the_same_settings(seed: int, share: float, url: str | None, process: bool) -> None:
    overrides = {"models": {"seed": seed}, "endpoint": {"memory_gb": share}, "ops": {"url": url}, "runner": {"in_process": process}}
    chosen = settings.load("/lake", "local", overrides, environ={})

    assert settings.load("/lake", "local", environ=differences(chosen, {})) == chosen


def test_a_process_keeps_the_callers_environment_and_finds_the_project(tmp_path: Path) -> None:
    found = of_process({"ZEROMARGIN_RESULT": "r"}, tmp_path, {"LANG": "C", "PYTHONPATH": "/elsewhere"})

    assert (found["LANG"], found["ZEROMARGIN_RESULT"], found["JUPYTER_RUNTIME_DIR"]) == ("C", "r", str(tmp_path))
    assert found["PYTHONPATH"].split(":")[1] == "/elsewhere"
    assert (Path(found["PYTHONPATH"].split(":")[0]) / "jobs" / "pipeline.py").is_file()
