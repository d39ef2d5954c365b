"""Training: data parts, augmentation, losses, schedules and the loop that fits a network to a recipe."""
