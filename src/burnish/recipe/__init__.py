"""One TOML file -> one frozen, validated Recipe."""

from burnish.recipe.load import LoadedRecipe, all_keys, build_recipe, load_recipe
from burnish.recipe.origin import Origin, OriginKind
from burnish.recipe.resolve import (
    MIN_BF16_SPEEDUP,
    RowFacts,
    TokenFacts,
    origins_of_all,
    resolve_length,
    resolve_memory,
    resolve_rows,
    resolve_tokens,
)
from burnish.recipe.schema import (
    AUTO,
    Baseline,
    ChooseBy,
    DataSection,
    Metric,
    OnTooLong,
    Precision,
    Recipe,
    Schedule,
    Supervise,
)
from burnish.recipe.write import describe_keys, dump_recipe, json_schema, starter_recipe

__all__ = [
    "AUTO",
    "MIN_BF16_SPEEDUP",
    "Baseline",
    "ChooseBy",
    "DataSection",
    "LoadedRecipe",
    "Metric",
    "OnTooLong",
    "Origin",
    "OriginKind",
    "Precision",
    "Recipe",
    "RowFacts",
    "Schedule",
    "Supervise",
    "TokenFacts",
    "all_keys",
    "build_recipe",
    "describe_keys",
    "dump_recipe",
    "json_schema",
    "load_recipe",
    "origins_of_all",
    "resolve_length",
    "resolve_memory",
    "resolve_rows",
    "resolve_tokens",
    "starter_recipe",
]
