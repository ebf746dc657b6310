# Headrace: joins the machine to an installation, and runs its agent as a container.
# Run by the line that `headrace agent join-token --docker` prints; may be run again; its arguments are options of the join. Nothing of it runs before all of it has arrived.
set -eu

main() {
    image='$image'
    socket=/var/run/docker.sock
    container=$${HEADRACE_AGENT_CONTAINER:-headrace-agent}
    dir=/etc/headrace data=/var/lib/headrace/agent folders= name= port=8091 check_only=
    [ -n "$${HEADRACE_JOIN_TOKEN:-}" ] || fail "found no HEADRACE_JOIN_TOKEN; run the line that headrace agent join-token --docker prints"
    read_options "$$@"
    export DOCKER_HOST="unix://$$socket" # the engine that the agent is given
    unset DOCKER_CONTEXT
    docker version > /dev/null 2>&1 || fail "no Docker engine answers at $$socket; docker version says why"
    if present=$$(label name); then
        [ -n "$$present" ] || fail "the container $$container is not of this line; allowed: none of that name (docker rename $$container …)"
        [ "$$present" = "$$name" ] || fail "--name: found $$name, and the container $$container of this machine is agent $$present; allowed: one agent on a machine"
    fi
    docker image inspect "$$image" > /dev/null 2>&1 || docker pull --quiet "$$image" > /dev/null \
        || fail "the image $$image is not on this machine, and cannot be pulled; allowed: one that docker load brings here, or one of a registry, which the managers' setting agent_image names"
    gpus=
    if [ -e /dev/nvidiactl ] || nvidia-smi -L > /dev/null 2>&1; then gpus=all,capabilities=utility; fi
    mkdir -p -m 0700 "$$dir" "$$data"

    told=$$(printf '%s\n' "$$HEADRACE_JOIN_TOKEN" | agent --rm --interactive --no-healthcheck --volume "$$dir:$$dir" "$$image" \
        join --url '$url' $ca_option --token-file - --no-service --name "$$name" "$$@") || {
        printf '%s\n' "$$told"
        exit 1
    }
    printf '%s\n' "$$told" | sed '/^start it: /d' # which is done here
    [ -z "$$check_only" ] || exit 0
    # What it joined with holds, whatever this line says.
    data=$$(setting data_dir) port=$$(setting admin_port) folders=
    [ "$$(setting folder_access)" != shared ] || folders=$$(setting folders_root)

    options=$$(printf '%s\n' "$$(docker image inspect --format '{{.Id}}' "$$image")" "$$name" "$$dir" "$$data" "$$folders" "$$port" "$$gpus" \
        | sha256sum | cut -d' ' -f1)
    if present=$$(label options) && [ "$$present" = "$$options" ]; then
        docker start "$$container" > /dev/null || fail "the container $$container does not start; see above"
    else
        if [ -n "$$present" ]; then
            echo "headrace join: replacing the container $$container, whose image or options have changed; replicas run on"
            docker stop "$$container" > /dev/null
            docker rm "$$container" > /dev/null
        fi
        agent --detach --name "$$container" --restart unless-stopped --volume "$$dir:$$dir:ro" \
            --label "headrace.joined.name=$$name" --label "headrace.joined.options=$$options" \
            --env "HEADRACE_AGENT_CONFIG=$$dir/settings/$$name.toml" \
            --health-cmd "python -m headrace.common.web.probe http://127.0.0.1:$$port/readyz" --health-timeout 30s \
            "$$image" > /dev/null \
            || fail "the container $$container does not start; see above. With GPUs the machine needs NVIDIA's container toolkit"
    fi
    wait_until_ready
}

fail() {
    echo "headrace join: $$*" >&2
    exit 1
}

read_options() {
    option=
    for word in "$$@"; do
        case $$word in
            --*=*) take_option "$${word%%=*}" "$${word#*=}" ;;
            --check-only) check_only=1 ;;
            --*) option=$$word ;;
            *) take_option "$$option" "$$word" ;;
        esac
    done
    [ -n "$$name" ] || name=$$(uname -n | cut -d. -f1 | tr A-Z a-z | sed 's/[^a-z0-9-]\{1,\}/-/g; s/^-*//; s/-*$$//')
    for path in "$$dir" "$$data" $${folders:+"$$folders"}; do
        case $$path in
            [!/]* | *[!A-Za-z0-9._/@+-]*) fail "--dir, --data-dir, --folders-root: found $$path; allowed: an absolute path of letters, digits and ._/@+-" ;;
        esac
    done
    [ -z "$$folders" ] || [ -d "$$folders" ] || fail "--folders-root: found no folder $$folders; allowed: where the managers' storage is mounted"
    case $$port in
        '' | 0 | *[!0-9]*) fail "--admin-port: found $$port; allowed: 1 to 65535" ;;
    esac
}

take_option() {
    case $$1 in
        --dir) dir=$$2 ;;
        --data-dir) data=$$2 ;;
        --folders-root) folders=$$2 ;;
        --name) name=$$2 ;;
        --admin-port) port=$$2 ;;
        --runtime) [ "$$2" = docker ] || fail "--runtime: found $$2; allowed: docker; for others run the line of headrace agent join-token without --docker" ;;
        --docker-host) [ "$$2" = "unix://$$socket" ] || fail "--docker-host: found $$2; allowed: unix://$$socket" ;;
    esac
}

# Prints a setting of the agent.
setting() {
    sed -n "s/^$$1 = \"\{0,1\}\([^\"]*\)\"\{0,1\}$$/\1/p" "$$dir/settings/$$name.toml"
}

# Runs the image with what both its containers have, which is what deploy/compose.yaml gives an agent. The engine mounts
# folders of the data into replicas: they have the same paths in the container as on the machine.
agent() {
    docker run --network host --init --read-only --cap-drop ALL \
        --cap-add NET_ADMIN --cap-add NET_RAW --cap-add DAC_OVERRIDE --cap-add FOWNER --cap-add CHOWN \
        --security-opt no-new-privileges:true --pids-limit 256 --memory 1g --cpus 1 --stop-timeout 40 \
        --log-driver json-file --log-opt max-size=10m --log-opt max-file=5 \
        --tmpfs /tmp:size=64m,mode=1777 --tmpfs /run:size=1m \
        --volume "$$socket:$$socket" --volume "$$data:$$data" $${folders:+"--volume=$$folders:$$folders"} $${gpus:+"--gpus=$$gpus"} "$$@"
}

# Prints a label of the agent's container, which is empty if it is of something else. Fails if there is no container.
label() {
    docker container inspect --format "{{with index .Config.Labels \"headrace.joined.$$1\"}}{{.}}{{end}}" "$$container" 2> /dev/null
}

wait_until_ready() {
    waited=0
    while [ "$$waited" -lt 120 ]; do
        [ "$$(docker container inspect --format '{{.State.Health.Status}}' "$$container")" != healthy ] || {
            echo "$$name runs as the container $$container, and is ready"
            return 0
        }
        sleep 1
        waited=$$((waited + 1))
    done
    why=$$(docker container inspect --format '{{range .State.Health.Log}}{{println .Output}}{{end}}' "$$container" | sed '/^$$/d' | tail -n 1)
    fail "$$name runs as the container $$container, and is not ready: $${why:-it ends again and again}. It goes on trying: docker logs $$container"
}

main "$$@"
