"""What the sample shop sells: families of goods with their season, price range and words, and how names are made of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bump:
    """A time of the year when a family sells more: `height` permille above the rest at `week` (0 to 52), gone `width` weeks away."""

    week: int
    width: int
    height: int


@dataclass(frozen=True)
class Family:
    """Goods that share season, price range (pence), and how likely they become a habit (`staple`, 0 to 100)."""

    name: str
    sister: str
    staple: int
    low: int
    high: int
    rest: int
    bumps: tuple[Bump, ...]
    nouns: tuple[str, ...]


def season(bumps: tuple[Bump, ...], rest: int, week: int) -> int:
    """Permille of normal sales in a week of the year: `rest`, and a parabola above it for each bump; the year is a circle."""
    level = rest
    for bump in bumps:
        away = min((week - bump.week) % 52, (bump.week - week) % 52)
        level += max(0, bump.height * (bump.width**2 - away**2) // bump.width**2)
    return level


def _family(
    name: str, sister: str, staple: int, prices: tuple[int, int], rest: int, bumps: tuple[tuple[int, int, int], ...], nouns: str
) -> Family:
    return Family(name, sister, staple, *prices, rest, tuple(Bump(*bump) for bump in bumps), tuple(nouns.split(", ")))


_WINTER = (51, 13, 900)
_GIFTS = (48, 7, 1500)

FAMILIES = (
    _family("tea and coffee", "mugs", 100, (195, 695), 650, ((1, 14, 900),),
            "BREAKFAST TEA, EARL GREY TEA, GREEN TEA, FRUIT TEA, GROUND COFFEE, COFFEE BEANS, HOT CHOCOLATE, CHAI LATTE, PEPPERMINT TEA"),
    _family("sweets", "tea and coffee", 80, (95, 495), 750, ((14, 5, 1100), (49, 7, 1600)),
            "SHORTBREAD, FUDGE BOX, LIQUORICE TIN, CHOCOLATE BAR, BUTTER BISCUITS, MINT HUMBUGS, TOFFEE BAG, GINGER BISCUITS, NOUGAT"),
    _family("pantry", "baking", 100, (145, 595), 750, ((30, 9, 500), (49, 8, 800)),
            "STRAWBERRY JAM, ORANGE MARMALADE, HONEY JAR, CHUTNEY, MUSTARD POT, OLIVE OIL, SEA SALT, HERB MIX, LEMON CURD"),
    _family("soap and bath", "home fragrance", 90, (125, 895), 700, ((10, 4, 1000), (28, 7, 700), (48, 7, 1300)),
            "HAND SOAP, BATH SALTS, BATH BOMB, SHOWER GEL, HAND CREAM, SOAP BAR, BODY LOTION, BATH OIL, SOAP DISH"),
    _family("candles", "home fragrance", 70, (85, 1295), 450, (_WINTER, (46, 8, 900)),
            "PILLAR CANDLE, T-LIGHT CANDLES, SCENTED CANDLE, DINNER CANDLES, CANDLE JAR, BEESWAX CANDLE, FLOATING CANDLES, CANDLE TIN"),
    _family("home fragrance", "candles", 50, (295, 1695), 700, (_WINTER,),
            "T-LIGHT HOLDER, REED DIFFUSER, ROOM SPRAY, CANDLE PLATE, LANTERN, INCENSE STICKS, OIL BURNER, CANDLESTICK, POTPOURRI"),
    _family("mugs", "tea and coffee", 15, (245, 895), 700, ((6, 8, 500), (49, 7, 1300)),
            "MUG, ESPRESSO CUP, TEA CUP AND SAUCER, TRAVEL MUG, TEAPOT, MILK JUG, SUGAR BOWL, MUG TREE, CAFETIÈRE"),
    _family("kitchen linen", "baking", 10, (195, 1495), 650, ((20, 7, 900), (48, 6, 800)),
            "TEA TOWEL, APRON, OVEN GLOVE, NAPKINS, TABLE RUNNER, POT HOLDER, DISH CLOTH, TABLECLOTH, TEA COSY"),
    _family("baking", "pantry", 40, (75, 1695), 700, ((13, 5, 800), (47, 7, 1300)),
            "CAKE CASES, CAKE TIN, COOKIE CUTTER, MIXING BOWL, ROLLING PIN, CAKE STAND, PIPING BAG, SPRINKLES, MEASURING SPOONS"),
    _family("tableware", "kitchen linen", 5, (345, 2495), 700, ((23, 6, 1000), (47, 7, 900)),
            "DINNER PLATE, SIDE PLATE, BOWL, SERVING DISH, PLACEMAT, COASTER, GLASS TUMBLER, CAKE PLATE, EGG CUP, BREAD BASKET"),
    _family("picnic", "party", 10, (165, 2995), 150, ((25, 12, 2600),),
            "LUNCH BOX, PICNIC BLANKET, COOL BAG, PICNIC BASKET, PAPER STRAWS, DRINKS JAR, LUNCH BAG, WATER BOTTLE, ICE LOLLY MOULD"),
    _family("garden", "picnic", 30, (115, 2995), 200, ((18, 12, 2700),),
            "PLANT POT, SEED PACKET, WATERING CAN, BIRD FEEDER, GARDEN TWINE, HERB PLANTER, GARDEN GLOVES, PLANT MARKERS, BIRD SEED"),
    _family("christmas decorations", "christmas crackers", 0, (65, 1995), 25, ((46, 9, 5200),),
            "BAUBLE, TREE DECORATION, CHRISTMAS WREATH, PAPER CHAIN, TREE SKIRT, ADVENT CALENDAR, STOCKING, TREE STAR, SNOW GLOBE"),
    _family("christmas crackers", "christmas decorations", 0, (125, 1495), 20, ((47, 7, 5600),),
            "CHRISTMAS CRACKERS, GIFT TAGS, CHRISTMAS CARDS, GIFT SACK, CHRISTMAS RIBBON, PLACE CARDS, CHRISTMAS GARLAND, GIFT BOWS"),
    _family("cards and wrap", "party", 40, (45, 495), 700, ((6, 3, 900), (11, 3, 900), (47, 7, 1700)),
            "GREETING CARD, WRAPPING PAPER, GIFT BAG, TISSUE PAPER, RIBBON, BIRTHDAY CARD, NOTE CARDS, GIFT BOX, STICKERS"),
    _family("party", "cards and wrap", 15, (85, 995), 650, ((26, 11, 900), (50, 3, 900)),
            "BUNTING, PAPER PLATES, BALLOONS, PARTY HATS, PAPER CUPS, CAKE CANDLES, CONFETTI, PARTY BAGS, PAPER NAPKINS"),
    _family("toys", "stationery", 5, (145, 1995), 550, ((29, 7, 1100), (47, 8, 2300)),
            "SKIPPING ROPE, JIGSAW, WOODEN TRAIN, SPINNING TOP, SOFT TOY, BUILDING BLOCKS, PLAYING CARDS, PAINT SET, MONEY BOX"),
    _family("stationery", "toys", 30, (55, 895), 600, ((34, 7, 2000), (1, 4, 600)),
            "NOTEBOOK, PENCIL CASE, COLOURING PENCILS, DIARY, RULER, STICKY NOTES, DESK TIDY, FOUNTAIN PEN, SKETCH PAD"),
    _family("wall and shelf", "storage", 0, (295, 3995), 650, ((17, 7, 900), (39, 8, 800)),
            "WALL CLOCK, PHOTO FRAME, METAL SIGN, COAT HOOK, CUSHION COVER, DOOR MAT, MIRROR, VASE, BOOKENDS, DOORSTOP"),
    _family("storage", "wall and shelf", 5, (195, 2495), 600, ((2, 7, 1400), (34, 6, 1000)),
            "JUMBO BAG, STORAGE BOX, LAUNDRY BAG, SHOPPER, DRAWER LINER, HANGING BASKET, STORAGE TIN, TOTE BAG, SHOE BAG"),
    _family("jewellery", "cards and wrap", 5, (195, 2495), 500, ((6, 4, 1500), (24, 6, 900), _GIFTS),
            "NECKLACE, BRACELET, EARRINGS, BROOCH, HAIR CLIP, KEY RING, SCARF, PURSE, JEWELLERY BOX"),
    _family("autumn", "candles", 0, (75, 1295), 60, ((41, 6, 4600),),
            "PUMPKIN LANTERN, LEAF GARLAND, TREAT BUCKET, BAT DECORATION, SPIDER WEB, AUTUMN WREATH, SPICED CANDLE, HARVEST BASKET"),
    _family("easter", "sweets", 0, (65, 995), 50, ((13, 6, 4300),),
            "EASTER EGG, BUNNY DECORATION, EGG BASKET, CHICK DECORATION, EGG PAINTS, EASTER WREATH, BONNET KIT, DAFFODIL POT"),
)  # fmt: skip

STYLES = (
    ("VINTAGE", "ANTIQUE", "VICTORIAN"),
    ("RETRO", "FIFTIES", "SPACEBOY"),
    ("NORDIC", "SCANDI", "FJORD"),
    ("FLORAL", "MEADOW", "BLOSSOM"),
    ("RUSTIC", "FARMHOUSE", "WILLOW"),
    ("MODERN", "GEOMETRIC", "NEON"),
)

PATTERNS = (
    "ROSE", "HEART", "STAR", "POLKADOT", "STRIPED", "BLUE", "RED", "GREEN", "PINK", "IVORY", "CAFÉ", "BIRD", "OWL", "FOX", "APPLE", "LEMON",
    "LACE", "ENAMEL", "WOODEN", "GLASS", "LOVE", "LONDON", "PARIS", "DAISY",
)  # fmt: skip

PACKS = ("", "SET OF 3 ", "PACK OF 6 ", "SMALL ", "LARGE ")

CHARGES = (("POST", "POSTAGE"), ("C2", "CARRIAGE"))

COUNTRIES = ("United Kingdom", "Germany", "France", "Ireland", "Netherlands", "Spain", "Belgium", "Sweden")


def describe(family: int, style: int, number: int) -> tuple[str, str]:
    """The name of the `number`-th product of a family and style, and how somebody else at the till writes it.

    Different numbers give different names, up to the number of combinations (about 3,500), and no name holds a quote.
    """
    nouns = FAMILIES[family].nouns
    words = STYLES[style]
    combinations = len(nouns) * len(words) * len(PATTERNS) * len(PACKS)
    # 1009 shares no factor with the combinations, so stepping by it visits each of them once.
    place = (number * 1009 + family * 613 + style * 101) % combinations
    place, noun = divmod(place, len(nouns))
    place, pattern = divmod(place, len(PATTERNS))
    place, word = divmod(place, len(words))
    pack = PACKS[place]
    name = f"{pack}{words[word]} {PATTERNS[pattern]} {nouns[noun]}"
    other = f"{nouns[noun]}, {words[word]} {PATTERNS[pattern]} {pack}".strip()
    return name, other
