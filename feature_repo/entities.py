"""Who and what features are about. A product's features hold for one store: its view takes two entities."""

from __future__ import annotations

from feast import Entity
from feast.value_type import ValueType

store = Entity(name="store", join_keys=["store"], value_type=ValueType.STRING, description="a store; 'all' where the retailer has one")
product = Entity(name="product", join_keys=["product_code"], value_type=ValueType.STRING, description="a product, by its code")
customer = Entity(
    name="customer", join_keys=["customer_key"], value_type=ValueType.STRING, description="a customer, by its key in the vault"
)
