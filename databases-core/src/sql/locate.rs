//! From a place in the native text back to the text that the user wrote.
//!
//! Only errors need it, so nothing is noted down when a text is written: both texts are followed side by side. Between
//! parameters they are the same but for escapes; a list stands where its `:name` stood.

use std::ops::Range;

use super::bind::MYSQL_NO_ROW;
use super::dialect::DialectKind;
use super::error::Place as Shown;
use super::lexer::is_word_byte;
use super::slots::{Place, Slot};
use super::template::Template;

/// A part of the native text that is written otherwise than the user's.
struct Piece {
    native: Range<usize>,
    user: Range<usize>,
    /// What the user wrote there; none where `:a, :b` became so many placeholders that either may be a list.
    origin: Option<Origin>,
}

enum Origin {
    /// The word IN or NOT IN.
    Word,
    /// The parameter of this name.
    Name(usize),
}

impl Template {
    /// The byte of the user's text that became the byte `at` of `native`. `None` if `native` is not this text, `at` is
    /// behind its end, or lists that stand side by side were spelled out there: a place that might be wrong is none.
    #[must_use]
    pub fn locate(&self, native: &str, at: usize) -> Option<usize> {
        if at > native.len() {
            return None;
        }
        let pieces = self.pieces(native)?;
        let (mut user, mut reached) = (0, 0);
        for piece in pieces.iter().take_while(|piece| piece.native.start <= at) {
            if piece.native.contains(&at) {
                return piece.origin.as_ref().map(|_| piece.user.start);
            }
            (user, reached) = (piece.user.end, piece.native.end);
        }
        let escapes = self.escapes.iter().filter(|escape| **escape >= user);
        let found = escapes.fold(user + (at - reached), |found, escape| found + usize::from(*escape <= found));
        Some(found).filter(|found| self.sql.is_char_boundary(*found))
    }

    /// The name behind the placeholder `ordinal` of `native`, counted from 1.
    pub(crate) fn parameter_name(&self, native: &str, ordinal: usize) -> Option<&str> {
        let mut seen = 0;
        for piece in self.pieces(native)? {
            let text = &native[piece.native];
            let found = text.match_indices(['$', '?']).any(|(at, mark)| {
                seen += 1;
                match self.dialect.kind() {
                    DialectKind::MySql => seen == ordinal,
                    _ => {
                        text[at + mark.len()..].split(|c: char| !c.is_ascii_digit()).next()
                            == Some(&ordinal.to_string())
                    }
                }
            });
            if found {
                let Some(Origin::Name(name)) = piece.origin else { return None };
                return self.names().nth(name);
            }
        }
        None
    }

    /// The parts in which `native` differs; `None` if it was not made of this text.
    fn pieces(&self, native: &str) -> Option<Vec<Piece>> {
        // Without a list that was spelled out each parameter is one placeholder.
        let whole = *native == *self.native || self.arrays.get().is_some_and(|arrays| *native == **arrays);
        let mut walk = Walk { template: self, native, reached: 0, user: 0, pieces: Vec::new() };
        let mut slots = &*self.slots;
        while let Some((first, rest)) = slots.split_first() {
            // `:a, :b` can be taken for one list.
            let is_next = |pair: &[Slot]| &self.sql[pair[0].end..pair[1].start] == ", ";
            let joined = if whole { 0 } else { slots.windows(2).take_while(|pair| is_next(pair)).count() };
            walk.parameters(first, &slots[..=joined], whole)?;
            slots = &rest[joined..];
        }
        walk.same(self.sql.len())?;
        (walk.reached == native.len()).then_some(walk.pieces)
    }

    /// Line and column of the byte `at` of the user's text, and that line with a caret below the word that begins there.
    pub(crate) fn place(&self, at: usize) -> ((usize, usize), String) {
        place(&self.sql, at)
    }
}

