"""Run folders: train and export any kind of recipe, open what is inside, score it."""
