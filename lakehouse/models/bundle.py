"""The signed directory of a model: files, a manifest that lists them, and a detached signature of the manifest.

    model/
      manifest.json        name, format, files by SHA-256, what it was trained on, golden questions and answers
      manifest.sig         Ed25519 over the bytes of manifest.json
      <files>              what the model saves: text, JSON and arrays, never code

The manifest's SHA-256 is the model's digest. It holds no time, no run id and no path, so equal trainings give equal digests.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lakehouse.errors import StateError, TamperedModel
from lakehouse.models.interface import Json

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
TOLERANCE = 1e-9


class Answering(Protocol):
    """What of a model a bundle needs, and whoever opens one uses."""

    def answer(self, question: Mapping[str, Json]) -> dict[str, Json]: ...

    def save(self) -> dict[str, bytes]: ...


@dataclass(frozen=True)
class Facts:
    """What the manifest says of a model beside its files. Versions are of tables; `features` are names and types of the feature service."""

    name: str
    format: int
    service: str
    features: Mapping[str, str]
    snapshot: int | None
    moment: str
    tables: Mapping[str, int]
    parameters: Mapping[str, Json]
    seed: int
    code: str
    lock: str
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Bundle:
    """A verified model and what its manifest says."""

    model: Answering
    manifest: Mapping[str, Json]
    digest: str


def write_bundle(folder: Path, model: Answering, facts: Facts, questions: Sequence[dict[str, Json]], key: Ed25519PrivateKey) -> str:
    """Writes the directory and returns its digest. Raises `StateError` for a folder that is there and not empty."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StateError(f"{folder} is not empty: a signed model is written into a folder of its own")
    files = model.save()
    manifest = asdict(facts) | {
        "files": {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()},
        "golden": [{"question": question, "answer": model.answer(question)} for question in questions],
    }
    text = json.dumps(_finite(manifest), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / MANIFEST).write_bytes(text)
    (folder / SIGNATURE).write_bytes(key.sign(text))
    return hashlib.sha256(text).hexdigest()


def read_bundle(folder: Path, key: Ed25519PublicKey) -> Bundle:
    """The model, verified before anything of it is parsed, then asked its golden questions.

    Raises `TamperedModel` for a missing or wrong signature, a file that is missing, unknown or changed, an answer that is not the one that was
    signed, and a model that another version wrote, of inputs that this one does not compute.
    """
    text, files = _verified(folder, key)
    manifest = json.loads(text)
    for name, listed in manifest["files"].items():
        if name not in files:
            raise TamperedModel(f"{folder}: {name} is missing, but the manifest lists it")
        found = hashlib.sha256(files[name]).hexdigest()
        if found != listed["sha256"]:
            raise TamperedModel(f"{folder}: {name} has SHA-256 {found[:12]}…, the manifest says {listed['sha256'][:12]}…")
    unknown = sorted(set(files) - set(manifest["files"]))
    if unknown:
        raise TamperedModel(f"{folder}: the manifest does not list {', '.join(unknown)}")
    try:
        model = _loader(str(manifest["name"]))(files)
        answers = [model.answer(golden["question"]) for golden in manifest["golden"]]
    except (TamperedModel, MemoryError, OSError):
        raise
    except Exception as error:  # it is what was signed, so another version of this code, or of a library, has written it
        raise TamperedModel(f"{folder} was signed here, but this version can't answer with it: {error}") from error
    for number, (golden, answer) in enumerate(zip(manifest["golden"], answers, strict=True), 1):
        differs = _difference(golden["answer"], answer, "answer")
        if differs is not None:
            raise TamperedModel(f"{folder}: golden question {number} is answered otherwise here: {differs}")
    return Bundle(model, manifest, hashlib.sha256(text).hexdigest())


def _verified(folder: Path, key: Ed25519PublicKey) -> tuple[bytes, dict[str, bytes]]:
    """The manifest's bytes, their signature verified, and the other files' bytes."""
    try:
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        text, signature = files.pop(MANIFEST), files.pop(SIGNATURE)
    except KeyError as missing:
        raise TamperedModel(f"{folder} holds no {missing.args[0]}: it is not a signed model") from None
    except OSError as error:
        raise TamperedModel(f"{folder} can't be read as a signed model: {error.strerror}") from None
    try:
        key.verify(signature, text)
    except InvalidSignature:
        raise TamperedModel(
            f"{folder}: the signature is not of this manifest and this home's key (where secrets/signing was replaced, put the former one back)"
        ) from None
    return text, files


def _loader(name: str) -> Callable[[Mapping[str, bytes]], Answering]:
    if name == "demand":
        from lakehouse.models.demand import DemandModel

        return DemandModel.load
    if name == "segments":
        from lakehouse.models.segments import SegmentsModel

        return SegmentsModel.load
    if name == "recommendations":
        from lakehouse.models.recommendations import RecommendationsModel

        return RecommendationsModel.load
    raise TamperedModel(f"the manifest names the model {name}, which this version does not know")


def _difference(signed: Json, found: Json, where: str) -> str | None:
    """Where two answers differ by more than the tolerance; None where they don't."""
    if isinstance(signed, dict) and isinstance(found, dict):
        if signed.keys() != found.keys():
            return f"{where} has {sorted(found)}, signed were {sorted(signed)}"
        return next(_differences((f"{where}.{name}", signed[name], found[name]) for name in signed), None)
    if isinstance(signed, list) and isinstance(found, list):
        if len(signed) != len(found):
            return f"{where} has {len(found)} entries, signed were {len(signed)}"
        return next(_differences((f"{where}[{place}]", a, b) for place, (a, b) in enumerate(zip(signed, found, strict=True))), None)
    numbers = isinstance(signed, int | float) and isinstance(found, int | float) and not isinstance(signed, bool)
    same = math.isclose(signed, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE) if numbers else signed == found  # type: ignore[arg-type]
    return None if same else f"{where} is {found!r}, signed was {signed!r}"


def _differences(pairs: Iterator[tuple[str, Json, Json]]) -> Iterator[str]:
    for where, signed, found in pairs:
        differs = _difference(signed, found, where)
        if differs is not None:
            yield differs


def _finite(value: object) -> object:
    """Figures that are not finite are told as null: JSON has no other word for them."""
    if isinstance(value, Mapping):
        return {str(name): _finite(below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(below) for below in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
