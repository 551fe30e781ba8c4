#!/bin/bash
# The customer of the demo: calls, is transferred, hangs up; again and again, each call in a trace of its own.
#
#   PROXY      HOST:PORT of sipproxy              SCENARIO   customer.xml of sipproxy/demo/blind
#   ADDRESS    ours (that of this container)      AGENT, COLLEAGUE   the numbers that are called, and transferred to
#   CALLS      how many (0: for ever)             PAUSE_S    seconds between two
set -euo pipefail
address=${ADDRESS:-$(hostname -i | cut -d ' ' -f 1)}
place=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; exit 0' TERM INT

hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

for ((call = 1; CALLS == 0 || call <= CALLS; call++)); do
    trace=$(hex 16)
    # The scenario has one trace for all its calls; here each has its own.
    sed -E "s/^( *traceparent: ).*/\\100-$trace-$(hex 8)-01/; s/^( *X-Interaction-ID: ).*/\\1demo-$call/" \
        "$SCENARIO" > "$place/customer.xml"
    # In the background and waited for: so SIGTERM is heard at once.
    sipp "$PROXY" -sf "$place/customer.xml" -i "$address" -p "${PORT:-5060}" -m 1 -s "$AGENT" -key target "$COLLEAGUE" \
        -nostdin -timeout 20 -timeout_error > /dev/null 2> "$place/said" &
    if wait $!; then
        echo "call $call was transferred: ${TRACES:-http://127.0.0.1:16686/trace/}$trace"
    else
        echo "call $call failed: $(tail -n 3 "$place/said")"
        ((CALLS != 1)) || exit 1
    fi
    if ((call != CALLS)); then
        sleep "$PAUSE_S" &
        wait $! || true
    fi
done
