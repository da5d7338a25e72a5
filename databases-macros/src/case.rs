//! `rename_all`: the styles of names, and how a name is written in each.

use syn::{Error, LitStr, Result};

/// How the names of fields or variants are spelt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    Camel,
    Snake,
    Pascal,
    ScreamingSnake,
    Kebab,
    Lower,
    Upper,
}

const STYLES: [(&str, Style); 7] = [
    ("camelCase", Style::Camel),
    ("snake_case", Style::Snake),
    ("PascalCase", Style::Pascal),
    ("SCREAMING_SNAKE_CASE", Style::ScreamingSnake),
    ("kebab-case", Style::Kebab),
    ("lowercase", Style::Lower),
    ("UPPERCASE", Style::Upper),
];

impl Style {
    /// The style of this name.
    pub(crate) fn parse(text: &LitStr) -> Result<Self> {
        let wanted = text.value();
        let found = STYLES.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, style)| *style).ok_or_else(|| {
            let known: Vec<_> = STYLES.iter().map(|(name, _)| format!("`{name}`")).collect();
            Error::new_spanned(text, format!("unknown style `{wanted}`; known: {}", known.join(", ")))
        })
    }

    /// Writes the name of a field or variant in this style.
    pub(crate) fn apply(self, name: &str) -> String {
        let joined = |separator: &str, spell: &dyn Fn(usize, &str) -> String| {
            let words = words(name).into_iter().enumerate();
            words.map(|(index, word)| spell(index, &word)).collect::<Vec<_>>().join(separator)
        };
        match self {
            Self::Camel => joined("", &|index, word| if index == 0 { word.to_lowercase() } else { capital(word) }),
            Self::Snake => joined("_", &|_, word| word.to_lowercase()),
            Self::Pascal => joined("", &|_, word| capital(word)),
            Self::ScreamingSnake => joined("_", &|_, word| word.to_uppercase()),
            Self::Kebab => joined("-", &|_, word| word.to_lowercase()),
            // As with serde, these two leave the words together.
            Self::Lower => name.to_lowercase(),
            Self::Upper => name.to_uppercase(),
        }
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars.flat_map(char::to_lowercase)).collect()
}

/// The words of a name: `in_progress`, `InProgress` and `inProgress` are two, `HTTPStatus` is `HTTP` and `Status`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut last = '_';
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let next_is_lower = chars.peek().is_some_and(|next| next.is_lowercase());
        if c == '_' || c.is_uppercase() && (!last.is_uppercase() || next_is_lower) {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().expect("there is always a word").push(c);
        }
        last = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_writes_fields_and_variants_alike() {
        for (style, two, acronym, digit) in [
            ("camelCase", "inProgress", "httpStatus", "line2"),
            ("snake_case", "in_progress", "http_status", "line_2"),
            ("PascalCase", "InProgress", "HttpStatus", "Line2"),
            ("SCREAMING_SNAKE_CASE", "IN_PROGRESS", "HTTP_STATUS", "LINE_2"),
            ("kebab-case", "in-progress", "http-status", "line-2"),
        ] {
            let style = Style::parse(&LitStr::new(style, proc_macro2::Span::call_site())).expect("the style is known");
            for name in ["in_progress", "InProgress", "inProgress", "_in__progress_", "IN_PROGRESS"] {
                assert_eq!(style.apply(name), two, "{name} as {style:?}");
            }
            assert_eq!((&*style.apply("HTTPStatus"), &*style.apply("line_2")), (acronym, digit));
        }
        assert_eq!(
            (&*Style::Lower.apply("InProgress"), &*Style::Upper.apply("in_progress")),
            ("inprogress", "IN_PROGRESS")
        );
        assert_eq!((&*Style::Snake.apply("Größe"), &*Style::Pascal.apply("größe_ß")), ("größe", "GrößeSS"));
    }
}
