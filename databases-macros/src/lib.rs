//! Derives of the `databases` crate, which re-exports them. Depend on that crate and not on this one.
//!
//! The generated code names its crate by path (`::databases`) and relies on nothing else being in scope. It never holds
//! logic: what a row or a parameter means is decided in core.
//!
//! All attributes are written `#[databases(...)]`. A key that is not known, that has no meaning where it stands, or that
//! contradicts another is a compile error. [`FromRow`] and [`Params`] may be derived together: a key that only one of
//! them uses is left alone by the other. Each derive also takes `crate = "path"` on the item: the path under which
//! `databases` is found, if not `::databases`.
//!
//! # Styles
//!
//! `rename_all` takes one of these. Words are told apart by `_` and by capitals; the last two leave them together.
//!
//! | Style | `in_progress`, `InProgress` | `HTTPStatus` |
//! |---|---|---|
//! | `camelCase` | `inProgress` | `httpStatus` |
//! | `snake_case` | `in_progress` | `http_status` |
//! | `PascalCase` | `InProgress` | `HttpStatus` |
//! | `SCREAMING_SNAKE_CASE` | `IN_PROGRESS` | `HTTP_STATUS` |
//! | `kebab-case` | `in-progress` | `http-status` |
//! | `lowercase` | `in_progress`, `inprogress` | `httpstatus` |
//! | `UPPERCASE` | `IN_PROGRESS`, `INPROGRESS` | `HTTPSTATUS` |

// Lengths and numbers are checked or converted by `From`; a cast that cannot go wrong says why.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )
)]

mod case;
mod from_row;
mod input;
mod keys;
mod params;
mod value;

use proc_macro::TokenStream;

