# Headrace: installs this version on the machine and joins it to an installation.
# Run by the line that `headrace agent join-token` prints; may be run again; its arguments are options of the join. Nothing of it runs before all of it has arrived.
set -eu

main() {
    url='$url'
    prefix=$${HEADRACE_PREFIX:-/opt/headrace}
    kind=$${HEADRACE_JOIN_KIND:-agent}
    [ -n "$${HEADRACE_JOIN_TOKEN:-}" ] || fail "found no HEADRACE_JOIN_TOKEN; run the line that headrace $$kind join-token prints"
    case $$kind in
        agent | proxy | autoscaler) ;;
        *) fail "HEADRACE_JOIN_KIND: found $$kind; allowed: agent, proxy, autoscaler" ;;
    esac
    python=$$(found_python) || fail "found no Python 3.11 or newer with venv; allowed: one in PATH (Debian: apt-get install python3-venv)"
    umask 022
    venv=$$prefix/$version # beside that of another version, which runs on until systemd starts this one, and is the way back
    mkdir -p "$$prefix"
    authority | sed "/^$$/d" > "$$prefix/ca.crt"
    [ -x "$$venv/bin/pip" ] || "$$python" -m venv "$$venv" || fail "no virtual environment could be made in $$venv"
    ca=
    [ ! -s "$$prefix/ca.crt" ] || ca=$$prefix/ca.crt
    echo "headrace join: installing Headrace $version in $$venv, from $$url"
    unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE # pip prefers them to its option
    "$$venv/bin/pip" install --isolated --quiet --disable-pip-version-check --no-input --no-index $${ca:+"--cert=$$ca"} \
        --find-links "$$url/v1/join/wheels/" "headrace==$version" \
        || fail "the wheels at $$url/v1/join/wheels/ could not be installed; the manager's setting wheels_dir names their folder"
    exec "$$venv/bin/headrace-$$kind" join --url "$$url" $${ca:+"--ca-file=$$ca"} "$$@"
}

fail() {
    echo "headrace join: $$*" >&2
    exit 1
}

found_python() {
    for one in python3 python3.13 python3.12 python3.11; do
        if "$$one" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            echo "$$one"
            return 0
        fi
    done
    return 1
}

authority() {
    cat << 'PEM'
$ca
PEM
}

main "$$@"
