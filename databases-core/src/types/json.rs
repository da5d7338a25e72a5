//! Text that is said to be JSON. Nothing here parses it: what a server sent is kept byte for byte.

use std::fmt;

/// A JSON document as its text.
///
/// Two texts are equal only if they are the same characters: `{"a":1}` and `{ "a": 1 }` differ. JSON's `null` is a text
/// like any other and not SQL's NULL. The text is not checked here; a server refuses what is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonText(String);

impl JsonText {
    /// Takes a text for JSON, unchecked.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text, without a copy.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept_as_it_is() {
        for text in ["null", " { \"a\" : 1.50 } ", "", "not json", "\"\u{1f600}\""] {
            let json = JsonText::new(text);
            assert_eq!((json.as_str(), json.to_string().as_str()), (text, text));
            assert_eq!(json.into_string(), text);
        }
        assert_ne!(JsonText::new("{}"), JsonText::new("{ }"));
    }
}
