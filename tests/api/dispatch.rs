//! From a URL to a backend: every error says what would be right, and none repeats a secret.

use databases::{Database, Error, ErrorKind};

/// The error of `url`: as `connect` and as `connect_lazy` report it, which is before any I/O.
async fn refused(url: &str) -> Error {
    let lazy = Database::builder(url).connect_lazy().expect_err("the URL is refused without I/O");
    let error = Database::connect(url).await.expect_err("the URL is refused");
    assert_eq!((error.kind(), error.to_string()), (lazy.kind(), lazy.to_string()));
    for text in [format!("{error}"), format!("{error:?}"), format!("{error:#?}"), error.hint().unwrap_or("").to_owned()]
    {
        assert!(!text.contains("s3cret"), "{url}: {text}");
    }
    error
}

async fn check(url: &str, kind: ErrorKind, words: &[&str]) {
    let error = refused(url).await;
    let text = format!("{error} {}", error.hint().unwrap_or_default());
    assert_eq!(error.kind(), kind, "{url}: {text}");
    for word in words {
        assert!(text.contains(word), "{url}: `{word}` is not in: {text}");
    }
}

#[tokio::test]
async fn an_unknown_scheme_names_those_that_are_known() {
    check("oracle://app:s3cret@localhost/notes", ErrorKind::Url, &["`oracle`", "`sqlite`"]).await;
    check("sqllite://notes.db", ErrorKind::Url, &["`sqllite`", "`sqlite`"]).await;
    #[cfg(not(feature = "postgres"))]
    check("oracle://app:s3cret@localhost/notes", ErrorKind::Url, &["features", "`postgres`"]).await;
}

#[cfg(not(feature = "postgres"))]
#[tokio::test]
async fn postgres_compiled_out_names_its_feature() {
    for scheme in ["postgres", "postgresql", "postgresql+asyncpg"] {
        let url = format!("{scheme}://app:s3cret@localhost/notes");
        check(&url, ErrorKind::Unsupported, &["feature `postgres`", "--features postgres"]).await;
    }
}

#[cfg(not(feature = "mysql"))]
#[tokio::test]
async fn mysql_compiled_out_names_its_feature() {
    for scheme in ["mysql", "mariadb", "mysql+aiomysql"] {
        let url = format!("{scheme}://app:s3cret@localhost/notes");
        check(&url, ErrorKind::Unsupported, &["feature `mysql`", "--features mysql"]).await;
    }
}

#[tokio::test]
async fn an_unknown_driver_names_ours_and_that_none_is_needed() {
    check("sqlite+aiosqlite::memory:", ErrorKind::Url, &["`aiosqlite`", "`rusqlite`", "no `+driver`"]).await;
    #[cfg(feature = "postgres")]
    check("postgres+asyncpg://app:s3cret@localhost/notes", ErrorKind::Url, &["`asyncpg`", "no `+driver`"]).await;
    #[cfg(feature = "mysql")]
    check("mysql+aiomysql://app:s3cret@localhost/notes", ErrorKind::Url, &["`aiomysql`", "no `+driver`"]).await;
    let db = Database::connect("sqlite+rusqlite::memory:").await.expect("our own driver may be named");
    assert_eq!(db.backend(), "sqlite");
}

#[tokio::test]
async fn an_unknown_option_names_the_nearest_and_all() {
    let (url, known) = (ErrorKind::Url, "`journal_mode`");
    check("sqlite::memory:?max_conections=1", url, &["`max_conections`", "did you mean `max_connections`", known])
        .await;
    check("sqlite::memory:?jounal_mode=off", url, &["did you mean `journal_mode`", "`acquire_timeout`"]).await;
    check("sqlite::memory:?pool_size=1", url, &["did you mean `max_connections`"]).await;
    check("sqlite::memory:?hunter=s3cret", url, &["unknown option `hunter`", known]).await;
    #[cfg(feature = "postgres")]
    check("postgres://app:s3cret@localhost/notes?ssl=s3cret", url, &["did you mean `sslmode`"]).await;
}

#[tokio::test]
async fn a_doubled_option_is_an_error() {
    check("sqlite:a.db?mode=ro&mode=rw", ErrorKind::Url, &["`mode`", "once"]).await;
    check("sqlite:a.db?password=s3cret&password=s3cret2", ErrorKind::Url, &["`password`"]).await;
}

#[tokio::test]
async fn a_bad_value_names_the_forms_that_are_right() {
    let url = ErrorKind::Url;
    check("sqlite::memory:?acquire_timeout=soon", url, &["`acquire_timeout`", "`soon`", "500ms"]).await;
    check("sqlite::memory:?max_connections=-1", url, &["`max_connections`", "whole number"]).await;
    check("sqlite::memory:?force_rollback=maybe", url, &["`force_rollback`", "true"]).await;
    check("sqlite:a.db?journal_mode=wall", url, &["`journal_mode`", "`wal`", "`delete`"]).await;
    check("sqlite::memory:?max_connections=2", url, &["max_connections", "in-memory"]).await;
    check("sqlite::memory:?max_connections=0", url, &["max_connections", "1"]).await;
    check("sqlite::memory:?hexkey=s3cret", url, &["`hexkey`"]).await;
}

#[tokio::test]
async fn what_is_no_url_is_refused_without_repeating_it() {
    for text in ["", "notes.db", "app:s3cret@localhost/notes", "postgres:/app:s3cret@localhost", "://s3cret", "?s3cret"]
    {
        assert_eq!(refused(text).await.kind(), ErrorKind::Url, "{text}");
    }
}

#[tokio::test]
async fn a_wrong_option_of_the_builder_is_reported_as_one_of_the_url() {
    let error = Database::builder("sqlite::memory:").option("jounal_mode", "off").connect_lazy().unwrap_err();
    assert!(error.to_string().contains("did you mean `journal_mode`"), "{error}");
    let error = Database::builder("sqlite::memory:").password("s3cret").connect_lazy().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Url);
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_says_so_without_secrets() {
    let path = std::env::temp_dir().join("databases-api-no-such-directory").join("a.db");
    let error = Database::connect(format!("sqlite:{}", path.display())).await.expect_err("there is no such directory");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:?}");
    // A lazy one finds out at its first use.
    let lazy = Database::builder(format!("sqlite:{}?mode=rw", path.display())).connect_lazy();
    let db = lazy.expect("making a lazy database needs no file");
    assert_eq!(db.acquire().await.unwrap_err().kind(), ErrorKind::Connect);
    assert_eq!(db.url().scheme(), "sqlite");
    #[cfg(feature = "postgres")]
    {
        let url = "postgres://app:s3cret@127.0.0.1:1/notes?password=s3cret2";
        let text = format!("{:?}", Database::connect(url).await.expect_err("nobody listens at port 1"));
        assert!(!text.contains("s3cret"), "{text}");
    }
}
