//! The keys of `#[databases(...)]`: which may stand where, with what value, and which exclude each other.

use proc_macro2::Span;
use quote::ToTokens;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, Error, LitStr, Path, Result, Token};

/// Something that attributes are written on, and the keys it takes.
pub(crate) struct Place {
    name: &'static str,
    keys: &'static [Key],
    /// A key, those that it excludes, and why.
    excludes: &'static [(&'static str, &'static [&'static str], &'static str)],
}

struct Key {
    name: &'static str,
    form: Form,
    /// How it is written, for those who wrote something else.
    usage: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Flag,
    Text,
    FlagOrText,
}

const fn key(name: &'static str, form: Form, usage: &'static str) -> Key {
    Key { name, form, usage }
}

const CRATE: Key = key("crate", Form::Text, "`crate = \"path\"`");
const RENAME: Key = key("rename", Form::Text, "`rename = \"name\"`");
const RENAME_ALL: Key = key("rename_all", Form::Text, "`rename_all = \"style\"`");
const SKIP: Key = key("skip", Form::Flag, "`skip`");

const SKIPPED: &str = "`skip` leaves the field without column and parameter";
const FLATTENED: &str = "a field with `flatten` brings its own names";

/// A struct of several columns or parameters.
pub(crate) const STRUCT: Place = Place { name: "a struct", keys: &[CRATE, RENAME_ALL], excludes: &[] };

/// One of its fields.
pub(crate) const FIELD: Place = Place {
    name: "a field",
    keys: &[
        RENAME,
        key("default", Form::FlagOrText, "`default`, `default = \"path\"`"),
        key("json", Form::Flag, "`json`"),
        key("try_from", Form::Text, "`try_from = \"Type\"`"),
        key("flatten", Form::Flag, "`flatten`"),
        key("prefix", Form::Text, "`prefix = \"a_\"`"),
        SKIP,
    ],
    excludes: &[
        ("skip", &["rename", "json", "try_from", "flatten", "prefix"], SKIPPED),
        ("flatten", &["rename", "default", "json", "try_from"], FLATTENED),
        ("json", &["try_from"], "`json` says already what the column is read as"),
    ],
};

/// A struct that stands for the value in it.
pub(crate) const NEWTYPE: Place =
    Place { name: "a newtype", keys: &[CRATE, key("composite", Form::Flag, "`composite`")], excludes: &[] };

/// One of its fields.
pub(crate) const NEWTYPE_FIELD: Place = Place { name: "a field of a newtype", keys: &[SKIP], excludes: &[] };

/// An enum that is one value.
pub(crate) const ENUM: Place = Place {
    name: "an enum",
    keys: &[CRATE, RENAME_ALL, key("repr", Form::Text, "`repr = \"i32\"`")],
    excludes: &[("repr", &["rename_all"], "an enum with `repr` is a number in the database")],
};

/// One of its variants.
pub(crate) const VARIANT: Place = Place { name: "a variant", keys: &[RENAME], excludes: &[] };

/// A key that was given.
pub(crate) struct Given {
    name: &'static str,
    span: Span,
    text: Option<LitStr>,
}

impl Given {
    /// An error at the key.
    pub(crate) fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::new(self.span, message)
    }

    /// The text after `=`.
    pub(crate) fn text(self) -> Option<LitStr> {
        self.text
    }
}

/// The keys that were given in one place.
pub(crate) struct Keys(Vec<Given>);

impl Keys {
    pub(crate) fn parse(place: &Place, attrs: &[Attribute]) -> Result<Self> {
        let mut keys = Self(Vec::new());
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("databases")) {
            attr.parse_nested_meta(|meta| keys.push(place, &meta))?;
        }
        for (name, excluded, why) in place.excludes {
            keys.check_excluded(name, excluded, why)?;
        }
        Ok(keys)
    }

    fn push(&mut self, place: &Place, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = written(&meta.path);
        let Some(key) = place.keys.iter().find(|key| key.name == name) else {
            let known: Vec<_> = place.keys.iter().map(|key| key.usage).collect();
            return Err(meta.error(format_args!("unknown key `{name}`; {} takes {}", place.name, known.join(", "))));
        };
        if self.0.iter().any(|given| given.name == key.name) {
            return Err(meta.error(format_args!("`{name}` is given twice")));
        }
        let text = value(key, meta)?;
        self.0.push(Given { name: key.name, span: meta.path.span(), text });
        Ok(())
    }

    /// Takes the key out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Given> {
        let index = self.0.iter().position(|given| given.name == name)?;
        Some(self.0.remove(index))
    }

    /// Takes the text of the key out; for keys that always have one.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<LitStr> {
        self.take(name)?.text
    }

    fn check_excluded(&self, name: &str, excluded: &[&str], why: &str) -> Result<()> {
        let position = |name: &str| self.0.iter().position(|given| given.name == name);
        let Some(first) = position(name) else { return Ok(()) };
        for other in excluded {
            if let Some(second) = position(other) {
                let message = format!("{why}, so `{other}` has no meaning beside `{name}`; remove one of them");
                return Err(self.0[first.max(second)].error(message));
            }
        }
        Ok(())
    }
}

/// Reads what follows the key.
fn value(key: &Key, meta: &ParseNestedMeta<'_>) -> Result<Option<LitStr>> {
    let usage = |why: &str| format!("{why}; write {}", key.usage);
    let has_value = meta.input.peek(Token![=]);
    match key.form {
        Form::Flag if !has_value && (meta.input.is_empty() || meta.input.peek(Token![,])) => return Ok(None),
        Form::Flag => return Err(meta.input.error(usage("this key takes no value"))),
        Form::FlagOrText if !has_value => return Ok(None),
        Form::Text if !has_value => return Err(meta.error(usage("this key takes a text"))),
        Form::Text | Form::FlagOrText => {}
    }
    let value = meta.value()?;
    let text: LitStr = value.parse().map_err(|error| Error::new(error.span(), usage("this is no text in quotes")))?;
    if text.value().is_empty() {
        return Err(Error::new_spanned(text, usage("this text is empty")));
    }
    Ok(Some(text))
}

fn written(path: &Path) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}
