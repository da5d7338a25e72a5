# shellcheck shell=bash disable=SC2034,SC2154,SC2329
# Finding, installing and starting servers, for scripts/servers and scripts/lib/own-server, which source this file.
#
# Needs from there: `say`, `die`, `only`, `lib`, `mysqld_more`. Gives: `find_or_install`, `make_work_folder`, `start_postgres`,
# `start_mysql`, and the arrays `urls`, `descriptions` and `server_pids`, to which every server that runs adds itself.
# Needs nothing but bash and coreutils: no python, and no database client.

urls=()
descriptions=()
server_pids=()
work=""
postgres_more=() # More arguments; the last word on an option counts.
session=()
if command -v setsid >/dev/null; then session=(setsid); fi # Ctrl-C must reach neither the servers nor the one who stops them.

# --- finding -------------------------------------------------------------------------------------------------------------------------

has_postgres() { [[ -x $1/initdb && -x $1/postgres ]]; }

# The folder with initdb and postgres: PATH first, then Debian's folders, newest first, then what pg_config says.
find_postgres() {
    local folder found
    found=$(PATH=$wide_path command -v initdb) && has_postgres "${found%/*}" && printf '%s\n' "${found%/*}" && return
    while read -r folder; do
        has_postgres "$folder" && printf '%s\n' "$folder" && return
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -Vr)
    found=$(PATH=$wide_path pg_config --bindir 2>/dev/null) && has_postgres "$found" && printf '%s\n' "$found"
}

find_mysqld() {
    PATH=$wide_path command -v mariadbd || PATH=$wide_path command -v mysqld
}

wide_path=$PATH:/usr/local/sbin:/usr/sbin:/usr/local/mysql/bin:/opt/homebrew/bin:/usr/local/bin

