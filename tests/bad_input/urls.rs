//! URLs: of no form, of a wrong one, and of a right one that leads nowhere. Each server's own URL is changed as well.

use std::time::Duration;

use databases::{Database, DatabaseUrl, ErrorKind};

use crate::{SECRET, SOON, Trial, assert_healthy, backend_of, open, places, scratch};

/// What stands behind the scheme of a server. `{p}` is the password.
const OF_A_SERVER: &[&str] = &[
    "",
    ":",
    ":/",
    "://",
    ":///",
    "//u:{p}@h/d",
    ":u:{p}@h",
    "://u:{p}@",
    "://u:{p}@/",
    "://u:{p}@:5432/d",
    "://u:{p}@127.0.0.1:0/d",
    "://u:{p}@127.0.0.1:1/d",
    "://u:{p}@127.0.0.1:65536/d",
    "://u:{p}@127.0.0.1:-1/d",
    "://u:{p}@127.0.0.1:5432x/d",
    "://u:{p}@127.0.0.1:99999999999999999999/d",
    "://u:{p}@[::1/d",
    "://u:{p}@::1]/d",
    "://u:{p}@[::1]:1/d",
    "://u:{p}@[::gg]:1/d",
    "://u:{p}@[127.0.0.1]:1/d",
    "://u:{p}@[]/d",
    "://u:{p}@h%/d",
    "://u:{p}@h%2/d",
    "://u:{p}@h%zz/d",
    "://u:{p}@h%00/d",
    "://u:{p}@%ff%fe/d",
    "://u%00:{p}@127.0.0.1:1/d",
    "://u:{p}%00@127.0.0.1:1/d",
    "://u:{p}%ff@127.0.0.1:1/d",
    "://u:{p}%@127.0.0.1:1/d",
    "://u:{p}/x@127.0.0.1:1/d",
    "://u:{p}?x@127.0.0.1:1/d",
    "://u:{p}#x@127.0.0.1:1/d",
    "://u:{p}@127.0.0.1:1/d%00",
    "://u:{p}@127.0.0.1:1/d/e",
    "://u:{p}@127.0.0.1:1/../../etc",
    "://u:{p}@127.0.0.1:1/d?",
    "://u:{p}@127.0.0.1:1/d?=",
    "://u:{p}@127.0.0.1:1/d?=v",
    "://u:{p}@127.0.0.1:1/d?k",
    "://u:{p}@127.0.0.1:1/d?k=v=w",
    "://u:{p}@127.0.0.1:1/d?&&&",
    "://u:{p}@127.0.0.1:1/d?%zz=1",
    "://u:{p}@127.0.0.1:1/d?sslmode",
    "://u:{p}@127.0.0.1:1/d?sslmode=",
    "://u:{p}@127.0.0.1:1/d?sslmode=none",
    "://u:{p}@127.0.0.1:1/d?sslmode=disable&sslmode=disable",
    "://u:{p}@127.0.0.1:1/d?SSLMODE=disable",
    "://u:{p}@127.0.0.1:1/d?sslmode=require",
    "://u:{p}@127.0.0.1:1/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
    "://u:{p}@127.0.0.1:1/d?password={p}",
    "://u@127.0.0.1:1/d?passwd={p}",
    "://u@127.0.0.1:1/d?pwd={p}&password={p}",
    "://u@127.0.0.1:1/d?sslpassword={p}",
    "://u@127.0.0.1:1/d?secret={p}",
    "://u@127.0.0.1:1/d?token={p}",
    "://u:{p}@127.0.0.1:1/d?connect_timeout=0",
    "://u:{p}@127.0.0.1:1/d?connect_timeout=never",
    "://u:{p}@127.0.0.1:1/d?max_connections=0",
    "://u:{p}@127.0.0.1:1/d?unknown=1",
    "://u:{p}@127.0.0.1:1/d?host=127.0.0.1",
    "://u:{p}@127.0.0.1:1/d?socket=relative.sock",
    "://u:{p}@127.0.0.1:1/d?socket=/nowhere/at.sock",
    "://u:{p}@127.0.0.1:1/d?charset=gbk",
    "://u:{p}@127.0.0.1:1/d?options=-c%20a%3D%00",
    "://u:{p}@a,b,c/d",
    "://u:{p}@,/d",
    "://u:{p}@a:1,b:x/d",
    "://u:{p}@%2Fnowhere%2Fat%2Fall/d",
    "://u:{p}@/d?host=/nowhere/at/all",
    "://u:{p}@/d?host=",
    "://u:{p}@nowhere.invalid:1/d",
    "://u:{p}@ 127.0.0.1:1/d",
    "://u:{p}@127.0.0.1:1/d e",
    "://u:{p}@127.0.0.1\n:1/d",
    "://u:{p}@127.0.0.1\r\nX: y:1/d",
    "://u:{p}\0@127.0.0.1:1/d",
    "://u:{p}@\u{202e}host/d",
    "://u:{p}@ßtraße:1/d",
    "://u:{p}@@127.0.0.1:1/d",
    "://u:{p}:@127.0.0.1:1/d",
    "://:{p}@127.0.0.1:1/d",
    "://u:{p}@127.1:1/d",
    "://u:{p}@0x7f.1:1/d",
    "://u:{p}@127.0.0.1.:1/d",
    "+://u:{p}@127.0.0.1:1/d",
    "+nothing://u:{p}@127.0.0.1:1/d",
    "+tokio-postgres+x://u:{p}@127.0.0.1:1/d",
];

