"""What is in a corpus and what is wrong with it: measures, suspects, reviews."""
