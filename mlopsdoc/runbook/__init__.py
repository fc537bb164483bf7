"""Runbooks: markdown made into steps, the values of a step, and what is wrong with a runbook."""
