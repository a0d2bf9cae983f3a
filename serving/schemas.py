"""What is asked and what is answered. Unknown fields are refused, types are exact, numbers are finite."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

FORECAST_WEEKS = 8  # no model forecasts further; the one that is loaded may forecast less far
MOST_ITEMS = 100
MOST_EXCLUDED = 1000

Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
ProductCode = Annotated[Code, AfterValidator(str.upper)]
Fallback = Literal[
    "no champion",
    "unknown customer",
    "new product",
    "features missing",
    "features stale",
    "features unavailable",
    "model failed",
]

NUMBER = Field(
    default=None,
    description="Customer number as the shop knows it. It is exchanged for a key at once and kept nowhere.",
    examples=["17850"],
)
KEY = Field(default=None, description="The customer's key, for callers that know it from the lake. Give either this or `customer`.")


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ForecastRequest(Asked):
    """A product's sales, week by week."""

    product: ProductCode = Field(description="Product code; small letters are taken as capital ones.", examples=["85123A"])
    store: Code = Field(default="all", description='Store; "all" where the retailer has none.', examples=["all"])
    weeks: int = Field(default=4, ge=1, le=FORECAST_WEEKS, description="How many weeks ahead.", examples=[4])


class CustomerRequest(Asked):
    customer: Code | None = NUMBER
    customer_key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = KEY

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.customer is None) == (self.customer_key is None):
            raise ValueError("give either customer or customer_key")
        return self


class SegmentRequest(CustomerRequest):
    """A customer's segment."""


class RecommendRequest(CustomerRequest):
    """Products for a customer, the best first."""

    k: int = Field(default=20, ge=1, le=MOST_ITEMS, description="How many products.", examples=[5])
    exclude: list[ProductCode] = Field(
        default_factory=list,
        max_length=MOST_EXCLUDED,
        description="Products to leave out, such as those in the basket.",
        examples=[["22423"]],
    )
    only_new: bool = Field(default=False, description="Leave out what the customer was seen to buy.", examples=[False])


class ModelUsed(Answer):
    name: str = Field(description="demand, segments or recommendations.", examples=["demand"])
    version: str = Field(description='Version in the registry; "baseline" where no model answered.', examples=["3"])
    digest: str | None = Field(description="SHA-256 of the model's signed manifest; null for a baseline.", examples=["9f2c…"])


class Answered(Answer):
    request_id: str = Field(description="Id of this answer in the answer log.", examples=["5f0c1f6c8f4e4d0b8d3c8a3f7d2b9c11"])
    model: ModelUsed = Field(description="Who answered.")
    as_of: datetime = Field(
        description="The day that the newest publication was told it is, in shop time.", examples=["2011-11-07T00:00:00"]
    )
    features_as_of: datetime | None = Field(
        description="The moment from which the features hold that were used; null where none were.", examples=["2011-11-07T00:00:00"]
    )
    fallback: Fallback | None = Field(
        description="Why this is not the champion's answer from fresh features; null when it is.", examples=[None]
    )


class ForecastWeek(Answer):
    week: date = Field(description="First day of the week; week 1 begins at the moment of the features.", examples=["2011-11-07"])
    mean: float = Field(ge=0, description="Expected units: these add up, so order by them.", examples=[41.7])
    median: float = Field(ge=0, description="As many weeks sell less as sell more.", examples=[38.2])
    low: float = Field(ge=0, description="One week in ten sells less.", examples=[12.0])
    high: float = Field(ge=0, description="One week in ten sells more.", examples=[79.5])


class ForecastAnswer(Answered):
    product: str = Field(examples=["85123A"])
    store: str = Field(examples=["all"])
    forecast: list[ForecastWeek] = Field(description="One entry per week, units sold less units returned.")


class Segment(Answer):
    name: str = Field(description="Stable name of the segment.", examples=["loyal"])
    description: str = Field(description="The segment in plain words.", examples=["Buys every month, spends more than most."])


class SegmentAnswer(Answered):
    segment: Segment


class Item(Answer):
    product: str = Field(examples=["22423"])
    name: str | None = Field(description="The product's name, where one is known.", examples=["REGENCY CAKESTAND 3 TIER"])
    score: float = Field(description="Higher is better; comparable within one answer only.", examples=[0.83])
    reason: str = Field(description="Why it is recommended.", examples=["bought before"])


class RecommendAnswer(Answered):
    items: list[Item] = Field(description="The best first. Fewer than asked for where there are no more.")


class ModelState(Answer):
    name: str = Field(examples=["demand"])
    version: str = Field(description='Version that answers; "baseline" where there is no champion.', examples=["3"])
    digest: str | None = Field(description="SHA-256 of the signed manifest.", examples=["9f2c…"])
    alias: str | None = Field(description="Alias under which it was found.", examples=["champion"])
    trained_as_of: datetime | None = Field(description="Moment that it was trained at.", examples=["2011-11-07T00:00:00"])
    loaded_at: datetime | None = Field(description="When this process loaded it, UTC.")
    metrics: dict[str, float] = Field(description="What was measured when it was registered.", examples=[{"wape": 0.56}])
    problem: str | None = Field(description="Why the newest champion is not the one that answers; null when it is.", examples=[None])


class ModelList(Answer):
    models: list[ModelState]


class Health(Answer):
    status: Literal["ok"] = Field(description="The process answers.")


class Readiness(Answer):
    ready: bool = Field(description="Everything that answers need is there.")
    reasons: list[str] = Field(description="What is missing.", examples=[["no champion of demand"]])
    as_of: datetime | None = Field(description="The newest publication.")
    models: dict[str, str] = Field(description="Version that answers, by model.", examples=[{"demand": "3"}])


class FieldError(Answer):
    field: str
    reason: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["/docs#unknown-product"])
    title: str = Field(examples=["Unknown product or store"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What was found, what was expected, what to do.")
    instance: str = Field(examples=["/v1/forecast"])
    errors: list[FieldError] | None = Field(default=None, description="The fields that are wrong, for 422.")
