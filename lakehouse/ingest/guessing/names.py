"""Which column is which, by its name: split into words (capitals, marks, German compounds) and matched by them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_IDS = {"id", "no", "nr", "nbr", "num", "number", "nummer", "key", "code", "cd"}  # all the same to the patterns below: id
_OTHER_WORDS = {
    "dat": "date",
    "datum": "date",
    "zeit": "time",
    "zeitpunkt": "time",
    "ts": "timestamp",
    "desc": "description",
    "pcs": "pieces",
    "wk": "week",
    "kw": "week",
    "absatz": "units sold",
    "woche": "week",
    "yr": "year",
    "jahr": "year",
    "weekending": "week ending",
} | {
    word: english
    for english, words in {
        "date": "fecha data",
        "week": "semana semaine settimana",
        "end": "fin fim fine",
        "year": "año année annee anno jaar",
        "product": "producto produit prodotto produto",
        "article": "artículo articulo articolo artigo",
        "id": "código codigo codice",
        "description": "descripción descripcion libellé libelle descrizione omschrijving",
        "quantity": "cantidad quantité quantite quantità quantita aantal quantidade",
        "units": "unidades unités unites",
        "price": "precio prix prezzo prijs preço preco",
        "unit": "unitario unitaire",
        "amount": "importe montant importo bedrag",
        "customer": "cliente klant",
        "invoice": "factura facture fattura factuur",
        "store": "tienda magasin negozio winkel loja",
        "country": "país pais pays paese",
    }.items()
    for word in words.split()
}
_SMALL = {"de", "da", "di", "du", "del", "della", "des", "do"}
_CURRENCIES = {"eur", "euro", "usd", "gbp", "chf"}
_LAST = (  # of compounds written in one word
    *(
        "nummer",
        "number",
        "datum",
        "date",
        "preis",
        "price",
        "menge",
        "zeit",
        "time",
        "name",
        "bezeichnung",
        "text",
        "code",
        "wert",
        "value",
    ),
    *("amount", "total", "sales", "sold", "flag", "move", "nbr", "nr", "no", "id", "qty"),
)
_FIRST = ("log", "ln", "is", "on")
_STEMS = """
    artikel beleg kunde kunden verkauf bestell bestellung rechnung kauf gesamt einzel stück stueck bon filial filiale waren ware produkt kassen
    sales sale order invoice transaction purchase customer client household product item stock article store shop unit units total basket receipt
    member card user line sku net gross move qty quantity price amount promotion promo holiday
