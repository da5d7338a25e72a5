//! From a place in the native text back to the text that the user wrote.

use super::dialect::DialectKind;
use super::error::Place;
use super::lexer::is_word_byte;
use super::template::Template;

impl Template {
    /// The byte of the user's text that became the byte `at` of `native`. `None` if lists were spelled out in `native`,
    /// or `at` is behind its end: a place that might be wrong is none.
    #[must_use]
    pub fn locate(&self, native: &str, at: usize) -> Option<usize> {
        if native != &*self.native || at > native.len() {
            return None;
        }
        // How far both texts have been followed; between parameters and escapes they are the same.
        let (mut user, mut reached) = (0, 0);
        let mut escapes = self.escapes.iter().copied().peekable();
        let mut slots = self.slots.iter().peekable();
        loop {
            let escape = escapes.peek().copied().unwrap_or(usize::MAX);
            let slot = slots.peek().map_or(usize::MAX, |slot| slot.start);
            let next = escape.min(slot).min(self.sql.len());
            let same = next - user;
            if at < reached + same || next == self.sql.len() {
                return Some(user + (at - reached)).filter(|&user| self.sql.is_char_boundary(user));
            }
            (user, reached) = (next, reached + same);
            if escape < slot {
                escapes.next();
                user += 1;
                continue;
            }
            let slot = slots.next()?;
            let placeholder = placeholder_len(&native.as_bytes()[reached..]);
            if at < reached + placeholder {
                return Some(slot.start);
            }
            (user, reached) = (slot.end, reached + placeholder);
        }
    }

    /// The name behind the placeholder `ordinal` of `native`, counted from 1; `None` if lists were spelled out in it.
    pub(crate) fn parameter_name(&self, native: &str, ordinal: usize) -> Option<&str> {
        let index = ordinal.checked_sub(1).filter(|_| native == &*self.native)?;
        let name = match self.dialect.kind() {
            // Each `?` is a slot; elsewhere each number is a name.
            DialectKind::MySql => self.slots.get(index)?.name,
            DialectKind::Postgres | DialectKind::Sqlite => index,
        };
        self.names.get(name).map(|name| &**name)
    }

    /// Line and column of the byte `at` of the user's text, and that line with a caret below the word that begins there.
    pub(crate) fn place(&self, at: usize) -> ((usize, usize), String) {
        let behind = &self.sql[at..];
        let colon = usize::from(behind.starts_with(':'));
        let word = behind.bytes().skip(colon).take_while(|&byte| is_word_byte(byte)).count();
        let first = behind.chars().next().map_or(0, char::len_utf8);
        let place = Place::new(&self.sql, at, at + (colon + word).max(first));
        (place.line_col, place.to_string())
    }
}

/// `$12`, `?12` or `?`.
fn placeholder_len(native: &[u8]) -> usize {
    1 + native.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, scan};

    #[test]
    fn every_byte_outside_of_parameters_comes_back_to_itself() {
        let texts = [
            "SELECT :a, :long_name || 'x' FROM t WHERE b = :a",
            "SELECT a[\\:lo], :x::int, :y",
            "SELECT 'é:a' || :a || 'ü' -- :b",
            "SELECT 1",
            ":a",
        ];
        for dialect in [Dialect::POSTGRES, Dialect::MYSQL, Dialect::SQLITE] {
            for text in texts {
                let template = scan(text, dialect).unwrap();
                let native = template.native.to_string();
                for (at, letter) in native.char_indices() {
                    let back = template.locate(&native, at).unwrap();
                    let there = text[back..].chars().next().unwrap();
                    let inside = there == ':' && template.slots.iter().any(|slot| slot.start == back);
                    assert!(inside || there == letter, "{text}: {at} is {letter:?}, came back to {there:?}");
                }
                assert_eq!(template.locate(&native, native.len()), Some(text.len()));
                assert_eq!(template.locate(&native, native.len() + 1), None);
                assert_eq!(template.locate("another text", 0), None);
            }
        }
    }
}
