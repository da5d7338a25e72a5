use std::time::Duration;

use proptest::prelude::*;

use super::*;

type TestResult = Result<(), UrlError>;

fn parse(text: &str) -> Result<DatabaseUrl, UrlError> {
    text.parse()
}

/// The parts of a server's URL: scheme, driver, user name, password, hosts, database.
type Parts<'a> =
    (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, Vec<(&'a str, Option<u16>)>, Option<&'a str>);

fn parts(url: &DatabaseUrl) -> Parts<'_> {
    (
        url.scheme(),
        url.driver(),
        url.username(),
        url.password(),
        url.hosts().iter().map(|h| (h.name(), h.port())).collect(),
        url.database(),
    )
}

#[test]
fn server_urls_are_taken_apart_and_decoded() -> TestResult {
    let pg = "postgres";
    #[rustfmt::skip]
    let cases: &[(&str, Parts<'_>)] = &[
        ("postgres://", (pg, None, None, None, vec![], None)),
        ("postgres:///", (pg, None, None, None, vec![], None)),
        ("postgres:///db", (pg, None, None, None, vec![], Some("db"))),
        ("postgres://h", (pg, None, None, None, vec![("h", None)], None)),
        ("postgres://h?", (pg, None, None, None, vec![("h", None)], None)),
        ("postgres://h:5432/db", (pg, None, None, None, vec![("h", Some(5432))], Some("db"))),
        ("postgres://u@h/db", (pg, None, Some("u"), None, vec![("h", None)], Some("db"))),
        ("postgres://u:@h/db", (pg, None, Some("u"), Some(""), vec![("h", None)], Some("db"))),
        ("postgres://:p@h", (pg, None, None, Some("p"), vec![("h", None)], None)),
        ("postgres://u:p@/db", (pg, None, Some("u"), Some("p"), vec![], Some("db"))),
        ("PostgreSQL+Tokio-Postgres://h/db", ("postgresql", Some("tokio-postgres"), None, None, vec![("h", None)], Some("db"))),
        ("mysql+mysql_async://h", ("mysql", Some("mysql_async"), None, None, vec![("h", None)], None)),
        ("mariadb://h", ("mariadb", None, None, None, vec![("h", None)], None)),
        ("x-third.1://h", ("x-third.1", None, None, None, vec![("h", None)], None)),
        ("duckdb:////abs/f.db", ("duckdb", None, None, None, vec![], Some("/abs/f.db"))),
        ("postgres://a%40b:p%2F%3F%25@h/d%20b", (pg, None, Some("a@b"), Some("p/?%"), vec![("h", None)], Some("d b"))),
        ("postgres://u%3Ax:p@h", (pg, None, Some("u:x"), Some("p"), vec![("h", None)], None)),
        ("postgres://u:%C3%A9é@h", (pg, None, Some("u"), Some("éé"), vec![("h", None)], None)),
        // What a password may hold unescaped.
        ("postgres://u:p@ss#w@h/db", (pg, None, Some("u"), Some("p@ss#w"), vec![("h", None)], Some("db"))),
        ("postgres://u:a:b,[c]@h:1", (pg, None, Some("u"), Some("a:b,[c]"), vec![("h", Some(1))], None)),
        ("postgres://me@tenant@h/db", (pg, None, Some("me@tenant"), None, vec![("h", None)], Some("db"))),
        ("postgres://h1:5432,h2:5433,h3/db", (pg, None, None, None, vec![("h1", Some(5432)), ("h2", Some(5433)), ("h3", None)], Some("db"))),
        ("postgres://[::1]", (pg, None, None, None, vec![("::1", None)], None)),
        ("postgres://u:p@[2001:db8::1]:65535,h/db", (pg, None, Some("u"), Some("p"), vec![("2001:db8::1", Some(65535)), ("h", None)], Some("db"))),
        ("postgres://[fe80::1%25eth0]:1", (pg, None, None, None, vec![("fe80::1%eth0", Some(1))], None)),
        ("postgres://%2Fvar%2Frun%2Fpostgresql/db", (pg, None, None, None, vec![("/var/run/postgresql", None)], Some("db"))),
        ("postgres://u@%2Ftmp%2Fa%2Cb:5433/db", (pg, None, Some("u"), None, vec![("/tmp/a,b", Some(5433))], Some("db"))),
        ("postgres://my_db.ex-1/db", (pg, None, None, None, vec![("my_db.ex-1", None)], Some("db"))),
    ];
    for (text, expected) in cases {
        let url = parse(text)?;
        assert_eq!(&parts(&url), expected, "{text}");
        assert!(!url.is_memory() && url.path().is_none(), "{text}");
        assert_eq!(parse(&url.expose())?, url, "{text}");
        assert_eq!(url.host(), expected.4.first().map(|h| h.0), "{text}");
        assert_eq!(url.port(), expected.4.first().and_then(|h| h.1), "{text}");
        let socket = url.host().filter(|h| h.starts_with('/'));
        assert_eq!(url.socket_dir(), socket, "{text}");
    }
    Ok(())
}

#[test]
fn sqlite_urls_have_a_path_or_are_in_memory() -> TestResult {
    let cases: &[(&str, Option<&str>)] = &[
        ("sqlite::memory:", None),
        ("sqlite://:memory:", None),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("sqlite://?busy_timeout=5", None),
        ("SQLite+rusqlite::memory:", None),
        ("sqlite:rel.db", Some("rel.db")),
        ("sqlite:///rel.db", Some("rel.db")),
        ("sqlite:./:memory:", Some("./:memory:")),
        ("sqlite:///a/b.db?mode=ro", Some("a/b.db")),
        ("sqlite:////abs.db", Some("/abs.db")),
        ("sqlite:/abs.db", Some("/abs.db")),
        ("sqlite://///x", Some("//x")),
        ("sqlite:%2F%2Fx", Some("//x")),
        ("sqlite:///C:/x.db", Some("C:/x.db")),
        ("sqlite:C:/x.db", Some("C:/x.db")),
        ("sqlite:a%20b%23%3F%25.db", Some("a b#?%.db")),
        ("sqlite:a@b.db", Some("a@b.db")),
        ("sqlite:ü.db", Some("ü.db")),
    ];
    for (text, path) in cases {
        let url = parse(text)?;
        assert_eq!(url.path(), *path, "{text}");
        assert_eq!(url.database(), *path, "{text}");
        assert_eq!(url.is_memory(), path.is_none(), "{text}");
        assert_eq!(url.scheme(), "sqlite", "{text}");
        assert_eq!((url.host(), url.username(), url.password()), Default::default());
        assert!(url.hosts().is_empty() && url.socket_dir().is_none());
        assert_eq!(parse(&url.expose())?, url, "{text}");
        assert_eq!(parse(&url.to_string())?, url, "{text}");
    }
    assert_eq!(parse("sqlite://")?, parse("sqlite::memory:")?);
    assert_eq!(parse("sqlite:a.db")?, parse("sqlite:///a.db")?);
    assert_ne!(parse("sqlite:a.db")?, parse("sqlite:/a.db")?);
    Ok(())
}

/// Bad texts with a part of what the error says. `hunter2` stands for every secret.
const BAD: &[(&str, &str)] = &[
    ("", "begins like"),
    ("hunter2", "begins like"),
    ("u:hunter2@h/db", "://"),
    ("1pg://u:hunter2@h", "begins like"),
    ("post gres://h", "whitespace"),
    ("p_g://h", "begins like"),
    ("+x://h", "begins like"),
    ("postgres+://u:hunter2@h", "driver"),
    ("postgres+a+b://h", "driver"),
    ("postgres:u:hunter2@h", "://"),
    ("postgres:/u:hunter2@h", "://"),
    ("jdbc:postgresql://u:hunter2@h/db", "://"),
    ("postgres://u:hunter2@h/db\n", "line break"),
    (" postgres://u:hunter2@h/db", "whitespace"),
    ("postgres://u:hun ter2@h/db", "%20"),
    ("postgres://u:hunter2\u{7f}@h/db", "control"),
    ("postgres://u:hunter2\u{a0}@h/db", "whitespace"),
    // Ambiguous passwords.
    ("postgres://u:hunter2/w@h/db", "%2F"),
    ("postgres://u:1/hunter2@h/db", "%2F"),
    ("postgres://u:hunter2?w@h/db", "%3F"),
    ("postgres://u:1?hunter2=1@h/db", "%3F"),
    ("postgres://u:a@b?hunter2=@h/db", "%3F"),
    ("postgres://u:a@b/hunter2@h/db", "%2F"),
    ("postgres://h/db?user=a@b", "%40"),
    ("postgres://u:p@h/db#hunter2", "%23"),
    ("postgres://u:p@h/db?x=y#hunter2", "%23"),
    // No `@`, so the password stands where a port does.
    ("postgres://u:hunter2", "port"),
    ("postgres://u:hunter2/db", "port"),
    ("postgres://u:hunter2?a=b", "port"),
    ("postgres://u:hunter2:5432/db", "brackets"),
    // Escapes.
    ("postgres://u:hunter2%zz@h", "password has a `%`"),
    ("postgres://u:hunter2%@h", "%25"),
    ("postgres://u:hunter2%4@h", "%25"),
    ("postgres://u:hunter2%€@h", "%25"),
    ("postgres://u%:hunter2@h", "user name has a `%`"),
    ("postgres://u:hunter2%ff@h", "password is not UTF-8"),
    ("postgres://u:hunter2%00@h", "password holds a NUL"),
    ("postgres://u%00:hunter2@h", "user name holds a NUL"),
    ("postgres://u:hunter2@%00/db", "a host holds a NUL"),
    ("postgres://h/%00", "database holds a NUL"),
    ("postgres://h/?a=%00", "option `a` holds a NUL"),
    ("postgres://h/db?password=hunter2%zz", "option `password` has a `%`"),
    ("sqlite:a%00b", "path holds a NUL"),
    // Hosts and ports.
    ("postgres://u:hunter2@h:0", "1 to 65535"),
    ("postgres://u:hunter2@h:65536", "1 to 65535"),
    ("postgres://u:hunter2@h:", "1 to 65535"),
    ("postgres://u:hunter2@h:+5", "1 to 65535"),
    ("postgres://u:hunter2@h:5x", "1 to 65535"),
    ("postgres://u:hunter2@h1,,h2", "empty"),
    ("postgres://h1,", "empty"),
    ("postgres://,h1", "empty"),
    ("postgres://:5432/db", "empty"),
    ("postgres://::1/db", "brackets"),
    ("postgres://u:hunter2@[::1/db", "]"),
    ("postgres://u:hunter2@[::1]5/db", "[::1]:5432"),
    ("postgres://[h]/db", "IPv6"),
    ("postgres://[::g]/db", "IPv6"),
    ("postgres://[]/db", "IPv6"),
    ("postgres://[fe80::1%25]/db", "IPv6"),
    ("postgres://[fe80::1%eth0]/db", "%25"),
    ("postgres://[fe80::1%25é]/db", "%25"),
    ("postgres://a%2Fb/db", "host name"),
    ("postgres://h%0A/db", "control"),
    ("postgres://h!/db", "host name"),
    ("postgres://u:hunter2@h#x/db", "host name"),
    // Options.
    ("postgres://h?hunter2", "option 1 has no `=`"),
    ("postgres://h?a=1&", "option 2 has no `=`"),
    ("postgres://h?a=1&&b=2", "option 2 has no `=`"),
    ("postgres://h?=hunter2", "option 1: a key is"),
    ("postgres://h?Password=hunter2", "lower-case"),
    ("postgres://h?a%5Fb=1", "lower-case"),
    ("postgres://h?password=hunter2&b=1&password=x", "`password` is given more than once"),
    ("sqlite:x.db?mode=ro&mode=rw", "`mode` is given more than once"),
    // SQLite.
    ("sqlite:", "sqlite::memory:"),
    ("sqlite:?a=b", "empty"),
    ("sqlite:///", "empty"),
    ("sqlite://rel/f.db", "write `sqlite:rel/f.db` or `sqlite:///rel/f.db`"),
    ("sqlite://u:hunter2@h/db", "no host"),
    ("sqlite://C:/x.db", "sqlite:///"),
    ("sqlite://rel.db?token=hunter2", "sqlite:rel.db"),
    ("sqlite://:memory:/x", "no host"),
    ("sqlite::memory:x", "write `sqlite::memory:` for a database in memory"),
    ("sqlite::memory", "write `sqlite::memory:`"),
    ("sqlite:///:memory:/x", "`sqlite:./:name`"),
    ("sqlite:%3Ax.db", "cannot begin with `:`"),
    ("sqlite:file:x.db?mode=ro", "file:"),
    ("sqlite:///file%3Ax.db", "file:"),
    ("sqlite:x.db#hunter2", "%23"),
];

#[test]
fn bad_urls_are_refused_with_what_would_be_right() {
    for (text, expected) in BAD {
        let error = parse(text).expect_err(text);
        let message = error.to_string();
        assert!(message.contains(expected), "{text}: {message}");
        assert!(!message.ends_with('.'), "{text}: {message}");
        for shown in [message, format!("{error:?}"), format!("{error:#?}")] {
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
    }
}

#[test]
fn options_keep_order_and_plus() -> TestResult {
    let url = parse("mysql://h?b=1&a.x-y=a+b=%26c?/&empty=")?;
    let options: Vec<_> = url.options().collect();
    assert_eq!(options, [("b", "1"), ("a.x-y", "a+b=&c?/"), ("empty", "")]);
    assert_eq!(url.option("b"), Some("1"));
    assert_eq!(url.option("B"), None);
    assert_eq!(parse(&url.expose())?, url);
    Ok(())
}

#[test]
fn secrets_are_redacted_and_the_rest_still_parses() -> TestResult {
    let cases = [
        ("postgres://u:hunter2@h1,[::1]:5/d%20b?sslmode=require", "postgres://u:***@h1,[::1]:5/d%20b?sslmode=require"),
        ("postgres://u:@h", "postgres://u:***@h"),
        ("postgres://:hunter2@/db", "postgres://:***@/db"),
        ("postgres://u@%2Frun%2Fpg/db", "postgres://u@%2Frun%2Fpg/db"),
        ("postgres://h?password=hunter2&sslpassword=hunter2", "postgres://h?password=***&sslpassword=***"),
        ("mysql://h?passwd=hunter2&auth_token=hunter2&a=b,c:d/e", "mysql://h?passwd=***&auth_token=***&a=b,c:d/e"),
        ("sqlite:a%20b.db?key=hunter2", "sqlite:///a%20b.db?key=***"),
        ("sqlite://?client_secret=hunter2", "sqlite::memory:?client_secret=***"),
    ];
    for (text, redacted) in cases {
        let url = parse(text)?;
        assert_eq!(url.to_string(), redacted);
        assert_eq!(format!("{url:?}"), format!("DatabaseUrl({redacted})"));
        let again = parse(redacted)?;
        assert_eq!(again.to_string(), redacted);
        assert_eq!(again.hosts(), url.hosts());
        assert_eq!(again.database(), url.database());
        assert_eq!(url.expose().contains("hunter2"), text.contains("hunter2"));
        for shown in [format!("{url:#?}"), format!("{:#?}", UrlOptions::new(&url))] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
    assert_eq!(format!("{:?}", Secret("hunter2".to_owned().into())), "***");
    Ok(())
}

#[test]
fn changed_copies_are_encoded_again() -> TestResult {
    let url = parse("postgres://u:p@[::1]:5432/db?a=1&b=2")?;
    let exposed = [
        (url.with_username("a@b:c")?, "postgres://a%40b%3Ac:p@[::1]:5432/db?a=1&b=2"),
        (url.with_username("")?, "postgres://:p@[::1]:5432/db?a=1&b=2"),
        (url.with_password("p/?#@:%")?, "postgres://u:p%2F%3F%23%40%3A%25@[::1]:5432/db?a=1&b=2"),
        (url.without_password(), "postgres://u@[::1]:5432/db?a=1&b=2"),
        (url.with_host("h")?, "postgres://u:p@h:5432/db?a=1&b=2"),
        (url.with_host("[fe80::1%eth0]")?, "postgres://u:p@[fe80::1%25eth0]:5432/db?a=1&b=2"),
        (url.with_host("/run/pg")?, "postgres://u:p@%2Frun%2Fpg:5432/db?a=1&b=2"),
        (url.with_hosts([Host::new("x", None)?, Host::new("y", Some(1))?])?, "postgres://u:p@x,y:1/db?a=1&b=2"),
        (url.with_hosts([])?, "postgres://u:p@/db?a=1&b=2"),
        (url.with_port(1)?, "postgres://u:p@[::1]:1/db?a=1&b=2"),
        (url.with_database("a b?#/ü")?, "postgres://u:p@[::1]:5432/a%20b%3F%23/%C3%BC?a=1&b=2"),
        (url.with_database("")?, "postgres://u:p@[::1]:5432?a=1&b=2"),
        (url.with_option("a", "x&y=+ z")?, "postgres://u:p@[::1]:5432/db?a=x%26y%3D%2B%20z&b=2"),
        (url.with_option("c", "3")?, "postgres://u:p@[::1]:5432/db?a=1&b=2&c=3"),
        (url.without_option("a"), "postgres://u:p@[::1]:5432/db?b=2"),
        (url.without_option("zz"), "postgres://u:p@[::1]:5432/db?a=1&b=2"),
        (parse("sqlite:///a.db")?.with_database("/b.db")?, "sqlite:////b.db"),
        (parse("sqlite:///a.db")?.with_database(":memory:")?, "sqlite::memory:"),
        (parse("sqlite://")?.with_database("a.db")?.without_password(), "sqlite:///a.db"),
        (parse("postgres://h1:1,h2/")?.with_port(7)?, "postgres://h1:7,h2:7"),
    ];
    for (url, expected) in exposed {
        assert_eq!(url.expose(), expected);
        assert_eq!(parse(expected)?, url);
    }
    Ok(())
}

#[test]
fn changes_that_no_url_can_hold_are_refused() -> TestResult {
    let url = parse("postgres://u:hunter2@h/db")?;
    let file = parse("sqlite:a.db")?;
    let cases = [
        (url.with_username("a\0"), "user name holds a NUL"),
        (url.with_password("hunter2\0"), "password holds a NUL"),
        (url.with_database("\0"), "database holds a NUL"),
        (url.with_host(""), "empty"),
        (url.with_host("a b"), "host name"),
        (url.with_host("hunter2@h"), "host name"),
        (url.with_host("h:1"), "brackets"),
        (url.with_port(0), "1 to 65535"),
        (parse("postgres://")?.with_port(1), "needs a host"),
        (url.with_option("A", "hunter2"), "lower-case"),
        (url.with_option("", "hunter2"), "lower-case"),
        (url.with_option("password", "hunter2\0"), "NUL"),
        (file.with_username("u"), "no user name"),
        (file.with_password("hunter2"), "no password"),
        (file.with_host("h"), "no host"),
        (file.with_port(1), "no port"),
        (file.with_database(""), "empty"),
        (file.with_database("file:a"), "file:"),
    ];
    for (result, expected) in cases {
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    Ok(())
}

fn options(query: &str) -> Result<UrlOptions, UrlError> {
    Ok(UrlOptions::new(&parse(&format!("postgres://h?{query}"))?))
}

#[test]
fn options_are_read_by_type_and_once() -> TestResult {
    let mut o = options("a=x&b=on&c=No&d=7&e=8&f=9&g=250ms&h=require")?;
    assert_eq!(o.take_str("a").as_deref(), Some("x"));
    assert_eq!(o.take_str("a"), None);
    assert_eq!(o.take_bool("b")?, Some(true));
    assert_eq!(o.take_bool("c")?, Some(false));
    assert_eq!(o.take_u32("d")?, Some(7));
    assert_eq!(o.take_u64("e")?, Some(8));
    assert_eq!(o.take_usize("f")?, Some(9));
    assert_eq!(o.take_duration("g")?, Some(Duration::from_millis(250)));
    assert_eq!(o.take_enum("h", &["disable", "require"])?, Some("require"));
    assert_eq!(o.take_bool("absent")?, None);
    o.finish(&[])
}

#[test]
fn durations_have_five_forms() -> TestResult {
    let good = [("0", 0), ("30", 30_000), ("500ms", 500), ("2s", 2_000), ("5m", 300_000), ("1h", 3_600_000)];
    for (text, millis) in good {
        let taken = options(&format!("t={text}"))?.take_duration("t")?;
        assert_eq!(taken, Some(Duration::from_millis(millis)), "{text}");
    }
    options("t=87600h")?.take_duration("t")?;
    for text in [
        "",
        "s",
        "-1",
        "+1",
        "1.5",
        "1d",
        "1S",
        "1_0",
        "87601h",
        "18446744073709551615",
        "9999999999999999999h",
        "99999999999999999999",
        "1é",
    ] {
        let error = options(&format!("t={text}"))?.take_duration("t").expect_err(text);
        assert!(error.to_string().contains("500ms"), "{error}");
    }
    Ok(())
}

#[test]
fn bad_option_values_name_key_value_and_accepted_form() -> TestResult {
    let long = "x".repeat(100);
    let cases = [
        (
            options("n=-1")?.take_u32("n").map(drop),
            "option `n` cannot be `-1`; expected a whole number from 0 to 4294967295",
        ),
        (
            options("n=4294967296")?.take_u32("n").map(drop),
            "option `n` cannot be `4294967296`; expected a whole number from 0 to 4294967295",
        ),
        (
            options("n=")?.take_u64("n").map(drop),
            "option `n` cannot be ``; expected a whole number from 0 to 18446744073709551615",
        ),
        (
            options("b=maybe")?.take_bool("b").map(drop),
            "option `b` cannot be `maybe`; expected true, on, 1, yes, false, off, 0 or no",
        ),
        (
            options("e=C%0A")?.take_enum("e", &["a", "b"]).map(drop),
            "option `e` cannot be `C\\n`; expected one of `a`, `b`",
        ),
        (
            options("pwd_len=hunter2")?.take_u32("pwd_len").map(drop),
            "option `pwd_len` has a value that cannot be used; expected a whole number from 0 to 4294967295",
        ),
        (
            options(&format!("b={long}"))?.take_bool("b").map(drop),
            "option `b` cannot be `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…`; expected true, on, 1, yes, false, off, 0 or no",
        ),
    ];
    for (result, expected) in cases {
        assert_eq!(result.expect_err(expected).to_string(), expected);
    }
    Ok(())
}

#[test]
fn left_over_options_are_refused_with_the_nearest_known_one() -> TestResult {
    let known = ["max_connections", "connect_timeout", "sslmode", "mode", "acquire_timeout"];
    let cases = [
        ("poolsize", Some("max_connections")),
        ("pool_size", Some("max_connections")),
        ("max_conections", Some("max_connections")),
        ("maxconnections", Some("max_connections")),
        ("connections", Some("max_connections")),
        ("connect-timeout", Some("connect_timeout")),
        ("connection_timeout", Some("connect_timeout")),
        ("ssl-mode", Some("sslmode")),
        ("ssl", Some("sslmode")),
        ("mod", Some("mode")),
        ("zzzz", None),
        ("zz", None),
        ("_", None),
        ("ax", None),
    ];
    for (key, near) in cases {
        let message = options(&format!("{key}=hunter2"))?.finish(&known).expect_err(key).to_string();
        let meant = near.map(|near| format!("; did you mean `{near}`? known options: `max_connections`, "));
        let start = format!("unknown option `{key}`{}", meant.as_deref().unwrap_or("; known options: `max_"));
        assert!(message.starts_with(&start), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let mut two_left = options("sslmode=x&zy=1&zz=1")?;
    two_left.take_str("sslmode");
    let error = two_left.finish(&known).expect_err("zy");
    assert!(error.to_string().starts_with("unknown option `zy`"));
    let error = options("zz=1")?.finish(&[]).expect_err("zz");
    assert_eq!(error.to_string(), "unknown option `zz`; there are no options here");
    let error = options("mode=1")?.finish(&known).expect_err("mode");
    assert_eq!(error.to_string(), "option `mode` has no effect in this URL; leave it out");
    Ok(())
}

#[test]
fn many_options_are_read_in_linear_time() -> TestResult {
    let query: Vec<String> = (0..100_000).map(|n| format!("k{n}=v")).collect();
    assert_eq!(parse(&format!("x://h?{}", query.join("&")))?.options().count(), 100_000);
    Ok(())
}

/// Upper case, so that no key, scheme or message of ours can contain it.
const MARK: &str = "HUNTER";

/// The password's halves, with what most often breaks a URL between them.
fn marked_password() -> impl Strategy<Value = String> {
    "[a-z@#/?:%&=+,;!*\\[\\]0-9é ]{0,6}".prop_map(|s| format!("{MARK}{s}{MARK}"))
}

fn urlish() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "postgres", "mysql", "sqlite", ":", "//", "/", "@", "?", "&", "=", "#", "[", "]", "::1", ",", "%", "%2F",
            "%00", "%ff", "%40", ":memory:", "file:", "5432", "a", "+", "password", "*", "é", "\\", ".", "C:",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,2}",
    ];
    (
        prop::sample::select(vec!["postgres://", "sqlite:", "sqlite:///", "m+x://", ""]),
        prop::collection::vec(token, 0..16),
    )
        .prop_map(|(head, tokens)| head.to_owned() + &tokens.concat())
}

fn structure(url: &DatabaseUrl) -> (Parts<'_>, Vec<&str>, bool) {
    let mut parts = parts(url);
    parts.3 = parts.3.map(|_| REDACTED);
    (parts, url.options().map(|o| o.0).collect(), url.is_memory())
}

fn check_text(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(url) => {
            prop_assert_eq!(&parse(&url.expose()).map_err(|e| TestCaseError::fail(e.to_string()))?, &url);
            let shown = parse(&url.to_string()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(structure(&shown), structure(&url));
            let _ = UrlOptions::new(&url).finish(&["max_connections", "sslmode"]);
        }
        Err(error) => prop_assert!(!error.to_string().is_empty()),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_parses_or_fails_and_what_parses_round_trips(text in any::<String>()) {
        check_text(&text)?;
    }

    #[test]
    fn url_like_text_parses_or_fails_and_what_parses_round_trips(text in urlish()) {
        check_text(&text)?;
    }

    #[test]
    fn parts_survive_encoding(
        username in "[^\0]{1,8}",
        password in "[^\0]{0,8}",
        database in "[^\0]{1,8}",
        path in "/[^\0]{0,8}",
        key in "[a-z0-9_.-]{1,8}",
        value in "[^\0]{0,8}",
        port in 1..=u16::MAX,
        host in prop::sample::select(vec!["h", "::1", "fe80::1%eth0", "/run/a b,c:1@", "ü.example"]),
    ) {
        let build = || -> Result<DatabaseUrl, UrlError> {
            parse("postgres+d://")?.with_username(&*username)?.with_password(&*password)?
                .with_host(host)?.with_port(port)?.with_database(&*database)?.with_option(&key, &*value)
        };
        let url = build().map_err(|e| TestCaseError::fail(e.to_string()))?;
        let expected = ("postgres", Some("d"), Some(&*username), Some(&*password), vec![(host, Some(port))], Some(&*database));
        prop_assert_eq!(parts(&url), expected);
        check_text(&url.expose())?;
        prop_assert_eq!(parse(&url.expose()), Ok(url));
        let file = parse("sqlite:x").and_then(|u| u.with_database(&*path));
        let file = file.map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(file.path(), Some(&*path));
        prop_assert_eq!(parse(&file.expose()), Ok(file));
    }

    #[test]
    fn an_unescaped_password_is_read_right_or_refused_and_never_shown(
        password in marked_password(),
        scheme in prop::sample::select(vec!["postgres", "mysql+x", "sqlite"]),
        tail in prop::sample::select(vec!["h/db", "h", "/db", "h1:1,h2/db?a=b", "[::1]:1", "h:0", "h?x=1&x=2", "h,,", "h/%zz"]),
    ) {
        match parse(&format!("{scheme}://user:{password}@{tail}")) {
            Ok(url) => {
                if !password.contains('%') {
                    prop_assert_eq!(url.password(), Some(&*password));
                    prop_assert_eq!(url.username(), Some("user"));
                }
                for shown in [url.to_string(), format!("{url:?}"), format!("{url:#?}")] {
                    prop_assert!(!shown.contains(MARK), "{}", shown);
                }
            }
            Err(error) => {
                prop_assert!(!error.to_string().contains(MARK), "{}", error);
                let shown = format!("{error:#?}");
                prop_assert!(!shown.contains(MARK), "{}", shown);
            }
        }
    }

    #[test]
    fn no_slip_of_the_pen_puts_the_password_into_an_error(
        password in marked_password(),
        at in any::<prop::sample::Index>(),
        slip in prop::sample::select(vec!["", "@", ":", "/", "?", "=", "&", "#", "%", ",", "[", "]", " ", "+"]),
        delete in any::<bool>(),
    ) {
        let text = format!("postgres://user:{password}@h1:5432,h2/db?a=b&password={password}&c=d");
        let mut chars: Vec<String> = text.chars().map(String::from).collect();
        let at = at.index(chars.len());
        if delete { chars[at].clear() }
        chars[at].push_str(slip);
        if let Err(error) = parse(&chars.concat()) {
            prop_assert!(!error.to_string().contains(MARK), "{}", error);
        }
        check_text(&chars.concat())?;
    }
}
