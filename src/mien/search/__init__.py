"""Search over recipes: Optuna studies and the learning-rate finder."""
