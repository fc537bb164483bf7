"""Runs one step of a runbook in a process of its own, and records it."""
