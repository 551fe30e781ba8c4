"""sipproxy: a SIP back-to-back user agent that carries W3C trace context through calls and transfers."""

from __future__ import annotations

__version__ = "0.1.0"
