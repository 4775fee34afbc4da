"""Invented messages with their fields, in the order category, urgency, sentiment, product, order, refund."""

from typing import Any

TICKETS: list[tuple[str, list[Any]]] = [
    (
        "Good morning, the courier left my new dishwasher in front of the wrong house on Tuesday and the "
        "neighbours say they never saw it. Order HK-48213. Could you find out where it is? We need it "
        "before the weekend.",
        ["delivery", "normal", "neutral", "dishwasher", "HK-48213", False],
    ),
    (
        "There is WATER coming out from under the washing machine right now and I cannot turn the tap off!!",
        ["repair", "high", "neutral", "washing machine", None, False],
    ),
    (
        "I was charged twice for the same fridge freezer (no. 2204517). Please return one of the two "
        "payments. This is the third time I am writing, nobody answers.",
        ["billing", "normal", "negative", "fridge freezer", "2204517", True],
    ),
    (
        "Your technician was a gem, explained everything and the oven has never worked better. Thank you!",
        ["repair_status", "low", "positive", "oven", None, False],
    ),
    (
        "Guten Tag, passt die Türdichtung 1366 auch für meinen Trockner aus 2019? Es eilt nicht.",
        ["parts", "low", "neutral", "trockner", None, False],
    ),
    (
        "Hi, I want to send the hoover back, it is far too loud and the box was open already. hk 50991",
        ["return", "normal", "negative", "hoover", "hk 50991", True],
    ),
    (
        "Please change the e-mail address of my account, the old one stops working tomorrow.",
        ["account", "high", "neutral", None, None, False],
    ),
    (
        "Does the induction hob need a separate fuse? Planning our kitchen for next spring.",
        ["advice", "low", "neutral", "induction hob", None, False],
    ),
]
