"""An application that answers sipproxy's routing webhook: which queue for a caller, which trunk for a number.

    pip install -r requirements.txt
    python main.py

Its spans, those of its SQLite queries among them, stand in the trace of the call that it was asked about.

    OTEL_EXPORTER_OTLP_ENDPOINT   where they go (http://localhost:4318)
    HOST, PORT                    where it listens (127.0.0.1, 9001)
    DATABASE                      its SQLite file (customers.db), made with example rows if there is none
    DATABASE_TIMEOUT_MS           how long a query may take (150; the proxy waits for 300)
"""

import tracing

tracing.start()  # first of all: what is imported before it is not instrumented

import app  # noqa: E402

if __name__ == "__main__":
    try:
        app.serve()
    finally:
        tracing.stop()
