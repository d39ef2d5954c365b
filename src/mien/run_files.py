"""The names of the files in a run folder, and of its folder of checkpoints."""

MODEL, INT8, FLOAT16 = "model.onnx", "model-int8.onnx", "model-float16.onnx"
CLASSICAL = "model.npz"
"""The model of a classical baseline, in place of ``MODEL``."""

RECIPE, DATA, ENVIRONMENT = "recipe.json", "data.json", "environment.json"
HISTORY, METRICS, PREDICTIONS = "history.csv", "metrics.json", "predictions.parquet"
CHECKPOINTS = "checkpoints"
