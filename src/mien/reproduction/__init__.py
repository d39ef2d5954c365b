"""The five published systems: their claims, our measurements, and the pages that compare both."""
