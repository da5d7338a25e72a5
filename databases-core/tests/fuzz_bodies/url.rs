//! Any bytes as a URL: no panic; what parses comes back from what it exposes; and no password is shown.

use databases_core::url::{DatabaseUrl, UrlOptions};

/// Tries `data` as a URL, and as the password of one.
pub(crate) fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(parsed) = text.parse::<DatabaseUrl>() else { return };
    let again: DatabaseUrl = parsed.expose().parse().expect("what a URL exposes is a URL");
    assert_eq!(again, parsed, "and the same one");
    let shown = format!("{parsed} {parsed:?}");
    let _ = format!("{:?}", UrlOptions::new(&parsed));
    // A marker as the password stands in nothing that is shown, whatever the rest is.
    const MARK: &str = "c4n4ry-5c07";
    if !shown.contains(MARK)
        && let Ok(marked) = parsed.with_password(MARK)
    {
        assert!(!format!("{marked} {marked:?} {marked:#?}").contains(MARK), "a password is shown");
        assert_eq!(marked.password(), Some(MARK));
        let back: DatabaseUrl = marked.expose().parse().expect("what a URL exposes is a URL");
        assert_eq!(back.password(), Some(MARK));
    }
    let mut options = UrlOptions::new(&parsed);
    let _ = options.take_duration("connect_timeout");
    let _ = options.take_usize("max_rows");
    let _ = options.take_bool("force_rollback");
    let _ = options.finish(&["sslmode", "mode"]).map_err(|error| assert!(!error.to_string().is_empty()));
}
