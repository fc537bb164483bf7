"""What must not leave the house is replaced by keyed pseudonyms, in memory, before a snapshot is written."""
