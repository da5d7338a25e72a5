# shellcheck shell=bash disable=SC2034
# Named, timed steps, for scripts/check and scripts/test, which source this file.
#
# A step that fails does not stop the next one; each is noted in PHASES_FILE (name, seconds, result, separated by tabs), if that is set, and
# its end is printed. A step that does not run is noted too, with the reason: nothing is left out in silence.

failures=()

# Runs a command as a step. Succeeds even if the command fails; see `failures`.
phase() { # NAME COMMAND…
    local name=$1 began=$SECONDS result=ok status
    shift
    printf '\n==> %s\n' "$name"
    # Not in `if` or `||`, where a function would run on after an error.
    set +e
    (set -e; "$@")
    status=$?
    set -e
    if ((status != 0)); then result=FAILED; fi
    if [[ $result == FAILED ]]; then failures+=("$name"); fi
    note_phase "$name" $((SECONDS - began)) "$result"
}

skip_phase() { # NAME REASON
    printf '\n==> %s: SKIPPED, %s\n' "$1" "$2"
    note_phase "$1" 0 "skipped: $2"
}

note_phase() { # NAME SECONDS RESULT
    printf -- '--- %s: %s (%s s)\n' "$1" "$3" "$2"
    if [[ -n ${PHASES_FILE:-} ]]; then printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$PHASES_FILE"; fi
}

# The features that a Cargo.toml declares, `default` left out.
features_of() { # CARGO_TOML
    awk '/^\[/ { inside = ($0 ~ /^\[features\]/) } inside && match($0, /^[A-Za-z0-9_-]+ *=/) { sub(/ *=.*/, ""); if ($0 != "default") print }' "$1"
}
