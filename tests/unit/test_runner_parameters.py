from __future__ import annotations

from pathlib import Path

import pytest

from jobs.parameters import checked, declared
from lakehouse.errors import InputError, UnknownName
from tests.pages import page

PARAMETERS = (
    'run = ""  # id of the run\nweeks = 4  # how many\nshare = 0.5  # of what\nquick = False  # or thorough\nanything = None  # at all'
)


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    return page(tmp_path / "stage.ipynb", parameters=PARAMETERS)


def test_parameters_are_known_with_their_defaults_and_comments(notebook: Path) -> None:
    found = declared(notebook)

    assert {name: (each.default, each.about) for name, each in found.items()} == {
        "run": ("", "id of the run"),
        "weeks": (4, "how many"),
        "share": (0.5, "of what"),
        "quick": (False, "or thorough"),
        "anything": (None, "at all"),
    }


def test_values_of_the_declared_types_are_taken(notebook: Path) -> None:
    given = {"run": "r1", "weeks": 8, "share": 1, "quick": True, "anything": [1]}

    assert checked(notebook, given) == given


def test_an_unknown_parameter_is_refused_with_the_nearest_one(notebook: Path) -> None:
    with pytest.raises(UnknownName, match='parameter "week" is unknown in notebook stage. Did you mean "weeks"'):
        checked(notebook, {"week": 4})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weeks", "4", "\"weeks\" of notebook stage is str '4', expected int"),
        ("weeks", True, '"weeks" of notebook stage is bool True, expected int'),
        ("weeks", 4.0, '"weeks" of notebook stage is float 4.0, expected int'),
        ("run", 7, '"run" of notebook stage is int 7, expected str'),
        ("run", None, '"run" of notebook stage is NoneType None, expected str'),
        ("quick", 1, '"quick" of notebook stage is int 1, expected bool'),
    ],
)
def test_a_value_of_another_type_is_refused(notebook: Path, name: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked(notebook, {name: value})


@pytest.mark.parametrize("name", ["api_key", "password", "vault_secret", "ACCESS_TOKEN", "signing_key"])
def test_what_looks_like_a_secret_is_refused_even_where_declared(tmp_path: Path, name: str) -> None:
    notebook = page(tmp_path / "stage.ipynb", parameters=f'{name} = ""  # a secret')

    with pytest.raises(InputError, match="looks like a secret"):
        checked(notebook, {name: "x"})


def test_a_default_that_is_computed_is_refused(tmp_path: Path) -> None:
    notebook = page(tmp_path / "stage.ipynb", parameters="weeks = int(4)  # how many")

    with pytest.raises(InputError, match=r"has the default int\(4\), expected a literal"):
        declared(notebook)


def test_a_notebook_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.ipynb was not found"):
        declared(tmp_path / "nowhere.ipynb")