find_or_install() {
    local packages=()
    postgres_bin="" mysqld=""
    if [[ $only != mariadb ]]; then postgres_bin=$(find_postgres) || packages+=(postgresql); fi
    if [[ $only != postgres ]]; then mysqld=$(find_mysqld) || packages+=(mariadb-server); fi
    ((${#packages[@]} > 0)) || return 0

    install_packages "${packages[@]}" || die "cannot go on without: ${packages[*]}"
    if [[ $only != mariadb ]]; then postgres_bin=$(find_postgres) || die "still no initdb and postgres after installing"; fi
    if [[ $only != postgres ]]; then mysqld=$(find_mysqld) || die "still no mariadbd after installing"; fi
}

# --- installing ----------------------------------------------------------------------------------------------------------------------

# Runs a command as root, if that needs no password.
as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n -- "$@"; fi
}

can_install() {
    command -v apt-get >/dev/null && { ((EUID == 0)) || { command -v sudo && sudo -n true; } >/dev/null 2>&1; }
}

how_to_install() {
    cat >&2 <<TEXT
servers: not found on this machine: $*. Install the servers (they need not run), then try again:
  Debian, Ubuntu:  sudo apt-get install postgresql mariadb-server
  Fedora:          sudo dnf install postgresql-server mariadb-server
  Arch:            sudo pacman -S postgresql mariadb
  macOS:           brew install postgresql@17 mariadb
or give servers of your own, on which the tests may make and drop databases:
  TEST_DATABASE_URLS=postgres://user:password@host/database,mysql://user:password@host/database
TEXT
}

# Runs apt-get install with the packages' own start of services prevented, and without a PostgreSQL "main" cluster.
# A subshell, so that its traps put the two files back however it ends.
install_packages() (
    if ! can_install; then
        how_to_install "$@"
        return 1
    fi
    say "installing $* with apt-get"
    policy=/usr/sbin/policy-rc.d
    cluster=/etc/postgresql-common/createcluster.conf
    keep=$(mktemp -d)
    restore() {
        if [[ -e $keep/policy ]]; then as_root cp -p "$keep/policy" "$policy"; else as_root rm -f "$policy"; fi
        if [[ -e $keep/cluster ]]; then as_root cp -p "$keep/cluster" "$cluster"; fi
        rm -rf "$keep"
    }
    apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$keep/log" 2>&1; }
    failed() {
        tail -n 25 "$keep/log" >&2
        return 1
    }

    if [[ -e $policy ]]; then cp -p "$policy" "$keep/policy"; fi
    trap restore EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    as_root tee "$policy" >/dev/null <<<$'#!/bin/sh\nexit 101'
    as_root chmod 755 "$policy"

    # One broken source among several need not matter; apt-get install will say if it does.
    apt update || say "apt-get update failed; trying to install all the same"
    if [[ " $* " == *" postgresql "* ]]; then
        # First the package with the setting, then the one that heeds it.
        apt install -y --no-install-recommends postgresql-common || failed || return 1
        if [[ -f $cluster ]]; then
            cp -p "$cluster" "$keep/cluster"
            as_root tee -a "$cluster" >/dev/null <<<$'\ncreate_main_cluster = false'
        fi
    fi
    apt install -y --no-install-recommends "$@" || failed
)

# --- starting ------------------------------------------------------------------------------------------------------------------------

# Makes the temporary folder. Its path is short, since a path to a unix socket has at most 107 bytes, and it can be reached by other users.
make_work_folder() {
    local base=${TMPDIR:-/tmp}
    if ((${#base} > 40)) || { ((EUID == 0)) && ! reachable "$base"; }; then base=/tmp; fi
    work=$(mktemp -d "$base/dbtest.XXXXXX")
    chmod 711 "$work"
    mkdir -m 700 "$work/pids"
}

reachable() { # FOLDER
    choose_user nobody
    "${drop[@]}" test -x "$1" -a -r "$1"
}

# Sets `drop` to the prefix that runs a command as a user who is not root, and `user` to that user: the first of the names that exists.
choose_user() { # NAME…
    drop=() user=""
    ((EUID == 0)) || return 0
    for user in "$@" nobody; do
        if id -u "$user" >/dev/null 2>&1; then
            drop=(setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")" --clear-groups --)
            command -v setpriv >/dev/null || drop=(runuser -u "$user" --)
            return 0
        fi
    done
    die "servers do not run as root, and there is no user 'nobody'"
}

# Makes a server's folder, which belongs to `user`.
make_folder() { # FOLDER
    rm -rf "$1"
    mkdir -m 700 "$1"
    if [[ -n $user ]]; then chown "$user" "$1"; fi
}

# Starts a server. The new process notes its own pid before it becomes the server: so there is no moment at which it runs unknown to
# stop-servers, and the pid is the server's and not a subshell's.
launch() { # NAME SIGNAL LOG COMMAND…
    local name=$1 signal=$2 log=$3
    shift 3
    # shellcheck disable=SC2016
    "${session[@]}" bash -c 'cd / && echo "$$ $1" >"$0" && shift && exec "$@"' "$work/pids/$name" "$signal" "$@" \
        >"$log" 2>&1 </dev/null 8>&- 9>&- &
    launched=$!
}

random_password() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# A port on which nobody listens. Below 32768, where Linux begins to number outgoing connections. Sets `port`.
free_port() {
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    done
}

# Tells of a failed start: the end of the log.
show_log() { # NAME LOG
    say "$1: the end of its log:"
    tail -n 30 "$2" | sed 's/^/    /' >&2
}

# Starts a server on one free port after the other until none has taken it first, and waits until it is ready.
# `launch_on NAME FOLDER` starts it on `port`; `ready FOLDER` succeeds once it answers.
start_on_free_port() { # NAME FOLDER LAUNCH_ON READY
    local name=$1 folder=$2 try end
    for try in 1 2 3 4 5; do
        free_port
        "$3" "$name" "$folder"
        end=$((SECONDS + 30))
        while ((SECONDS < end)) && kill -s 0 "$launched" 2>/dev/null; do
            if "$4" "$folder"; then return 0; fi
            sleep 0.05
        done
        if kill -s 0 "$launched" 2>/dev/null; then
            say "$name: not ready after 30 s"
            break
        fi
        rm -f "$work/pids/$name" # It ended by itself.
        grep -q -i 'address already in use' "$folder/log" || break
        say "$name: port $port was taken (try $try); trying another"
    done
    show_log "$name" "$folder/log"
    return 1
}

# --- PostgreSQL ----------------------------------------------------------------------------------------------------------------------

# Starts a PostgreSQL. Further words come before each command, such as `env LD_LIBRARY_PATH=…`.
start_postgres() { # NAME BINARIES [PREFIX…]
    local name=$1 folder=$work/$1 password
    postgres_bin_now=$2 postgres_prefix=("${@:3}")
    password=$(random_password)
    choose_user postgres
    make_folder "$folder"
    : >"$folder/log"
    (umask 077 && printf '%s\n' "$password" >"$folder/password")
    if [[ -n $user ]]; then chown "$user" "$folder/password" "$folder/log"; fi

    # With the test user as the superuser, and the database made in single-user mode, no client is needed.
    (
        cd / && unset PGDATA PGPORT PGHOST PGUSER PGDATABASE PGPASSWORD
        export LC_ALL=C
        "${drop[@]}" "${postgres_prefix[@]}" "$postgres_bin_now/initdb" -D "$folder/data" --username=databases --pwfile="$folder/password" \
            --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync </dev/null &&
            "${drop[@]}" "${postgres_prefix[@]}" "$postgres_bin_now/postgres" --single -D "$folder/data" -c fsync=off postgres \
                <<<'CREATE DATABASE databases_test'
    ) >"$folder/log" 2>&1 || {
        show_log "$name" "$folder/log"
        return 1
    }
    rm -f "$folder/password"

    start_on_free_port "$name" "$folder" launch_postgres postgres_ready || return 1
    urls+=("postgres://databases:$password@127.0.0.1:$port/databases_test")
    server_pids+=("$launched")
    descriptions+=("$("${postgres_prefix[@]}" "$postgres_bin_now/postgres" --version | sed 's/^postgres (PostgreSQL)/PostgreSQL/') on port $port")
}

launch_postgres() { # NAME FOLDER
    # INT is PostgreSQL's fast shutdown; TERM would wait for clients.
    launch "$1" INT "$2/log" "${drop[@]}" env LC_ALL=C "${postgres_prefix[@]}" "$postgres_bin_now/postgres" -D "$2/data" -p "$port" -k "$2" \
        -c listen_addresses=127.0.0.1 -c max_connections=200 -c lc_messages=C -c password_encryption=scram-sha-256 \
        -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=64MB -c max_prepared_transactions=20 \
        -c logging_collector=off -c log_destination=stderr ${postgres_more[@]+"${postgres_more[@]}"}
}

# The eighth line of postmaster.pid is the server's own word for its state.
postgres_ready() { # FOLDER
    [[ $(sed -n '8s/ *$//p' "$1/data/postmaster.pid" 2>/dev/null) == ready ]]
}

# --- MariaDB and MySQL ---------------------------------------------------------------------------------------------------------------

# Starts a MariaDB, or a MySQL, which the program says itself. Further words take the program's place when it must be called otherwise.
start_mysql() { # NAME PROGRAM [ARGUMENT…]
    local name=$1 folder=$work/$1 password version
    mysqld_now=("${@:2}")
    version=$("${mysqld_now[@]}" --version 2>/dev/null) || version=""
    password=$(random_password)
    choose_user mysql
    make_folder "$folder"
    : >"$folder/log"
    init_sql "$password" "$version" >"$folder/init.sql"
    chmod 600 "$folder/init.sql"
    if [[ -n $user ]]; then chown "$user" "$folder/init.sql" "$folder/log"; fi

    local fill=("${mysqld_now[@]}" --no-defaults --initialize-insecure --datadir="$folder/data")
    mysql_extra=(--mysqlx=OFF)
    if [[ $version == *MariaDB* ]]; then
        mysql_extra=(--innodb-use-native-aio=0)
        fill=("$(PATH=$wide_path command -v mariadb-install-db || PATH=$wide_path command -v mysql_install_db || echo mariadb-install-db)"
            --no-defaults --datadir="$folder/data" --skip-test-db --skip-name-resolve)
    else
        fill+=("${mysqld_arguments[@]}" --secure-file-priv=)
    fi
    (cd / && "${drop[@]}" env TMPDIR="$folder" "${fill[@]}") </dev/null >"$folder/log" 2>&1 || {
        show_log "$name" "$folder/log"
        return 1
    }

    start_on_free_port "$name" "$folder" launch_mysql mysql_ready || return 1
    rm -f "$folder/init.sql"
    grep -F '[ERROR]' "$folder/log" >&2 || true
    server_pids+=("$launched")
    urls+=("mysql://databases:$password@127.0.0.1:$port/databases_test")
    case $greeting in
        *MariaDB*)
            greeting=${greeting#5.5.5-} # Put before its version by older releases, for the sake of old replicas.
            descriptions+=("MariaDB ${greeting/-MariaDB/} on port $port")
            ;;
        *) descriptions+=("MySQL $greeting on port $port") ;;
    esac
}

# What a server of another place needs to know at each start; scripts/lib/matrix.sh fills it.
mysqld_arguments=()

# Run by the server itself before it lets anyone in. One statement per line. A second run, on another port, changes nothing.
init_sql() { # PASSWORD VERSION
    cat <<SQL
CREATE DATABASE IF NOT EXISTS databases_test CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'databases'@'127.0.0.1' IDENTIFIED BY '$1';
GRANT ALL PRIVILEGES ON *.* TO 'databases'@'127.0.0.1' WITH GRANT OPTION;
SQL
    # MariaDB's root has no valid password from the start; MySQL's has an empty one.
    if [[ $2 != *MariaDB* ]]; then echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$1';"; fi
}

launch_mysql() { # NAME FOLDER
    launch "$1" TERM "$2/log" "${drop[@]}" "${mysqld_now[@]}" --no-defaults "${mysqld_arguments[@]}" --datadir="$2/data" --tmpdir="$2" \
        --socket="$2/mysqld.sock" --pid-file="$2/mysqld.pid" --init-file="$2/init.sql" --secure-file-priv= \
        --skip-networking=0 --bind-address=127.0.0.1 --port="$port" --skip-name-resolve --max-connections=200 \
        --character-set-server=utf8mb4 --local-infile=0 --performance-schema=0 --skip-log-bin --sync-binlog=0 \
        --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --innodb-buffer-pool-size=64M "${mysql_extra[@]}" "${mysqld_more[@]}"
}

# A server that is ready greets with its version: length, number, a 10 (line feed), the version up to a zero byte. Sets `greeting`.
mysql_ready() { # FOLDER
    greeting=$( (exec 3<>"/dev/tcp/127.0.0.1/$port" && timeout 2 head -c 60 <&3) 2>/dev/null | tr -c '[:print:]' '\n' |
        grep -a -m1 -E '^[0-9]+\.[0-9]+\.[0-9]+') || return 1
    grep -q 'ready for connections' "$1/log" # It is this server that answered: nobody else took the port.
}
