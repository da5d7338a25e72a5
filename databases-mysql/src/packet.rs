//! How large a packet may be: a server answers one that is larger by closing the connection, so it is not sent.

use databases_core::{Error, ErrorKind, Result};
use mysql_async::Value;

/// What one execute packet may hold before the driver sends the values apart.
const MAX_INLINE: u64 = 0xff_ffff;
/// Header, null bitmap and types: more than they need.
const OVERHEAD: u64 = 64;

/// Checks a statement and its values against the server's `max_allowed_packet`.
///
/// # Errors
///
/// `LimitExceeded`, naming what is too large.
pub(crate) fn check(max_packet: u64, sql: &str, values: &[Value]) -> Result<()> {
    let too_large = |what: &str| {
        let message = format!("{what} is larger than the server's max_allowed_packet of {max_packet} bytes");
        Err(Error::new(ErrorKind::LimitExceeded, message))
    };
    if sql.len() as u64 + OVERHEAD > max_packet {
        return too_large("the statement");
    }
    let sizes = || values.iter().map(|value| value.bin_len() + 3);
    let total = sizes().sum::<u64>() + OVERHEAD;
    if total > MAX_INLINE {
        // Each value goes by itself, in pieces; the server limits the whole of one.
        if sizes().any(|size| size + OVERHEAD > max_packet) {
            return too_large("a parameter");
        }
    } else if total > max_packet {
        return too_large("the sum of the parameters");
    }
    Ok(())
}
