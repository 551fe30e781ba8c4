# sipproxy in a small image. The network is the host's (see docker-compose.yml): SIP writes addresses into messages.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY sipproxy ./sipproxy
RUN python -m venv /opt/sipproxy && /opt/sipproxy/bin/pip install --no-cache-dir .

FROM python:3.12-slim-bookworm
RUN useradd --system --no-create-home --shell /usr/sbin/nologin sipproxy \
    && install -d -o sipproxy -g sipproxy -m 750 /var/lib/sipproxy
COPY --from=build /opt/sipproxy /opt/sipproxy
COPY config/sipproxy.yaml /etc/sipproxy/sipproxy.yaml
ENV PATH=/opt/sipproxy/bin:$PATH PYTHONUNBUFFERED=1 STATE_DIRECTORY=/var/lib/sipproxy
VOLUME /var/lib/sipproxy
USER sipproxy
STOPSIGNAL SIGTERM
ENTRYPOINT ["sipproxy"]
CMD ["run", "-c", "/etc/sipproxy/sipproxy.yaml"]
