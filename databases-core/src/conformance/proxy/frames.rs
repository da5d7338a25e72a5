//! Bytes of a connection, taken apart into the messages of its protocol.

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// How messages are told apart. Without TLS: behind its handshake there is nothing to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A tag and a length; the client's first message has no tag.
    Postgres,
    /// A length and a sequence number. The tag is the first byte: the command, or the sort of answer.
    MySql,
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Where it goes.
    pub direction: Direction,
    /// PostgreSQL: its tag, 0 for the startup message. MySQL: its first byte.
    pub tag: u8,
    /// All of it but the header.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// Whether `text` stands somewhere in the body.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        self.body.windows(text.len().max(1)).any(|window| window == text.as_bytes())
    }
}

/// One direction of a connection, cut into messages.
#[derive(Debug)]
pub(super) struct Frames {
    protocol: Protocol,
    direction: Direction,
    untagged: bool,
    buffer: Vec<u8>,
}

impl Frames {
    pub(super) fn new(protocol: Protocol, direction: Direction) -> Self {
        let untagged = protocol == Protocol::Postgres && direction == Direction::Up;
        Self { protocol, direction, untagged, buffer: Vec::new() }
    }

    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The length of the header, and of header and body together if the header is there.
    fn lengths(&self) -> (usize, Option<usize>) {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        match (self.protocol, self.untagged) {
            (Protocol::Postgres, true) => (4, self.buffer.get(..4).map(number)),
            (Protocol::Postgres, false) => (5, self.buffer.get(1..5).map(|length| 1 + number(length))),
            (Protocol::MySql, _) => {
                (4, self.buffer.get(..3).map(|length| 4 + number(&[length[2], length[1], length[0]])))
            }
        }
    }

    /// The next whole message with its header.
    pub(super) fn take(&mut self) -> Option<Frame> {
        let (header, length) = self.lengths();
        let length = length?.max(header);
        if self.buffer.len() < length {
            return None;
        }
        let bytes: Vec<u8> = self.buffer.drain(..length).collect();
        let tag = match self.protocol {
            Protocol::Postgres if self.untagged => 0,
            Protocol::Postgres => bytes[0],
            Protocol::MySql => bytes.get(header).copied().unwrap_or(0),
        };
        self.untagged = false;
        Some(Frame { direction: self.direction, tag, header, bytes })
    }

    /// What is left of a message that was cut off.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }
}

/// A whole message as it was sent.
#[derive(Debug)]
pub(super) struct Frame {
    direction: Direction,
    tag: u8,
    header: usize,
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    pub(super) fn message(&self) -> Message<'_> {
        Message { direction: self.direction, tag: self.tag, body: &self.bytes[self.header..] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(mut frames: Frames, bytes: &[u8]) -> Vec<(u8, usize)> {
        let mut found = Vec::new();
        for byte in bytes {
            frames.buffer().push(*byte);
            while let Some(frame) = frames.take() {
                found.push((frame.tag, frame.message().body.len()));
            }
        }
        assert!(frames.take_rest().is_empty());
        found
    }

    #[test]
    fn messages_are_found_at_any_cut() {
        let up = b"\0\0\0\x08\0\x03\0\0Q\0\0\0\x09COMM\0\0\0\0\x04S\0\0\0\x04";
        let up = [&up[..18], b"S\0\0\0\x04"].concat();
        assert_eq!(tags(Frames::new(Protocol::Postgres, Direction::Up), &up), [(0, 4), (b'Q', 5), (b'S', 0)]);
        let down = b"Z\0\0\0\x05IC\0\0\0\x04";
        assert_eq!(tags(Frames::new(Protocol::Postgres, Direction::Down), down), [(b'Z', 1), (b'C', 0)]);
        let mysql = b"\x02\0\0\0\x03X\0\0\0\x01\x01\0\0\x02\xff";
        assert_eq!(tags(Frames::new(Protocol::MySql, Direction::Up), mysql), [(3, 2), (0, 0), (0xff, 1)]);
    }

    #[test]
    fn a_text_is_found_in_the_body() {
        let message = Message { direction: Direction::Up, tag: b'Q', body: b"COMMIT\0" };
        assert!(message.holds("COMMIT") && !message.holds("BEGIN"));
    }
}
