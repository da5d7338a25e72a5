//! Derives of the `databases` crate, which re-exports them. Depend on that crate and not on this one.
//!
//! The generated code names its crate by path (`::databases`) and relies on nothing else being in scope. It never holds
//! logic: what a row or a parameter means is decided in core.
//!
//! # Attributes
//!
//! | Written on | Attribute | Meaning |
//! |---|---|---|
//! | the struct | `#[databases(crate = "path")]` | the path under which `databases` is found, if not `::databases` |
//! | a field | `#[databases(rename = "name")]` | the name of the column and of the parameter, if not the field's |
//!
//! Any other key is a compile error.

mod from_row;
mod input;
mod params;

use proc_macro::TokenStream;

/// Reads a row into a struct, each field from the column of its name.
///
/// The fields are read in the order of their declaration; where a result has many rows, the columns are looked up at the
/// first. Columns without a field are left alone. A field of type `Option` reads NULL as `None`. Raw identifiers lose
/// their `r#`; `#[databases(rename = "column")]` gives another name.
///
/// Each field's type implements `FromValue`; generic structs get that as a bound.
///
/// # Examples
///
/// ```text
/// #[derive(FromRow)]
/// struct Note {
///     id: i64,
///     #[databases(rename = "text")]
///     body: String,
///     author: Option<String>,
/// }
///
/// let notes: Vec<Note> = db.fetch_all("SELECT id, text, author FROM notes", ()).await?;
/// ```
#[proc_macro_derive(FromRow, attributes(databases))]
pub fn derive_from_row(item: TokenStream) -> TokenStream {
    from_row::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Passes a struct as parameters, each field as the `:name` of its name.
///
/// `IntoParams` is implemented for the struct, whose values are moved, and for a reference to it, if its values can be
/// cloned. Raw identifiers lose their `r#`; `#[databases(rename = "parameter")]` gives another name. A name that two
/// fields share is a compile error.
///
/// Each field's type implements `IntoValue`; generic structs get that as a bound.
///
/// # Examples
///
/// ```text
/// #[derive(Params)]
/// struct NewNote<'a> {
///     text: &'a str,
///     done: bool,
/// }
///
/// let note = NewNote { text: "a", done: false };
/// db.execute("INSERT INTO notes(text, done) VALUES (:text, :done)", &note).await?;
/// ```
#[proc_macro_derive(Params, attributes(databases))]
pub fn derive_params(item: TokenStream) -> TokenStream {
    params::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
