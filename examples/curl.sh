#!/usr/bin/env bash
# Yesterday's tokens by model, then requests as they happen, with curl. MODASH_URL is the
# gateway; MODASH_TOKEN_FILE or MODASH_TOKEN has a token, if needed.
set -euo pipefail

url=${MODASH_URL:-http://127.0.0.1:4006}

# The token goes through a file, since others on this machine can read arguments.
ask() {
  local token=${MODASH_TOKEN:-}
  [ -z "${MODASH_TOKEN_FILE:-}" ] || token=$(<"$MODASH_TOKEN_FILE")
  curl --silent --show-error --fail-with-body --no-buffer \
    --header @<([ -z "$token" ] || echo "authorization: Bearer $token") "$@"
}

# GNU date, then that of BSD and macOS.
yesterday=$(date -u -d yesterday +%F 2>/dev/null || date -u -v-1d +%F)
today=$(date -u +%F)

echo "tokens of yesterday (UTC) by model"
ask "$url/rpc/ModelBreakdown" --header 'content-type: application/json' --data @- <<JSON
{
  "range": {"start": "${yesterday}T00:00:00Z", "end": "${today}T00:00:00Z"},
  "order": "MODEL_ORDER_TOTAL_TOKENS"
}
JSON

echo
echo "requests as they happen"
ask "$url/events"
