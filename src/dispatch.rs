//! From a URL's scheme to a backend.

use std::sync::Arc;

use databases_core::backend::Backend;
use databases_core::url::DatabaseUrl;
use databases_core::{Error, ErrorKind, Result};

/// A backend that this crate knows of, whether it is compiled in or not.
struct Known {
    feature: &'static str,
    schemes: &'static [&'static str],
    backend: Option<fn() -> Arc<dyn Backend>>,
}

macro_rules! backend {
    ($feature:literal, $schemes:expr, $backend:path) => {
        Known {
            feature: $feature,
            schemes: &$schemes,
            #[cfg(feature = $feature)]
            backend: Some(|| Arc::new($backend)),
            #[cfg(not(feature = $feature))]
            backend: None,
        }
    };
}

const KNOWN: &[Known] = &[
    backend!("postgres", ["postgres", "postgresql"], databases_postgres::Postgres),
    backend!("mysql", ["mysql", "mariadb"], databases_mysql::MySql),
    backend!("sqlite", ["sqlite"], databases_sqlite::Sqlite),
];

/// The backend for `url`: one of `given`, else one that is compiled in.
pub(crate) fn backend_for(url: &DatabaseUrl, given: &[Arc<dyn Backend>]) -> Result<Arc<dyn Backend>> {
    let scheme = url.scheme();
    // Later ones win, so that a caller can replace a backend.
    let backend = match given.iter().rev().find(|backend| backend.schemes().contains(&scheme)) {
        Some(backend) => backend.clone(),
        None => compiled_in(scheme, given)?,
    };
    if let Some(driver) = url.driver()
        && !backend.drivers().contains(&driver)
    {
        let message = format!(
            "the {} backend has no driver `{}`; it has {}, and needs no `+driver`",
            backend.name(),
            driver.escape_debug(),
            quoted(backend.drivers()),
        );
        return Err(Error::new(ErrorKind::Url, message));
    }
    Ok(backend)
}

fn compiled_in(scheme: &str, given: &[Arc<dyn Backend>]) -> Result<Arc<dyn Backend>> {
    let known = KNOWN.iter().find(|known| known.schemes.contains(&scheme));
    match known {
        Some(Known { backend: Some(backend), .. }) => Ok(backend()),
        Some(Known { feature, .. }) => {
            let message = format!("the scheme `{scheme}` needs the cargo feature `{feature}` of the crate `databases`");
            Err(Error::new(ErrorKind::Unsupported, message)
                .with_hint(format!("cargo add databases --features {feature}")))
        }
        None => {
            let mut schemes: Vec<&str> = Vec::new();
            for known in KNOWN.iter().filter(|known| known.backend.is_some()) {
                schemes.extend(known.schemes);
            }
            for backend in given {
                schemes.extend(backend.schemes());
            }
            let missing: Vec<&str> =
                KNOWN.iter().filter(|known| known.backend.is_none()).map(|known| known.feature).collect();
            let message = format!("unknown scheme `{scheme}`; this build knows {}", quoted(&schemes));
            let error = Error::new(ErrorKind::Url, message);
            if missing.is_empty() {
                return Err(error);
            }
            Err(error.with_hint(format!("the cargo features {} add more", quoted(&missing))))
        }
    }
}

fn quoted(words: &[&str]) -> String {
    if words.is_empty() {
        return "none".into();
    }
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
