#!/usr/bin/env bash
# Runs a command as an ordinary user to whom a cgroup of version 2 was handed, as systemd does it: for run-in-vm.sh.
set -euo pipefail
user=65534
handed=/sys/fs/cgroup/handed
mkdir -p "$handed/program" /run/user
chown "$user" /run/user
for group in "$handed" "$handed/program"; do
  chown "$user" "$group" "$group/cgroup.procs" "$group/cgroup.subtree_control" "$group/cgroup.threads"
done
echo $$ >"$handed/program/cgroup.procs"
exec setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all --bounding-set=-all \
  env HOME=/run/user TMPDIR=/scratch/tmp "$@"
