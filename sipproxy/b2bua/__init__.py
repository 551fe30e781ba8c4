"""Calls of two legs: routing, rewriting, failover. No I/O, no clock."""