/// Line and column of the byte `at` of `sql`, and that line with a caret below the word that begins there.
pub(crate) fn place(sql: &str, at: usize) -> ((usize, usize), String) {
    let behind = &sql[at..];
    let colon = usize::from(behind.starts_with(':'));
    let word = behind.bytes().skip(colon).take_while(|&byte| is_word_byte(byte)).count();
    let first = behind.chars().next().map_or(0, char::len_utf8);
    let place = Shown::new(sql, at, at + (colon + word).max(first));
    (place.line_col, place.to_string())
}

/// Follows both texts.
struct Walk<'a> {
    template: &'a Template,
    native: &'a str,
    reached: usize,
    user: usize,
    pieces: Vec<Piece>,
}

impl Walk<'_> {
    fn ahead(&self) -> &str {
        &self.native[self.reached..]
    }

    fn eat(&mut self, text: &str) -> Option<()> {
        self.ahead().starts_with(text).then(|| self.reached += text.len())
    }

    /// The user's text up to `end`, without its escapes.
    fn same(&mut self, end: usize) -> Option<()> {
        let template = self.template;
        let ahead = self.user..end;
        for &escape in template.escapes.iter().filter(|escape| ahead.contains(*escape)) {
            self.eat(&template.sql[self.user..escape])?;
            self.user = escape + 1;
        }
        self.eat(&template.sql[self.user..end])?;
        self.user = end;
        Some(())
    }

    /// What became of `slots`, of which `first` is the first, with the text before it.
    fn parameters(&mut self, first: &Slot, slots: &[Slot], whole: bool) -> Option<()> {
        if let Place::In { word, .. } = first.place {
            self.same(word.start)?;
            let start = self.reached;
            if self.eat("= ANY").or_else(|| self.eat("<> ALL")).is_some() {
                self.user = word.end;
                let (native, user) = (start..self.reached, word.start..word.end);
                self.pieces.push(Piece { native, user, origin: Some(Origin::Word) });
            }
        }
        self.same(first.start)?;
        let start = self.reached;
        // Behind VALUES the parentheses are those of a tuple.
        let wrapped = matches!(first.place, Place::In { parens: false, .. }) && self.eat("(").is_some();
        let items = self.items(whole)?;
        if wrapped {
            self.eat(")")?;
        }
        let end = slots.last()?.end;
        if items.len() == slots.len() && slots.len() > 1 {
            let pieces = slots.iter().zip(items);
            self.pieces.extend(pieces.map(|(slot, native)| Piece {
                native,
                user: slot.start..slot.end,
                origin: Some(Origin::Name(slot.name)),
            }));
        } else {
            let origin = (slots.len() == 1).then_some(Origin::Name(first.name));
            self.pieces.push(Piece { native: start..self.reached, user: first.start..end, origin });
        }
        self.user = end;
        Some(())
    }

    /// The items of a list, or the one placeholder of a `whole` value.
    fn items(&mut self, whole: bool) -> Option<Vec<Range<usize>>> {
        let mut items = Vec::new();
        if self.eat(MYSQL_NO_ROW).is_some() {
            return Some(items);
        }
        while let Some(len) = item_len(self.ahead()) {
            items.push(self.reached..self.reached + len);
            self.reached += len;
            let more = self.ahead().strip_prefix(", ").is_some_and(|ahead| item_len(ahead).is_some());
            if whole || !more {
                break;
            }
            self.reached += ", ".len();
        }
        // Only a list may be empty.
        (!whole || !items.is_empty()).then_some(items)
    }
}

/// The length of the placeholder, or of placeholders in parentheses, that `native` begins with.
fn item_len(native: &str) -> Option<usize> {
    let Some(inside) = native.strip_prefix('(') else { return placeholder_len(native) };
    let mut len = placeholder_len(inside)?;
    while let Some(next) = inside[len..].strip_prefix(", ") {
        len += ", ".len() + placeholder_len(next)?;
    }
    inside[len..].starts_with(')').then_some(len + "()".len())
}

