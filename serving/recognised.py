"""What of a question may be kept as it was sent.

People type customer numbers into the wrong field. So the log has only codes that something here knows as a product's or a store's; of the
rest it says that they were unknown. None of those is missed when an answer is made again: nothing that is unknown changes an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lakehouse.models.recommendations import RecommendationsModel
from serving.schemas import ForecastRequest
from serving.service import Service

UNKNOWN = "unknown"  # no code in small letters is ever taken for a product's
ALL_STORES = "all"


def products(service: Service) -> Callable[[str], bool]:
    """Whether a code is one of a product, as far as memory knows: it is in the model of recommendations, or popular."""
    loaded, popular = service.champions["recommendations"].current, service.features.popular_codes
    items = loaded.model.model.items.place if loaded is not None and isinstance(loaded.model.model, RecommendationsModel) else {}
    return lambda code: code in items or code in popular


def codes(service: Service, sent: Iterable[str]) -> list[str]:
    known = products(service)
    return [code if known(code) else UNKNOWN for code in sent]


def series(service: Service, asked: ForecastRequest, has_features: bool) -> dict[str, object]:
    """A question for a forecast. Features were found for no other product and store than those that are in the online store."""
    if has_features:
        return asked.model_dump()
    (product,) = codes(service, [asked.product])
    return {**asked.model_dump(), "product": product, "store": ALL_STORES if asked.store == ALL_STORES else UNKNOWN}
