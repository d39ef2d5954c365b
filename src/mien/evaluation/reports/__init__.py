"""Pages on one run or several, and their plots."""