/// The length of `$12`, `?12` or `?`.
fn placeholder_len(native: &str) -> Option<usize> {
    let digits = native.strip_prefix(['$', '?'])?;
    Some(1 + digits.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, scan};
    use crate::{Params, list, params};

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

    /// The user's text from where `mark` came from in the native text; `-` if that is not known.
    fn origin(sql: &str, dialect: Dialect, params: Params<'_>, mark: &str) -> String {
        let template = scan(sql, dialect).unwrap();
        let (native, _) = params.bind(&template, false).unwrap();
        let at = native.find(mark).expect(&native);
        template.locate(&native, at).map_or("-".to_owned(), |at| sql[at..].to_owned())
    }

    #[test]
    fn a_place_in_and_behind_a_list_comes_back_to_its_name() {
        let ids = || params! { ids: list([1, 2, 3]) };
        let text = "SELECT '\\:', a[1\\:2] FROM t WHERE a IN (0, :ids) AND oops";
        for (dialect, third) in [(Dialect::POSTGRES, "$3"), (Dialect::SQLITE, "?3"), (Dialect::MYSQL, "?, ?)")] {
            assert_eq!(origin(text, dialect, ids(), third), ":ids) AND oops");
            assert_eq!(origin(text, dialect, ids(), "oops"), "oops");
            assert_eq!(origin(text, dialect, ids(), ":2]"), ":2] FROM t WHERE a IN (0, :ids) AND oops");
            assert_eq!(origin("x IN :ids AND oops", dialect, ids(), "oops"), "oops");
            let empty = || params! { ids: list(Vec::<i64>::new()) };
            assert_eq!(origin("x IN (:ids) AND oops", dialect, empty(), "oops"), "oops");
            let pairs = || params! { pairs: list([(1, 2), (3, 4)]), z: 5 };
            assert_eq!(origin("(a, b) IN (:pairs) AND c = :z + oops", dialect, pairs(), "oops"), "oops");
            assert_eq!(origin("VALUES :pairs, oops :z", dialect, pairs(), ")"), ":pairs, oops :z");
            // Which of them is the list is not to be seen; what stands behind is.
            let two = || params! { a: list([1, 2]), b: 3 };
            assert_eq!(
                origin("f(:a, :b) oops", dialect, two(), if third == "?, ?)" { "?, ?)" } else { &third[..1] }),
                "-"
            );
            assert_eq!(origin("f(:a, :b) oops", dialect, two(), "oops"), "oops");
            assert_eq!(origin("f(:a, :b), :ids IN (:ids2) oops", dialect, many(), "oops"), "oops");
        }
        assert_eq!(origin("x NOT IN (:ids) + oops", Dialect::POSTGRES, ids(), "oops"), "oops");
        assert_eq!(origin("x NOT IN :ids + oops", Dialect::POSTGRES, ids(), "<> ALL"), "NOT IN :ids + oops");
        assert_eq!(origin("x IN :ids + oops", Dialect::POSTGRES, ids(), "$1"), ":ids + oops");
    }

    fn many() -> Params<'static> {
        params! { a: 1, b: 2, ids: 3, ids2: list([4, 5]) }
    }

    #[test]
    fn placeholders_have_their_names_also_in_lists() {
        for dialect in [Dialect::POSTGRES, Dialect::MYSQL, Dialect::SQLITE] {
            let template = scan("SELECT :z FROM t WHERE id IN (0, :ids) AND :b = 1", dialect).unwrap();
            let params = params! { z: 1, ids: list([1, 2]), b: 2 };
            let (native, _) = params.bind(&template, false).unwrap();
            let names: Vec<_> = (1..=5).map(|ordinal| template.parameter_name(&native, ordinal)).collect();
            assert_eq!(names, [Some("z"), Some("ids"), Some("ids"), Some("b"), None]);
        }
    }
}
