#!/bin/bash
# php-fpm finishes its requests on SIGQUIT alone, and cuts them on SIGTERM. So this worker waits for `shutdown` on its channel.
php-fpm8.2 --nodaemonize --allow-to-run-as-root --fpm-config php-fpm.conf &
until [ -S "$NODESOCKD_SOCKET_PATH" ]; do sleep 0.05; done
printf '{"type":"online","data":{"id":"%s","pid":%d}}\n' "$NODESOCKD_WORKER_ID" $$ >&"$NODESOCKD_CHANNEL_FD"
while read -r line <&"$NODESOCKD_CHANNEL_FD"; do
  [[ $line == *'"shutdown"'* ]] && kill -QUIT $! && break
done
wait