/// What stands behind `sqlite:`; `{d}` is a folder that is not there.
const OF_SQLITE: &[&str] = &[
    "{d}/a.db",
    "//{d}/a.db",
    "///{d}/a.db",
    "////{d}/a.db",
    "///{d}/a.db%00.txt",
    "///{d}/a\0.db",
    "///{d}/%zz",
    "///{d}/%ff.db",
    "///{d}/a.db?mode=memory",
    "///{d}/a.db?mode=",
    "///{d}/a.db?mode=ro&mode=rw",
    "///{d}/a.db?cache=shared",
    "///{d}/a.db?vfs=unix-none",
    "///{d}/a.db?immutable=1",
    "///{d}/a.db?nolock=1",
    "///{d}/a.db?psow=0",
    "///{d}/a.db?journal_mode=wal2",
    "///{d}/a.db?journal_mode=wal;DROP",
    "///{d}/a.db?synchronous=3",
    "///{d}/a.db?foreign_keys=2",
    "///{d}/a.db?busy_timeout=-1",
    "///{d}/a.db?busy_timeout=99999999999999999999",
    "///{d}/a.db?cache_size=99999999999",
    "///{d}/a.db?decimal=yes",
    "///{d}/a.db?load_extension=/tmp/x.so",
    "///{d}/a.db?password={p}",
    "///{d}/a.db?key={p}",
    "///{d}/a.db#fragment",
    "//u:{p}@h/{d}/a.db",
    "///",
    "////",
    "///.",
    "///..",
    ":memory:?mode=ro",
    ":memory:?journal_mode=wal",
    ":memory:?cache=shared",
    ":memory:?max_connections=2",
    "file:{d}/a.db?mode=memory",
    "///file:{d}/a.db",
];

/// Texts that are no URL of ours at all.
const OF_NOBODY: &[&str] = &[
    "",
    " ",
    ":",
    "//",
    "?",
    "#",
    "a",
    "user:{p}@host",
    "oracle://u:{p}@h/d",
    "mssql://u:{p}@h/d",
    "http://u:{p}@h/d",
    "jdbc:postgresql://u:{p}@h/d",
    "postgres ://u:{p}@h/d",
    " postgres://u:{p}@h/d",
    "post\0gres://u:{p}@h/d",
    "ſqlite::memory:",
    "-://u:{p}@h",
    "1://u:{p}@h",
    "\u{feff}postgres://u:{p}@h/d",
    "host=h user=u password={p}",
    "User ID=u;Password={p};Host=h",
    "{\"url\": \"postgres://u:{p}@h/d\"}",
];

