"""The signed directory of a model: what is written is what is read, and nothing else is."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import math
import pickletools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import TamperedModel
from lakehouse.models.bundle import MANIFEST, SIGNATURE, Facts, read_bundle, write_bundle
from tests.made_up import MadeUp, made_up

NAMES = ("demand", "segments", "recommendations")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
Edit = Callable[[dict[str, object]], object]
Week = dict[str, Any]


def facts(name: str) -> Facts:
    return Facts(
        name=name,
        format=1,
        service=f"{name}_v1",
        features={"units_4w": "Float64"},
        snapshot=3,
        moment="2024-06-03T00:00:00",
        tables={"silver.sales": 5},
        parameters={"rounds": 5},
        seed=7,
        code="c0ffee",
        lock="10c4",
        metrics={"wape": 0.5, "rmsse": math.nan},
        baselines={"naive": {"wape": 0.6}},
    )


@pytest.fixture(scope="module")
def made() -> dict[str, MadeUp]:
    return {name: made_up(name) for name in NAMES}


@pytest.fixture(scope="module")
def signed(made: dict[str, MadeUp], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder per model. They are shared: a test that changes one takes a copy, or puts back what was there."""
    folders = {name: tmp_path_factory.mktemp("signed") / name for name in NAMES}
    for name, folder in folders.items():
        write_bundle(folder, made[name].model, facts(name), made[name].questions, KEY)
    return folders


@pytest.fixture
def copied(signed: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(signed[name], tmp_path / name))


