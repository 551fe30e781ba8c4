#!/bin/bash
# The agent of the demo, who transfers each call by REFER, and the colleague, who takes it: two SIPp side by side.
#
#   PROXY      HOST:PORT of sipproxy              SCENARIOS   a folder with agent.xml and colleague.xml
#   ADDRESS    ours (that of this container)      COLLEAGUE   the number that the agent transfers to
set -euo pipefail
address=${ADDRESS:-$(hostname -i | cut -d ' ' -f 1)}
trap 'kill $(jobs -p) 2> /dev/null || true; exit 0' TERM INT

sipp "$PROXY" -sf "$SCENARIOS/colleague.xml" -i "$address" -p "${COLLEAGUE_PORT:-5062}" -nostdin > /dev/null &
sipp "$PROXY" -sf "$SCENARIOS/agent.xml" -i "$address" -p "${AGENT_PORT:-5060}" -key target "$COLLEAGUE" -nostdin > /dev/null &
wait -n || true
echo "one of the two has ended"
exit 1 # the container starts again, with both
