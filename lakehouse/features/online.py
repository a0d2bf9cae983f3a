"""Feature values for one answer, from the online store. Serving imports this: nothing here reaches the engine or the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse.errors import NothingPublished, TryAgain
from lakehouse.features import marker as markers
from lakehouse.features import seal as seals
from lakehouse.features.marker import Marker
from lakehouse.features.repository import MARKER, REGISTRY, feature_store, folder, is_day
from lakehouse.features.values import FeatureValues, Value
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from feast.feature_view import FeatureView
    from feast.protos.feast.types.Value_pb2 import Value as ValueProto

EPOCH = date(1970, 1, 1)
NEVER = datetime(1970, 1, 1)


class OnlineFeatures:
    """The online store of a home: one look-up per call, by key. May be used from several threads.

    Raises `NothingPublished` for a home without a registry. Opening imports Feast, which takes seconds.
    """

    def __init__(self, settings: Settings) -> None:
        home = settings.home
        if not (folder(home) / REGISTRY).exists():
            raise NothingPublished("no features were published online yet. Load files, then run: zeromargin run")
        store = feature_store(settings)
        from feast.protos.feast.types import EntityKey_pb2, Value_pb2

        self._home, self._sealed = home, seals.sealed(settings)
        self._config, self._provider = store.config, store.provider
        self._products = _View.of(store.get_feature_view("product_sales"))
        self._customers = _View.of(store.get_feature_view("customer_history"))
        self._key, self._text = EntityKey_pb2.EntityKey, Value_pb2.Value
        self._marker: tuple[int, Marker | None] = (-1, None)

    @property
    def marker(self) -> datetime | None:
        """The moment up to which the store is published; None where a publication never ended."""
        try:
            changed = (folder(self._home) / MARKER).stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if changed != self._marker[0]:
            self._marker = (changed, markers.read(self._home))
        found = self._marker[1]
        return None if found is None else found.moment

    @property
    def is_whole(self) -> bool:
        """Whether the store still has what the marker says was published. Raises `TryAgain` when it does not answer."""
        marker = self.marker
        if marker is None:
            return True
        with _answering():
            seal = self._sealed.read()
        return seal is not None and (seal.marker.moment >= marker or seal.reaching is not None)  # else a publication is about to end

    def product(self, store: str, product_code: str) -> FeatureValues | None:
        """None for a product that never sold there. Raises `TryAgain` when the online store does not answer."""
        return self._read(self._products, {"store": store, "product_code": product_code})

    def customer(self, customer_key: str) -> FeatureValues | None:
        """None for a customer without lines, or one who was erased. Raises `TryAgain` when the online store does not answer."""
        return self._read(self._customers, {"customer_key": customer_key})

    def _read(self, view: _View, entity: Mapping[str, str]) -> FeatureValues | None:
        # The marker first: read after the row, it could be of a publication that the row is not of.
        marker = self.marker
        key = self._key(join_keys=list(entity), entity_values=[self._text(string_val=value) for value in entity.values()])
        with _answering():
            # A list of its own for each call, since some online stores append to it.
            ((moment, found),) = self._provider.online_read(self._config, view.declared, [key], list(view.decoders))
        # Redis has nothing to say of an entity that it lacks, and Feast makes the beginning of 1970 of that.
        if moment is None or found is None or moment.replace(tzinfo=None) == NEVER:
            return None
        values = {name: decode(found[name]) if name in found else None for name, decode in view.decoders.items()}
        return FeatureValues(view.declared.name, values, moment.replace(tzinfo=None), marker)


@contextmanager
def _answering() -> Iterator[None]:
    """Raises `TryAgain` for whatever an online store's library refuses."""
    try:
        yield
    except Exception as error:
        raise TryAgain(f"the online store does not answer: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class _View:
    """A feature view and how each of its features becomes a JSON value."""

    declared: FeatureView
    decoders: Mapping[str, Callable[[ValueProto], Value]]

    @classmethod
    def of(cls, declared: FeatureView) -> _View:
        return cls(declared, {field.name: _day if is_day(field) else _plain for field in declared.features})


def _plain(value: ValueProto) -> Value:
    kind = value.WhichOneof("val")
    if kind is None:
        return None
    found = getattr(value, kind)
    return list(found.val) if kind.endswith("_list_val") else found


def _day(value: ValueProto) -> Value:
    return (EPOCH + timedelta(days=value.int64_val)).isoformat() if value.HasField("int64_val") else None
