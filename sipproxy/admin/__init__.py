"""The operator's HTTP side: health, metrics, the page."""