def edited(folder: Path, edit: Edit, key: Ed25519PrivateKey | None = None) -> Path:
    """The folder with another manifest, signed anew by `key` or with the signature that was there."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    edit(manifest)
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    (folder / MANIFEST).write_bytes(text)
    if key is not None:
        (folder / SIGNATURE).write_bytes(key.sign(text))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_is_read_answers_as_the_one_that_was_written(name: str, made: dict[str, MadeUp], signed: dict[str, Path]) -> None:
    found = read_bundle(signed[name], KEY.public_key())
    assert [found.model.answer(question) for question in made[name].questions] == [
        made[name].model.answer(question) for question in made[name].questions
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_is_read_is_saved_as_the_same_bytes(name: str, made: dict[str, MadeUp], signed: dict[str, Path]) -> None:
    assert read_bundle(signed[name], KEY.public_key()).model.save() == made[name].model.save()


@pytest.mark.parametrize(("name", "inputs"), [("demand", "INPUTS"), ("segments", "MEASURES"), ("recommendations", "INPUTS")])
def test_a_model_of_inputs_that_this_version_does_not_compute_can_not_be_relied_on(
    name: str, inputs: str, signed: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"lakehouse.models.{name}")
    monkeypatch.setattr(module, inputs, (*getattr(module, inputs), "one more"))
    with pytest.raises(TamperedModel, match="was signed here, but this version can't answer with it: .* train it again"):
        read_bundle(signed[name], KEY.public_key())


def test_the_digest_is_that_of_the_manifests_bytes(signed: dict[str, Path]) -> None:
    found = read_bundle(signed["demand"], KEY.public_key())
    assert found.digest == hashlib.sha256((signed["demand"] / MANIFEST).read_bytes()).hexdigest()


def test_the_manifest_lists_every_file_with_its_hash_and_size(signed: dict[str, Path]) -> None:
    listed = json.loads((signed["demand"] / MANIFEST).read_bytes())["files"]
    files = {name: content for name, content in contents(signed["demand"]).items() if name not in (MANIFEST, SIGNATURE)}
    assert listed == {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()}


def test_a_figure_that_is_not_a_number_is_told_as_null(signed: dict[str, Path]) -> None:
    assert read_bundle(signed["demand"], KEY.public_key()).manifest["metrics"] == {"wape": 0.5, "rmsse": None}


@pytest.mark.parametrize("name", NAMES)
def test_two_equal_trainings_in_two_folders_are_equal_byte_by_byte(name: str, signed: dict[str, Path], tmp_path: Path) -> None:
    again = made_up(name)
    write_bundle(tmp_path / "elsewhere" / "later", again.model, facts(name), again.questions, KEY)
    assert contents(tmp_path / "elsewhere" / "later") == contents(signed[name])


def test_the_manifest_says_nothing_of_where_or_in_which_run_it_was_written(signed: dict[str, Path]) -> None:
    text = (signed["demand"] / MANIFEST).read_text()
    assert str(signed["demand"].parent) not in text
    assert set(json.loads(text)) == {*Facts.__dataclass_fields__, "files", "golden"}


def test_a_model_of_other_facts_has_another_digest(made: dict[str, MadeUp], signed: dict[str, Path], tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "m", made["demand"].model, replace(facts("demand"), seed=8), made["demand"].questions, KEY)
    assert other != read_bundle(signed["demand"], KEY.public_key()).digest


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_one_bit_flipped_in_any_file_is_refused(name: str, signed: dict[str, Path], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(signed[name].iterdir())))
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(changed))
    try:
        with pytest.raises(TamperedModel):
            read_bundle(signed[name], KEY.public_key())
    finally:
        path.write_bytes(whole)


def test_a_file_cut_short_is_refused(copied: Callable[[str], Path]) -> None:
    path = copied("demand") / "mean.txt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TamperedModel, match=r"mean.txt has SHA-256 .*, the manifest says"):
        read_bundle(path.parent, KEY.public_key())


def test_two_files_that_changed_places_are_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("demand")
    low, high = (folder / "low.txt").read_bytes(), (folder / "high.txt").read_bytes()
    (folder / "low.txt").write_bytes(high)
    (folder / "high.txt").write_bytes(low)
    with pytest.raises(TamperedModel, match="has SHA-256"):
        read_bundle(folder, KEY.public_key())


def test_a_file_that_the_manifest_does_not_list_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("demand")
    (folder / "extra.py").write_text("print('hello')")
    with pytest.raises(TamperedModel, match="the manifest does not list extra.py"):
        read_bundle(folder, KEY.public_key())


def test_a_folder_within_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("demand")
    (folder / "__pycache__").mkdir()
    with pytest.raises(TamperedModel):
        read_bundle(folder, KEY.public_key())


@pytest.mark.parametrize("gone", ["mean.txt", MANIFEST, SIGNATURE])
def test_a_missing_file_is_refused_by_its_name(copied: Callable[[str], Path], gone: str) -> None:
    folder = copied("demand")
    (folder / gone).unlink()
    with pytest.raises(TamperedModel, match=gone):
        read_bundle(folder, KEY.public_key())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TamperedModel, match="can't be read as a signed model"):
        read_bundle(tmp_path / "nowhere", KEY.public_key())


@pytest.mark.parametrize("signature", [b"", b"x" * 64, b"x" * 63])
def test_a_signature_that_is_none_is_refused(copied: Callable[[str], Path], signature: bytes) -> None:
    folder = copied("segments")
    (folder / SIGNATURE).write_bytes(signature)
    with pytest.raises(TamperedModel, match="the signature is not of this manifest and this home's key"):
        read_bundle(folder, KEY.public_key())


def test_a_model_signed_in_another_home_is_refused(signed: dict[str, Path]) -> None:
    with pytest.raises(TamperedModel, match="the signature is not of this manifest and this home's key"):
        read_bundle(signed["segments"], OTHER.public_key())


def test_the_signature_of_another_model_is_refused(copied: Callable[[str], Path], signed: dict[str, Path]) -> None:
    folder = copied("segments")
    (folder / SIGNATURE).write_bytes((signed["demand"] / SIGNATURE).read_bytes())
    with pytest.raises(TamperedModel, match="the signature is not of this manifest"):
        read_bundle(folder, KEY.public_key())


def test_a_manifest_edited_after_it_was_signed_is_refused(copied: Callable[[str], Path]) -> None:
    folder = edited(copied("segments"), lambda manifest: manifest.update(metrics={"eta_squared": 0.99}))
    with pytest.raises(TamperedModel, match="the signature is not of this manifest"):
        read_bundle(folder, KEY.public_key())


def test_a_manifest_that_is_written_otherwise_is_refused_though_it_says_the_same(copied: Callable[[str], Path]) -> None:
    folder = copied("segments")
    (folder / MANIFEST).write_text(json.dumps(json.loads((folder / MANIFEST).read_bytes())))
    with pytest.raises(TamperedModel, match="the signature is not of this manifest"):
        read_bundle(folder, KEY.public_key())


def golden(change: Callable[[Week], object]) -> Edit:
    """An edit of the first week of the second golden answer of a demand model."""

    def edit(manifest: dict[str, object]) -> None:
        questions = manifest["golden"]
        assert isinstance(questions, list)
        change(questions[1]["answer"]["forecast"][0])

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (golden(lambda week: week.update(mean=week["mean"] + 1e-6)), r"golden question 2 .*answer.forecast\[0\].mean is"),
        (golden(lambda week: week.update(week="2024-06-04")), r"answer.forecast\[0\].week is '2024-06-03', signed was '2024-06-04'"),
        (golden(lambda week: week.pop("high")), r"answer.forecast\[0\] has .*, signed were"),
        (golden(lambda week: week.update(low=None)), r"answer.forecast\[0\].low is"),
        (lambda manifest: manifest["golden"][1]["answer"]["forecast"].pop(), r"answer.forecast has 4 entries, signed were 3"),
    ],
    ids=["a number", "a text", "a missing name", "a null", "a list's length"],
)
def test_a_model_that_answers_otherwise_than_was_signed_is_refused(copied: Callable[[str], Path], edit: Edit, message: str) -> None:
    with pytest.raises(TamperedModel, match=message):
        read_bundle(edited(copied("demand"), edit, KEY), KEY.public_key())


def test_an_answer_that_differs_by_less_than_a_billionth_is_the_same(copied: Callable[[str], Path]) -> None:
    edit = golden(lambda week: week.update(mean=week["mean"] * (1 + 1e-11)))
    assert read_bundle(edited(copied("demand"), edit, KEY), KEY.public_key()).manifest["name"] == "demand"


def test_a_kind_of_model_that_this_version_does_not_know_is_refused(copied: Callable[[str], Path]) -> None:
    folder = edited(copied("segments"), lambda manifest: manifest.update(name="churn"), KEY)
    with pytest.raises(TamperedModel, match="names the model churn, which this version does not know"):
        read_bundle(folder, KEY.public_key())


@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_a_model_is_a_pickle(name: str, signed: dict[str, Path]) -> None:
    for path in signed[name].iterdir():
        with pytest.raises(ValueError):
            list(pickletools.genops(path.read_bytes()))


def test_the_arrays_of_a_model_are_read_without_unpickling(signed: dict[str, Path]) -> None:
    arrays = [np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) for path in signed["recommendations"].glob("*.npy")]
    assert len(arrays) == 4 and all(array.dtype.kind in "fi" for array in arrays)
