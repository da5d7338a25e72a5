//! Finds the messages in what a session reads and writes.

use std::io;

use crate::login::KEPT_OF_LOGIN;

/// How many bytes of a message are kept to look at; enough for every tag and parameter that matters.
const KEPT: usize = 96;

/// Walks over messages that may be cut at any byte.
#[derive(Debug)]
pub(crate) struct Walker {
    /// Bytes of the header: a tag and a length, or only a length for the startup message.
    header: [u8; 5],
    have: usize,
    /// Whether the message has no tag byte: the frontend's first.
    untagged: bool,
    body_left: usize,
    kept: [u8; KEPT_OF_LOGIN],
    kept_len: usize,
}

impl Walker {
    pub(crate) fn new(untagged: bool) -> Self {
        Self {
            header: [0; 5],
            have: usize::from(untagged),
            untagged,
            body_left: 0,
            kept: [0; KEPT_OF_LOGIN],
            kept_len: 0,
        }
    }

    /// Whether the startup message is still to come or is under way.
    pub(crate) fn is_at_startup(&self) -> bool {
        self.untagged
    }

    /// How many bytes are missing of the header or the message that has begun; 0 between two messages.
    pub(crate) fn missing(&self) -> usize {
        match self.have {
            0 => 0,
            5 => self.body_left,
            have => 5 - have,
        }
    }

    /// Calls `message` with the tag and the first bytes of each message that ends in `bytes`.
    pub(crate) fn walk(
        &mut self,
        mut bytes: &[u8],
        max_len: usize,
        mut message: impl FnMut(u8, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            // A message that is here as a whole is looked at where it is.
            if self.have == 0
                && let Some((header, body)) = bytes.split_first_chunk()
                && let Some((body, rest)) = body.split_at_checked(body_len(header, max_len)?)
            {
                bytes = rest;
                message(header[0], &body[..body.len().min(most_kept(header[0]))])?;
                continue;
            }
            if self.have < 5 {
                let take = bytes.len().min(5 - self.have);
                self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
                self.have += take;
                bytes = &bytes[take..];
                if self.have < 5 {
                    return Ok(());
                }
                self.body_left = body_len(&self.header, max_len)?;
                self.kept_len = 0;
            }
            let take = bytes.len().min(self.body_left);
            let keep = take.min(most_kept(self.header[0]) - self.kept_len);
            self.kept[self.kept_len..self.kept_len + keep].copy_from_slice(&bytes[..keep]);
            self.kept_len += keep;
            self.body_left -= take;
            bytes = &bytes[take..];
            if self.body_left == 0 {
                let tag = if self.untagged { 0 } else { self.header[0] };
                self.have = 0;
                self.untagged = false;
                message(tag, &self.kept[..self.kept_len])?;
            }
        }
        Ok(())
    }
}

/// The length of the body behind a header.
fn body_len(header: &[u8; 5], max_len: usize) -> io::Result<usize> {
    let [_, len @ ..] = *header;
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    check_len(len, max_len)?;
    Ok(len - 4)
}

pub(crate) fn check_len(len: usize, max_len: usize) -> io::Result<()> {
    if len < 4 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the server sent a message without a length"));
    }
    if len > max_len {
        let message = format!("the server sent a message of {len} bytes; max_message_bytes is {max_len}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(())
}

/// How many bytes are looked at of a message.
fn most_kept(tag: u8) -> usize {
    match tag {
        b'R' => KEPT_OF_LOGIN,
        // Rows are most of what comes, and nobody looks into them.
        b'D' => 0,
        _ => KEPT,
    }
}
