"""Phones and the proxy's core joined in memory: whole calls, in virtual time, over a wire in any weather."""
