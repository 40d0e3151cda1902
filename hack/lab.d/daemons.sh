# The daemons that tests start and kill in a node. Sourced by hack/lab.

agent_program=/opt/cryopod/bin/cryopod-agent
agent_socket=/run/cryopod/agent.sock

lab_agent() {
  [ $# = 2 ] || die "usage: hack/lab agent NODE start|stop|kill|restart"
  local node=$1
  node_require "$node" >/dev/null
  case $2 in
    start) agent_start "$node" ;;
    stop) daemon_end agent "$node" TERM ;;
    kill) daemon_end agent "$node" KILL ;;
    restart)
      daemon_end agent "$node" TERM
      agent_start "$node"
      ;;
    *) die "usage: hack/lab agent NODE start|stop|kill|restart" ;;
  esac
}

# The agent's process as the node numbers it, or nothing.
agent_pid() {
  node_exec "$1" /usr/libexec/lab/agent pid 2>/dev/null || true
}

agent_start() {
  local node=$1 deadline=$((SECONDS + 10))
  [ -z "$(agent_pid "$node")" ] || die "the agent of node $node is running already"
  node_exec "$node" test -x $agent_program ||
    die "node $node has no $agent_program: build cryopod, or name it with up --prefix"
  node_exec "$node" /usr/libexec/lab/agent start
  until node_exec "$node" test -S $agent_socket; do
    if [ $SECONDS -ge $deadline ]; then
      node_exec "$node" tail -n 20 /var/log/cryopod-agent.log >&2
      die "the agent of node $node has not made $agent_socket within 10 s"
    fi
    sleep 0.05
  done
}

# Ends the daemon of that name, "agent" or "gateway", if it runs.
daemon_end() {
  local name=$1 node=$2 signal=$3 pid deadline=$((SECONDS + 20))
  pid=$("${name}_pid" "$node")
  [ -n "$pid" ] || return 0
  node_exec "$node" kill "-$signal" "$pid"
  until [ "$("${name}_pid" "$node")" != "$pid" ]; do
    [ $SECONDS -lt $deadline ] || die "the $name of node $node does not end (signal $signal)"
    sleep 0.05
  done
}

lab_gateway() {
  [ $# -ge 2 ] || die "usage: hack/lab gateway NODE start|stop|kill|restart [FLAG...]"
  local node=$1 action=$2
  shift 2
  node_require "$node" >/dev/null
  case $action in
    start) gateway_start "$node" "$@" ;;
    stop) daemon_end gateway "$node" TERM ;;
    kill) daemon_end gateway "$node" KILL ;;
    restart)
      daemon_end gateway "$node" TERM
      gateway_start "$node" "$@"
      ;;
    *) die "usage: hack/lab gateway NODE start|stop|kill|restart [FLAG...]" ;;
  esac
}

gateway_pid() {
  node_exec "$1" /usr/libexec/lab/gateway pid 2>/dev/null || true
}

# FLAGs overrule ours.
gateway_start() {
  local node=$1 deadline=$((SECONDS + 10)) pid
  shift
  [ -z "$(gateway_pid "$node")" ] || die "the gateway of node $node is running already"
  node_exec "$node" /usr/libexec/lab/gateway start "$(network_address "$node"):9464" "$@"
  until node_exec "$node" grep -q '"msg":"serving"' /var/log/cryopod-gateway.log; do
    pid=$(gateway_pid "$node")
    if [ -z "$pid" ] || [ $SECONDS -ge $deadline ]; then
      node_exec "$node" tail -n 5 /var/log/cryopod-gateway.log >&2
      die "the gateway of node $node does not serve"
    fi
    sleep 0.05
  done
}

# containerd is supervised: whatever ends it, it comes back.
lab_containerd() {
  [ $# = 2 ] || die "usage: hack/lab containerd NODE restart|kill"
  local node=$1 signal
  case $2 in
    restart) signal=TERM ;;
    kill) signal=KILL ;;
    *) die "usage: hack/lab containerd NODE restart|kill" ;;
  esac
  local old deadline=$((SECONDS + 30)) pid
  old=$(node_exec "$node" pgrep -x containerd) || die "node $node runs no containerd"
  node_exec "$node" kill "-$signal" "$old"
  until pid=$(node_exec "$node" pgrep -x containerd) && [ "$pid" != "$old" ] &&
    node_exec "$node" timeout -s KILL 5 ctr version >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "containerd of node $node does not come back"
    sleep 0.05
  done
}