fn filled(text: &str, folder: &str) -> String {
    text.replace("{p}", SECRET).replace("{d}", folder)
}

async fn connect(url: &str) -> databases::Result<()> {
    let soon = Duration::from_secs(2);
    // A URL that can be parsed shows itself without its password.
    if let Ok(parsed) = url.parse::<DatabaseUrl>() {
        let shown = format!("{parsed} {parsed:?} {parsed:#?}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let builder = Database::builder(url).connect_timeout(soon).acquire_timeout(soon);
    let shown = format!("{builder:?} {builder:#?}");
    assert!(!shown.contains(SECRET), "{shown}");
    let db = builder.connect().await?;
    let shown = format!("{db:?} {db:#?} {}", db.url());
    assert!(!shown.contains(SECRET), "{shown}");
    db.close().await
}

#[tokio::test]
async fn urls_are_refused_or_lead_nowhere() {
    let mut trial = Trial::new("urls");
    let folder = scratch("nowhere").display().to_string();
    let well = open("sqlite::memory:").await;
    let servers = [("postgres", cfg!(feature = "postgres")), ("mysql", cfg!(feature = "mysql"))];
    for (backend, compiled_in) in servers {
        for text in OF_A_SERVER.iter().filter(|_| compiled_in) {
            let url = filled(&format!("{backend}{text}"), &folder);
            trial.on(&well, backend, text, connect(&url)).await;
        }
    }
    for text in OF_SQLITE {
        let url = filled(&format!("sqlite:{text}"), &folder);
        // A relative path that has no folder would be made in the folder of the tests.
        let kind = trial.on(&well, "sqlite", text, connect(&url)).await;
        assert!(kind.is_some(), "{text} was opened");
    }
    for text in OF_NOBODY {
        let kind = trial.on(&well, "sqlite", text, connect(&filled(text, &folder))).await;
        assert_eq!(kind, Some(ErrorKind::Url), "{text}");
    }
    // Long ones cost no more than their length.
    let long = |part: &str| part.repeat(1 << 20);
    for url in [
        format!("postgres://u:{SECRET}@{}/d", long("h")),
        format!("postgres://u:{SECRET}{}@127.0.0.1:1/d", long("p")),
        format!("mysql://u:{SECRET}@127.0.0.1:1/d?{}", long("a=b&")),
        format!("sqlite:///{folder}/{}", long("x/")),
        format!("sqlite::memory:?{}", long("%41")),
        long(":"),
        long("@"),
        long("%"),
    ] {
        let backend = backend_of(&url);
        trial.on(&well, backend, &url, connect(&url)).await;
    }
    trial.report(40);
}

#[tokio::test]
async fn the_url_of_a_server_with_something_wrong_is_refused() {
    let mut trial = Trial::new("urls of servers");
    for place in places().into_iter().filter(|place| backend_of(place) != "sqlite") {
        let backend = backend_of(&place);
        let db = open(&place).await;
        let url: DatabaseUrl = place.parse().unwrap();
        let changed = [
            url.with_password(SECRET),
            url.with_password(format!("{SECRET}\u{1F511}'\"`;--%00 {}", "x".repeat(1_000))),
            url.with_password(""),
            Ok(url.without_password()),
            url.with_username(format!("nobody' OR '1'='1 {SECRET}")).map(|url| url.with_username("nobody").unwrap()),
            url.with_username("x".repeat(100_000)),
            url.with_username("no\nbody"),
            url.with_username(""),
            url.with_database("no such database; DROP DATABASE x"),
            url.with_database("x".repeat(100_000)),
            url.with_database("a`b\"c'd"),
            url.with_port(1),
            url.with_host("127.0.0.1\0.example"),
            url.with_host("a b"),
        ];
        for (number, changed) in changed.into_iter().enumerate() {
            let outcome = async { connect(&changed?.expose()).await };
            let input = format!("change {number} of the server's URL");
            let _ = trial.on(&db, backend, &input, outcome).await;
        }
        tokio::time::timeout(SOON, assert_healthy(&db, "all of them")).await.unwrap();
        db.close().await.unwrap();
    }
    trial.report(14);
}
