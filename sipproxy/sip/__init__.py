"""SIP without I/O and without a clock (RFC 3261): bytes, `now` and ids go in, effects come out."""
