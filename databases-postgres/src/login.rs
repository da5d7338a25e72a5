//! What a server may not ask for during the login.

/// What is refused to a server during the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The password as it is.
    Cleartext,
    /// More computing with the password than a login is worth.
    Computing,
}

/// What a server wants for the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Password,
    /// A ticket, or a proof of an exchange that has begun.
    Other,
}

/// What a request for authentication of this kind wants; `None` if nothing more.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-AUTHENTICATIONOK>
pub(crate) fn asked(kind: u32) -> Option<Asked> {
    match kind {
        0 => None,
        // As it is, hashed, or by SASL.
        3 | 5 | 10 => Some(Asked::Password),
        _ => Some(Asked::Other),
    }
}

/// What the guard refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest message the server may send.
    pub(crate) max_message_bytes: usize,
    /// Whether the password may be sent as it is.
    pub(crate) allow_cleartext_password: bool,
    /// How long the password is.
    pub(crate) password_bytes: usize,
}

/// How many bytes of a message of the login are kept to look at; PostgreSQL's longest that is looked at has 92.
pub(crate) const KEPT_OF_LOGIN: usize = 512;
/// How many blocks of SHA-256 a login may take, which the driver computes at one go: a tenth of a second, and what the driver's own
/// limit of 100,000 rounds takes with a password that fits a block.
const MAX_BLOCKS: u64 = 400_000;

/// What is wrong with a message of the login.
pub(crate) fn refused(body: &[u8], limits: &Limits) -> Option<Refused> {
    let (kind, data) = body.split_first_chunk()?;
    match u32::from_be_bytes(*kind) {
        3 if !limits.allow_cleartext_password => Some(Refused::Cleartext),
        // The server's first message of SCRAM, `r=…,s=…,i=4096`: each round hashes the whole password, if it is longer than a block.
        11 => {
            // The rounds of a message that is too long may stand behind what is kept.
            let rounds = if body.len() < KEPT_OF_LOGIN { rounds(data) } else { u64::MAX };
            let blocks_of_password = u64::try_from(limits.password_bytes / 64).unwrap_or(u64::MAX);
            (rounds.saturating_mul(blocks_of_password.saturating_add(4)) > MAX_BLOCKS).then_some(Refused::Computing)
        }
        _ => None,
    }
}

/// The number behind `i=`; 0 if the driver will not understand it either.
fn rounds(data: &[u8]) -> u64 {
    let digits = data.split(|&byte| byte == b',').find_map(|part| part.strip_prefix(b"i=")).unwrap_or_default();
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let number =
        digits.iter().try_fold(0_u64, |number, byte| Some(number.saturating_mul(10).saturating_add(digit(byte)?)));
    number.unwrap_or(0)
}
