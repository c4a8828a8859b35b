# The tests inside share this: a daemon of systemd's, and clients that are told what to do. To be sourced.
# shellcheck shell=bash

SCRATCH=/run/diskalloc-test
PATIENCE=20

say() { printf '[   NOTE   ] %s\n' "$*"; }
wrong() {
    printf 'wrong: %s\n' "$*"
    exit 1
}
skip() {
    printf '[   NOTE   ] %s\n' "$*"
    exit 77
}

# eventually WHAT COMMAND...: looks again and again
eventually() {
    local what=$1 end=$((SECONDS + PATIENCE))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || wrong "still not true after $PATIENCE s: $what"
    done
}

same() { [ "$2" = "$3" ] || wrong "$1 is $2 and not $3"; }
refused() {
    local status=0
    "$@" >"$SCRATCH/refusal" 2>&1 || status=$?
    [ $status != 0 ] || wrong "this worked: $*"
}

packages_install() { # PACKAGE...: over what is installed; what was edited stays
    dpkg --force-confold --force-unsafe-io -i "$@" >"$SCRATCH/dpkg" 2>&1 || { cat "$SCRATCH/dpkg" && wrong "dpkg -i failed"; }
}
packages_purge() { dpkg --force-unsafe-io --purge "$@" >"$SCRATCH/dpkg" 2>&1 || { cat "$SCRATCH/dpkg" && wrong "dpkg --purge failed"; }; }

unit() { systemctl show -P "$1" "${2:-diskallocd.service}"; }
daemon_pid() { unit MainPID; }
journal_says() { journalctl -q --sync && journalctl -q -b -u diskallocd.service -o cat | grep -qE "$1"; }

as_alice() { setpriv --reuid=alice --regid=alice --init-groups "$@"; }

# own_usage KEY [COMMAND...]: what the user as whom COMMAND runs others has
own_usage() {
    local key=$1
    shift
    "$@" diskallocctl --json usage | tr -d ' \n' | grep -oE "\"$key\":[a-z0-9]+" | cut -d: -f2
}
all_are_attached() {
    diskallocctl --json regions 2>/dev/null | tr -d ' \n' | grep -oE '"attached":[0-9]+' >"$SCRATCH/attached" &&
        ! grep -qE ':0$' "$SCRATCH/attached"
}
is_another() {
    local now
    now=$(daemon_pid)
    [ "$now" != 0 ] && [ "$now" != "$1" ] && [ "$(unit ActiveState)" = active ]
}

# client_start [COMMAND...]: a pusher, run by COMMAND
client_start() {
    rm -f "$SCRATCH"/{in,out}
    mkfifo "$SCRATCH"/{in,out}
    "$@" /usr/local/bin/pusher <"$SCRATCH/in" >"$SCRATCH/out" 2>&1 &
    CLIENT=$!
    exec {CLIENT_IN}>"$SCRATCH/in" {CLIENT_OUT}<"$SCRATCH/out"
    client_answer
}
client_answer() {
    IFS= read -r -t $PATIENCE -u "$CLIENT_OUT" ANSWER || wrong "the client says nothing"
    case $ANSWER in ok*) ;; *) wrong "the client: $ANSWER" ;; esac
}
client_tell() { echo "$*" >&"$CLIENT_IN"; }
client() {
    client_tell "$@"
    client_answer
}
client_end() {
    exec {CLIENT_IN}>&- {CLIENT_OUT}<&-
    wait "$CLIENT" || wrong "the client ended with status $?"
}
