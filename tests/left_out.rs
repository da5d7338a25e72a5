//! Says which servers a run of the tests leaves out.

use std::io::Write as _;

/// Past the capture of test output, so that it is seen without asking.
#[test]
fn what_is_left_out_is_said() {
    let urls = std::env::var("TEST_DATABASE_URLS").unwrap_or_default();
    let required = std::env::var("TEST_REQUIRE_BACKENDS").unwrap_or_default();
    for (backend, scheme) in [("postgres", "postgres"), ("mysql", "mysql")] {
        if urls.split(',').any(|url| url.starts_with(scheme)) {
            continue;
        }
        assert!(!required.split(',').any(|name| name == backend), "{backend} is required and has no URL");
        let message = format!("left out: {backend} (scripts/test starts a server, TEST_DATABASE_URLS names one)\n");
        std::io::stderr().write_all(message.as_bytes()).unwrap();
    }
}
