# A relay's address needs its peer id, which each relay makes at its first start. Asks the release's own relays for
# theirs and writes the gateway's configuration file. A relay that does not answer in about a minute is left out, so
# that gateways start without it.
#
# RELAY_HOSTS: hosts of the release's own relays; RELAYS: multiaddrs of others; both separated by blanks.
set -u
list=
for relay in $RELAYS; do
  list+="${list:+, }\"$relay\""
done
for host in $RELAY_HOSTS; do
  id=
  for _ in $(seq "${ATTEMPTS:-20}"); do
    # It asks a gateway too, which does not run yet: what counts is whether the relay has told its id.
    id=$(dotagent status --json --timeout 2 --relay "$host:$GRPC_PORT" | grep -oE '"peer_id": *"[^"]+"' | cut -d '"' -f 4)
    [ -z "$id" ] || break
    sleep 1
  done
  if [ -z "$id" ]; then
    echo "$host does not answer; going on without it" >&2
    continue
  fi
  list+="${list:+, }\"/dns/$host/tcp/$P2P_PORT/p2p/$id\""
done
echo "relay = [$list]" | tee "${CONFIG:-/etc/dotagent/gateway.toml}"
