"""Recipes: the settings of a training as TOML, their schema, and the recipes inside the package; never torch."""