/// Reads a row into a struct, each field from the column of its name.
///
/// The fields are read in the order of their declaration; where a result has many rows, the columns are looked up at the
/// first. Columns without a field are left alone. A field of type `Option` reads NULL as `None`. Raw identifiers lose
/// their `r#`. The fields of a tuple struct are read by position, those that are skipped not counted.
///
/// Each field's type implements `FromValue`; generic structs get that as a bound.
///
/// # Attributes
///
/// | On | Attribute | Meaning |
/// |---|---|---|
/// | the struct | `rename_all = "style"` | the columns are named as the fields are, in this [style](crate#styles) |
/// | a field | `rename = "name"` | the name of the column |
/// | a field | `default` | a column that is not there gives the type's default; NULL is an error as ever |
/// | a field | `default = "path"` | the same, with what this function returns |
/// | a field | `json` | the column holds JSON, read by serde; needs the feature `json`. `Option` reads NULL as `None` |
/// | a field | `try_from = "Type"` | the column is read as `Type` and converted by `TryFrom`; what the conversion says is the error's `detail()`, since it may repeat the value |
/// | a field | `flatten` | the field is a struct with `FromRow`, read from the same row |
/// | a field | `flatten, prefix = "a_"` | the same, and the names of its columns begin with `a_`; for structs with this derive and named fields |
/// | a field | `skip` | no column: the type's default, or what `default = "path"` returns |
///
/// A field whose type is no value of its own says what it is read through: `#[databases(try_from = "i16")] age: u8`.
///
/// In a tuple struct, which has no names, `rename_all`, `rename` and `flatten` are errors.
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
///
/// Every attribute:
///
/// ```text
/// #[derive(FromRow)]
/// #[databases(rename_all = "camelCase")]
/// struct User {
///     user_id: i64,                       // the column `userId`
///     #[databases(rename = "mail")]
///     email: String,
///     #[databases(default)]
///     visits: i64,                        // 0 where the query leaves the column out
///     #[databases(default = "Role::guest")]
///     role: Role,
///     #[databases(try_from = "i64")]
///     level: Level,                       // impl TryFrom<i64> for Level
///     #[databases(json)]
///     settings: Settings,                 // impl serde::Deserialize for Settings
///     #[databases(flatten)]
///     address: Address,                   // #[derive(FromRow)] struct Address { street: String, city: String }
///     #[databases(flatten, prefix = "billing_")]
///     billing: Address,                   // the columns `billing_street` and `billing_city`
///     #[databases(skip)]
///     cache: Cache,
/// }
///
/// #[derive(FromRow)]
/// struct Point(f64, f64);
///
/// let point: Point = db.fetch_one("SELECT 1.5, 2.5", ()).await?;
/// ```
#[proc_macro_derive(FromRow, attributes(databases))]
pub fn derive_from_row(item: TokenStream) -> TokenStream {
    from_row::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Passes a struct as parameters, each field as the `:name` of its name.
///
/// `IntoParams` is implemented for the struct, whose values are moved, and for a reference to it, if its values can be
/// cloned. Raw identifiers lose their `r#`. A name that two fields share is a compile error; one that a flattened struct
/// repeats is an error when the statement is run.
///
/// Each field's type implements `IntoValue`; generic structs get that as a bound.
///
/// # Attributes
///
/// | On | Attribute | Meaning |
/// |---|---|---|
/// | the struct | `rename_all = "style"` | the parameters are named as the fields are, in this [style](crate#styles) |
/// | a field | `rename = "name"` | the name of the parameter |
/// | a field | `json` | passed as JSON, written by serde; needs the feature `json`. `None` is NULL |
/// | a field | `flatten` | the field is a struct with `Params`, whose parameters are added |
/// | a field | `flatten, prefix = "a_"` | the same, each name behind `a_` |
/// | a field | `skip` | no parameter |
///
/// `default` and `try_from` belong to [`FromRow`].
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
///
/// Every attribute:
///
/// ```text
/// #[derive(Params)]
/// #[databases(rename_all = "camelCase")]
/// struct NewUser {
///     user_name: String,                  // `:userName`
///     #[databases(rename = "mail")]
///     email: String,
///     #[databases(json)]
///     settings: Settings,                 // impl serde::Serialize for Settings
///     #[databases(flatten)]
///     address: Address,                   // #[derive(Params)] struct Address { street: String, city: String }
///     #[databases(flatten, prefix = "billing_")]
///     billing: Address,                   // `:billing_street` and `:billing_city`
///     #[databases(skip)]
///     cache: Cache,
/// }
/// ```
#[proc_macro_derive(Params, attributes(databases))]
pub fn derive_params(item: TokenStream) -> TokenStream {
    params::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Reads one value as a newtype, a record or an enum.
///
/// A struct with one field reads what its field reads; one with `composite` reads a record, PostgreSQL's composite type,
/// field by field in the order of their declaration. An enum of plain variants reads the text that is the name of the
/// variant, or with `repr` the integer that is its discriminant; any other value is an `ErrorKind::Decode` that names
/// those known and not the one found.
///
/// # Attributes
///
/// | On | Attribute | Meaning |
/// |---|---|---|
/// | a struct | `composite` | a record of the fields, by their order and not by their names |
/// | a field of a struct | `skip` | not the value; filled with its type's default, as for `PhantomData` |
/// | an enum | `rename_all = "style"` | the texts are the names of the variants, in this [style](crate#styles) |
/// | an enum | `repr = "i32"` | integers of this type: `i8`, `i16`, `i32`, `i64`, `u16`, `u32` or `u64` |
/// | a variant | `rename = "text"` | its text |
///
/// # Examples
///
/// ```text
/// #[derive(FromValue, IntoValue)]
/// struct UserId(i64);
///
/// #[derive(FromValue, IntoValue)]
/// struct Id<T> {
///     id: i64,
///     #[databases(skip)]
///     of: PhantomData<T>,
/// }
///
/// #[derive(FromValue, IntoValue)]
/// #[databases(rename_all = "snake_case")]
/// enum Mood {
///     Sad,
///     VeryHappy,                          // `very_happy`
///     #[databases(rename = "ok")]
///     Fine,
/// }
///
/// #[derive(FromValue, IntoValue)]
/// #[databases(repr = "i16")]
/// enum Level {
///     Low = 10,
///     High,                               // 11
/// }
///
/// #[derive(FromValue, IntoValue)]
/// #[databases(composite)]
/// struct Point {                          // CREATE TYPE point2 AS (x int4, y int4)
///     x: i32,
///     y: i32,
/// }
///
/// let (id, mood): (UserId, Option<Mood>) = db.fetch_one("SELECT id, mood FROM users", ()).await?;
/// ```
#[proc_macro_derive(FromValue, attributes(databases))]
pub fn derive_from_value(item: TokenStream) -> TokenStream {
    value::expand_from(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Passes a newtype, a record or an enum as one value.
///
/// A struct with one field passes its field, and NULL has that type; one with `composite` passes a record of its fields. An enum of plain variants passes the text that is
/// the name of the variant, or with `repr` the integer that is its discriminant. A reference is a value as well, if the
/// type is `Clone`.
///
/// # Attributes
///
/// Those of [`FromValue`], so that both derives agree:
///
/// | On | Attribute | Meaning |
/// |---|---|---|
/// | a struct | `composite` | a record of the fields, by their order and not by their names; PostgreSQL only |
/// | a field of a struct | `skip` | not the value |
/// | an enum | `rename_all = "style"` | the texts are the names of the variants, in this [style](crate#styles) |
/// | an enum | `repr = "i32"` | integers of this type: `i8`, `i16`, `i32`, `i64`, `u16`, `u32` or `u64` |
/// | a variant | `rename = "text"` | its text |
///
/// # Examples
///
/// ```text
/// #[derive(Clone, IntoValue)]
/// struct Email<'a>(&'a str);
///
/// #[derive(Clone, Copy, IntoValue)]
/// #[databases(rename_all = "lowercase")]
/// enum Mood {
///     Sad,
///     #[databases(rename = "ok")]
///     Fine,
/// }
///
/// #[derive(IntoValue)]
/// #[databases(repr = "i16")]
/// enum Level {
///     Low,
///     High = 5,
/// }
///
/// #[derive(IntoValue)]
/// struct Tagged<T> {
///     value: i64,
///     #[databases(skip)]
///     tag: PhantomData<T>,
/// }
///
/// db.execute("UPDATE users SET mood = :mood WHERE mail = :mail", params! { mood: Mood::Sad, mail: Email("a@b") }).await?;
/// ```
#[proc_macro_derive(IntoValue, attributes(databases))]
pub fn derive_into_value(item: TokenStream) -> TokenStream {
    value::expand_into(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
