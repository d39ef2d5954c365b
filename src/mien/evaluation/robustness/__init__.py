"""Audits: accuracy by slice of the data and under corruptions."""
