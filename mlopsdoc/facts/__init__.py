"""Answers made into typed facts, one file a subject."""
