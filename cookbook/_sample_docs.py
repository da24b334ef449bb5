"""A handbook of a harbour that does not exist, so that no model can know it by heart."""

from __future__ import annotations

__all__ = ["HANDBOOK"]

HANDBOOK = {
    "ferry": (
        "The ferry to the island leaves the north pier at seven in the morning and at four in the afternoon. "
        "A crossing takes fifty minutes. Bicycles travel free of charge, cars need a ticket from the harbour office. "
        "In a storm the ferry stays in port, and a red flag is hoisted on the mast above the ticket hall."
    ),
    "crane": (
        "The yellow crane on the south quay lifts up to forty tons. Only the two crane drivers may operate it. "
        "It is inspected on the first Monday of each month and is not used while the wind is stronger than force six. "
        "Orders for the crane are taken by telephone, at least one day before the ship arrives."
    ),
    "canteen": (
        "The canteen serves soup, bread and fried fish from eleven to two. On Fridays there is pea soup. "
        "The cook buys the fish from the boats at dawn, so the menu is written on the blackboard only at ten. "
        "Guests are welcome; they pay two coins more than those who work in the harbour."
    ),
    "lighthouse": (
        "The lighthouse flashes three times every twenty seconds, and its light is seen for eighteen miles. "
        "The keeper lives in the small house beside it and writes weather and passing ships into a log book. "
        "On Sundays visitors may climb the one hundred and twelve steps to the lamp."
    ),
}
