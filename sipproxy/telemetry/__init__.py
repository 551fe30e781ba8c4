"""What sipproxy tells about a call: spans, masked, over OTLP."""
