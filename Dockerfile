# sipproxy in an image without compilers, as a user without rights.
#
#   docker build -t sipproxy .
#   docker run --network host -v ./sipproxy.yaml:/etc/sipproxy/sipproxy.yaml:ro -v sipproxy-state:/var/lib/sipproxy sipproxy
#
# The host's network is the usual choice: SIP writes addresses into messages. On a bridge set `advertise` (docs/deployment.md).

FROM python:3.12.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY sipproxy ./sipproxy
RUN python -m venv /opt/sipproxy \
    && /opt/sipproxy/bin/pip install --no-cache-dir . \
    && /opt/sipproxy/bin/pip uninstall --yes pip

FROM python:3.12.12-slim-bookworm
# A number, so that Kubernetes can see that it is not root; the folder belongs to it, and so does a new volume there.
RUN useradd --system --uid 10060 --no-create-home --shell /usr/sbin/nologin sipproxy \
    && install -d -o 10060 -g 10060 -m 700 /var/lib/sipproxy
COPY --from=build /opt/sipproxy /opt/sipproxy
COPY config/sipproxy.yaml /etc/sipproxy/sipproxy.yaml
ENV PATH=/opt/sipproxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STATE_DIRECTORY=/var/lib/sipproxy \
    SIPPROXY_HEALTH=http://127.0.0.1:8060/healthz
VOLUME /var/lib/sipproxy
EXPOSE 5060/udp 5060/tcp 8060/tcp
USER 10060:10060
# Three failures in a row: while the observer restarts nobody answers for a second, and calls go on. No shell, no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(os.environ['SIPPROXY_HEALTH'], timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["sipproxy"]
CMD ["run", "-c", "/etc/sipproxy/sipproxy.yaml"]