"""  # what is left of a compound, for it to be taken for one
_KNOWN = frozenset(_STEMS.split())
_DAY = r"(?:date|day|time|timestamp|date time|tag|datetime)(?: (?:time|stamp))?"
_EVENT = (
    r"(?:invoice|transaction|trans|order|ordered|sale|sales|sold|purchase|purchased|receipt|basket|bon|beleg|rechnung|verkauf|verkaufs|"
    r"bestell|bestellung|kauf|billing|buchungs)"
)
_ID = "(?: id)?"
_NAMES = {  # ours, by the words of theirs, the surest first; each of ours takes one column
    "sold_at": (
        rf"{_EVENT} (?:at|on|{_DAY})",
        _DAY,
        r"week(?: (?:id|date|start|starting|begin|beginning|of|end|ending|ended))?(?: date)?|date of (?:sale|purchase|order)|calendar date|period start",
    ),
    "unit_price": (
        r"(?:unit|einzel|stück|stueck|list|sales|sale|selling|retail|item|verkauf|verkaufs|vk|product) (?:price|preis)",
        r"(?:price|preis)(?: (?:(?:per|pro) )?(?:unit|item|piece|stück|stueck|each))?",
    ),
    "quantity": (
        r"(?:(?:order|ordered|sold|sales|item|total|verkauf|verkaufs) )?(?:quantity|qty|menge|anzahl|pieces|stück|stueck|stk)"
        r"(?: (?:sold|ordered|purchased|stk|stück))?",
        r"(?:(?:sold|sales|total|weekly|daily) )?units?(?: (?:sold|sales|ordered))?|items sold|sold|move|movement|count|number of items",
    ),
    "amount": (
        r"(?:(?:total|net|gross|line|sales?|weekly|daily|gesamt|netto|brutto|zeilen|extended|ext|item|order|dollar|transaction|store) )*"
        r"(?:amount|total|value|sales?|revenue|umsatz|summe|betrag|turnover|price|preis|wert|spend)(?: (?:amount|value|netto|brutto|net|gross))?",
    ),
    "customer": (rf"(?:customer|cust|kd|client|household|hshd|member|card|loyalty|kunde|kunden|user|shopper|buyer)(?: card)?{_ID}",),
    "invoice": (
        rf"(?:invoice|receipt|basket|order|bon|kassen bon|kassenbon|beleg|rechnung|transaction|trans|txn|trx|bill|ticket|bestellung|bestell){_ID}",
    ),
    "product_code": (
        r"(?:stock|product|prod|item|article|sku|artikel|art|brand|ean|upc|gtin|plu|material|produkt|waren|ware) id",
        r"(?:product|item|article|sku|artikel|ean|upc|gtin|plu|barcode|brand|material|produkt|ware|stock item)",
        rf"(?:dept|department|(?:product |item )?(?:category|family|group)|waren ?gruppe|family){_ID}",
    ),
    "description": (
        r"(?:(?:product|prod|item|article|artikel|sku|stock|brand|produkt|waren) )?(?:description|name|title|bezeichnung|text|label)",
    ),
    "store": (rf"(?:store|shop|branch|filiale|filial|outlet|location|markt|site){_ID}",),
    "country": (r"(?:(?:ship|customer|store|billing) )?(?:country|land)" + _ID,),
    "promotion": (
        r"(?:(?:is|on|in) )?(?:promo|promotion|feat|feature|offer|aktion|advert|advertised|deal|special|promoted)(?: (?:flag|ind))?",
    ),
    "holiday": (r"(?:is )?(?:(?:state|public|bank|national) )?(?:holiday|feiertag)(?: (?:flag|ind))?",),
    "status": (r"(?:is )?open(?:ed)?(?: flag)?",),
}
# Of goods the surest name is a code of theirs; a name will do where there is none.
_ELSE_PRODUCT = r"(?:(?:product|item|article|artikel) )(?:name|description|bezeichnung)|description|bezeichnung|beschreibung"
_UNREAD = {  # what a column that is not read may change about those that are, by how a word of its name begins
    "disc discount rabatt nachlass skonto remise réduction reduction descuento sconto korting coupon voucher markdown": "are amounts those after it?",
    "return refund retour rückgabe storno devol reso void cancel": "does it tell returns that no other column tells?",
    "tax vat mwst ust tva iva btw gst": "are amounts and prices with it or without?",
}
_OF_MONEY = {"currency", "währung", "waehrung", "devise", "moneda", "valuta", "moeda", "ccy"}
_WHOLE = 4  # letters; a shorter one is a word of its own


def mapped(names: Sequence[str]) -> dict[str, str]:
    """Theirs to ours, each of ours once, in the order of the file."""
    found: dict[str, str] = {}
    told = {name: told_by(name) for name in names}
    for ours, patterns in _NAMES.items():
        for pattern in patterns:
            fitting = [name for name in names if name not in found and re.fullmatch(pattern, told[name])]
            if fitting:
                found[fitting[0]] = ours
                break
    if "product_code" not in found.values():
        found |= dict([(name, "product_code") for name in names if re.fullmatch(_ELSE_PRODUCT, told[name])][:1])
    return {name: found[name] for name in names if name in found}


def unread(name: str) -> str:
    """What to ask about a column that nothing is read from; empty where there is nothing to ask."""
    its = words(name)
    for begins, question in _UNREAD.items():
        for begin in begins.split():
            if begin in its or (len(begin) > _WHOLE and any(word.startswith(begin) for word in its)):
                return question
    return ""


def is_currency(name: str) -> bool:
    return bool(_OF_MONEY & set(words(name)))


def is_logarithm(name: str) -> bool:
    return words(name)[:1] in (["log"], ["ln"])


def is_weekly(name: str) -> bool:
    return bool({"week", "weekly"} & set(told_by(name).split()))


def is_last_of_week(name: str) -> bool:
    return is_weekly(name) and bool({"end", "ending", "ended"} & set(told_by(name).split()))


def is_year(name: str) -> bool:
    return "year" in told_by(name).split()


def told_by(name: str) -> str:
    """The words that a name is matched by: what all numbers and codes are called is id, a logarithm is of what follows."""
    plain = ["id" if word in _IDS else _OTHER_WORDS.get(word, word) for word in words(name) if word not in _CURRENCIES | _SMALL]
    if plain[:1] == ["id"] and len(plain) == 2:  # code produit, Nr. Artikel
        plain.reverse()
    if plain[-1:] == ["in"]:
        plain.pop()
    return " ".join(plain[1:] if plain[:1] in (["log"], ["ln"]) else plain)


def words(name: str) -> list[str]:
    """In lower case: "Artikel-Nr." is artikel nr, "InvoiceDate" invoice date, "verkaufsdatum" verkauf datum."""
    parts = re.sub(r"([^\W\d_])(?=[A-ZÄÖÜ][a-zäöüß])|([a-zäöüß])(?=[A-ZÄÖÜ])", r"\1\2 ", name)
    return [word for part in re.split(r"[\W_]+", parts.casefold()) if part for word in _compound(part)]


def _compound(word: str) -> list[str]:
    if word in _KNOWN:
        return [word]
    for last in _LAST:
        stem = word.removesuffix(last)
        if stem != word and (known := next((one for one in (stem, stem.removesuffix("s")) if one in _KNOWN), None)):
            return [known, last]
    for first in _FIRST:
        if word.removeprefix(first) in _KNOWN and word != first:
            return [first, word.removeprefix(first)] if word.startswith(first) else [word]
    return [word]
