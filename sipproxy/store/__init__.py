"""Stores: where spans and state outlive a process. Their contracts stand here."""
