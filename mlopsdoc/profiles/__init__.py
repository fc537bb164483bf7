"""Profiles that ship: what a host should be."""
