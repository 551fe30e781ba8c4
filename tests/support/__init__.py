"""What system tests stand on: SIPp as the cast, the proxy as a real process, an OTLP receiver behind it."""
