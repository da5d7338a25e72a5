//! `derive(FromRow)`.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{ExprPath, Index, LitStr, Path, Result, Type, WherePredicate, parse_quote};

use crate::input::{Column, Field, Form, Input, Role, inside_option, json};

const NEEDS: &str =
    "derive(FromRow) needs a struct with fields; for an enum derive FromValue and read it as one column";

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let mut input = Input::parse(item, NEEDS, true)?;
    let bounds: Vec<_> = input.fields.iter().flat_map(|field| bounds(&input, field)).collect();
    input.generics.make_where_clause().predicates.extend(bounds);

    // Positions need no plan, and neither does a struct of skipped fields.
    let is_planned = !input.is_tuple && input.fields.iter().any(|field| !matches!(field.role, Role::Skip(_)));
    let methods = if is_planned { by_name(&input) } else { by_position(&input) };
    let Input { ident, generics, krate, .. } = &input;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::FromRow for #ident #type_generics #where_clause {
            #methods
        }
    })
}

/// What the types of a generic field must be able to do.
fn bounds(Input { krate, .. }: &Input, field: &Field) -> Vec<WherePredicate> {
    let ty = &field.ty;
    if !field.is_generic {
        return Vec::new();
    }
    let default: WherePredicate = parse_quote!(#ty: ::core::default::Default);
    let send = parse_quote!(#ty: ::core::marker::Send);
    match &field.role {
        Role::Flatten(_) => vec![parse_quote!(#ty: #krate::FromRow)],
        Role::Skip(None) => vec![default, send],
        Role::Skip(Some(_)) => vec![send],
        Role::Column(column) => {
            let mut bounds = match &column.form {
                Form::Plain => vec![parse_quote!(#ty: #krate::FromValue)],
                Form::Json => {
                    let (json, inner) = (json(krate, ty), inside_option(ty).unwrap_or(ty));
                    vec![parse_quote!(#json<#inner>: #krate::FromValue), send]
                }
                Form::TryFrom(from) => vec![
                    parse_quote!(#from: #krate::FromValue),
                    parse_quote!(#ty: ::core::convert::TryFrom<#from, Error: ::core::fmt::Display>),
                    send,
                ],
            };
            bounds.extend(matches!(column.default, Some(None)).then_some(default));
            bounds
        }
    }
}

/// Reads each column at the position of its field, those that are skipped not counted.
fn by_position(input: &Input) -> TokenStream {
    let krate = &input.krate;
    let mut positions = 0..;
    let fields = input.fields.iter().map(|field| {
        field_value(field, |column| {
            let index = Index::from(positions.next().expect("there is no last number"));
            let is_there = quote!(#index < __row.columns().len());
            column_value(krate, &field.ty, column, &quote!(#index), &is_there)
        })
    });
    let fields: Vec<_> = fields.collect();
    let from_row = from_row(krate);
    quote! {
        const READS_LIVE: bool = true;
        #from_row
        fn from_row_planned(
            __row: #krate::__private::RowRef<'_>,
            __plan: &mut #krate::__private::Plan,
        ) -> #krate::Result<Self> {
            __plan.no_prefix::<Self>()?;
            ::core::result::Result::Ok(Self { #(#fields,)* })
        }
    }
}

/// Reads each column by the name of its field; names are looked up when the plan is empty.
fn by_name(input: &Input) -> TokenStream {
    let krate = &input.krate;
    let indices = if input.columns().all(|(_, column)| column.default.is_none()) {
        let names = input.columns().map(|(_, Column { name, .. })| name);
        quote!(__plan.positions(__columns, &[#(#names),*])?)
    } else {
        let lookups = input.columns().enumerate().map(|(ordinal, (_, Column { name, default, .. }))| match default {
            None => quote!(__plan.index_of(__columns, #ordinal, #name)?),
            Some(_) => quote!(__plan.index_if_there(__columns, #name)?),
        });
        quote!(#krate::__private::Indices::of([#(#lookups),*]))
    };
    let flattened = input.fields.iter().filter_map(|field| match &field.role {
        Role::Flatten(prefix) => Some(prefix.as_ref().map_or(quote!(""), LitStr::to_token_stream)),
        Role::Column(_) | Role::Skip(_) => None,
    });
    let flat = input.fields.iter().filter(|field| matches!(field.role, Role::Flatten(_))).map(|field| &field.ty);
    let prefixes: Vec<_> = flattened.collect();
    let index: Vec<_> = (0..input.columns().count()).map(|index| format_ident!("__index_{index}")).collect();
    let inner: Vec<_> = (0..prefixes.len()).map(|index| format_ident!("__inner_{index}")).collect();
    let (mut positions, mut inners) = (index.iter(), inner.iter());
    let fields = input.fields.iter().map(|field| {
        let (member, ty) = (&field.member, &field.ty);
        if let Role::Flatten(_) = field.role {
            let inner = inners.next().expect("there is a plan for each flattened field");
            return quote!(#member: <#ty as #krate::FromRow>::from_row_planned(__row, #inner)?);
        }
        field_value(field, |column| {
            let index = positions.next().expect("there is an index for each column");
            let is_there = quote!(#index != #krate::__private::Plan::ABSENT);
            column_value(krate, ty, column, &quote!(#index), &is_there)
        })
    });
    let fields: Vec<_> = fields.collect();
    // The plan is replaced only once every column is found, and one pattern checks its lengths for all fields: a plan of
    // other lengths is not ours, and the names decide.
    let from_row = from_row(krate);
    quote! {
        const READS_LIVE: bool = true #(&& <#flat as #krate::FromRow>::READS_LIVE)*;
        #from_row
        fn from_row_planned(
            __row: #krate::__private::RowRef<'_>,
            __plan: &mut #krate::__private::Plan,
        ) -> #krate::Result<Self> {
            if __plan.is_empty() {
                let __columns = __row.columns();
                __plan.indices = #indices;
                __plan.flattened = ::std::vec![#(__plan.flatten(#prefixes)),*];
            }
            let (&[#(#index),*], [#(#inner),*]) = (&__plan.indices[..], &mut __plan.flattened[..]) else {
                return <Self as #krate::FromRow>::from_row_planned(__row, &mut ::core::default::Default::default());
            };
            ::core::result::Result::Ok(Self { #(#fields,)* })
        }
    }
}

fn from_row(krate: &Path) -> TokenStream {
    quote! {
        fn from_row(__row: &#krate::Row) -> #krate::Result<Self> {
            let __row = #krate::__private::RowRef::kept(__row);
            <Self as #krate::FromRow>::from_row_planned(__row, &mut ::core::default::Default::default())
        }
    }
}

/// The field with its value; `column_value` reads it if it is one column.
fn field_value(field: &Field, column_value: impl FnOnce(&Column) -> TokenStream) -> TokenStream {
    let Field { member, ty, role, .. } = field;
    let value = match role {
        Role::Column(column) => column_value(column),
        Role::Flatten(_) => unreachable!("a tuple struct is not flattened into, and by name it has a plan"),
        Role::Skip(path) => default_value(ty, path.as_ref()),
    };
    quote!(#member: #value)
}

fn default_value(ty: &Type, path: Option<&ExprPath>) -> TokenStream {
    match path {
        Some(path) => quote!(#path()),
        None => quote!(<#ty as ::core::default::Default>::default()),
    }
}

/// The value of one column at `index`.
fn column_value(krate: &Path, ty: &Type, column: &Column, index: &TokenStream, is_there: &TokenStream) -> TokenStream {
    let value = match &column.form {
        Form::Plain => quote!(__row.get_at::<#ty>(#index)?),
        Form::Json => {
            let json = json(krate, ty);
            match inside_option(ty) {
                // NULL is no JSON, so it is the `Option` that takes it.
                Some(inner) => quote! {
                    __row.get_at::<::core::option::Option<#json<#inner>>>(#index)?
                        .map(|#json(__value)| __value)
                },
                None => quote!(__row.get_at::<#json<#ty>>(#index)?.0),
            }
        }
        Form::TryFrom(from) => converted(krate, ty, from, index),
    };
    match &column.default {
        None => value,
        Some(path) => {
            let default = default_value(ty, path.as_ref());
            quote!(if #is_there { #value } else { #default })
        }
    }
}

/// The value at `index`, read as `from` and converted. The words of the conversion's error may repeat the value, so
/// they are its detail, which is never printed.
fn converted(krate: &Path, ty: &Type, from: &Type, index: &TokenStream) -> TokenStream {
    let message = format!("this {} cannot be converted to {}", shown(from), shown(ty));
    quote! {
        match <#ty as ::core::convert::TryFrom<#from>>::try_from(__row.get_at::<#from>(#index)?) {
            ::core::result::Result::Ok(__value) => __value,
            ::core::result::Result::Err(__error) => {
                let __name = __row.columns().get(#index).map_or("", |__column| __column.name());
                return ::core::result::Result::Err(
                    #krate::Error::new(#krate::ErrorKind::Decode, #message)
                        .with_detail(::std::string::ToString::to_string(&__error))
                        .context(::core::format_args!("column `{}`", __name.escape_debug())),
                );
            }
        }
    }
}

/// The type as it is usually written.
fn shown(ty: &Type) -> String {
    let mut text = quote!(#ty).to_string();
    for (spaced, tight) in
        [(" :: ", "::"), (":: ", "::"), (" <", "<"), ("< ", "<"), (" >", ">"), (" ,", ","), ("& ", "&")]
    {
        text = text.replace(spaced, tight);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(item: &str) -> String {
        let item = item.parse().expect("the item is made of tokens");
        expand(item).expect_err("the item is refused").to_string()
    }

    #[test]
    fn items_without_fields_are_refused() {
        for item in ["struct Unit;", "enum Either { A { id: i64 } }", "union Bits { id: i64 }"] {
            assert_eq!(error(item), NEEDS);
        }
    }

    #[test]
    fn a_key_that_is_not_known_is_refused_with_those_that_are() {
        let on_struct = "a struct takes `crate = \"path\"`, `rename_all = \"style\"`";
        let on_field = "a field takes `rename = \"name\"`, `default`, `default = \"path\"`, `json`, `try_from = \"Type\"`, \
                        `flatten`, `prefix = \"a_\"`, `skip`";
        for (item, key, known) in [
            ("struct S { #[databases(renamed = \"b\")] a: i64 }", "renamed", on_field),
            ("struct S { #[databases(crate = \"b\")] a: i64 }", "crate", on_field),
            ("struct S(#[databases(b)] i64);", "b", on_field),
            ("struct S { #[databases(a::b)] a: i64 }", "a::b", on_field),
            ("#[databases(rename = \"b\")] struct S { a: i64 }", "rename", on_struct),
        ] {
            assert_eq!(error(item), format!("unknown key `{key}`; {known}"));
        }
    }

    #[test]
    fn a_key_that_is_malformed_is_refused() {
        for (attribute, message) in [
            (r#"rename = "b", rename = "c""#, "`rename` is given twice"),
            ("skip, skip", "`skip` is given twice"),
            (r#"rename = """#, "this text is empty; write `rename = \"name\"`"),
            ("rename = b", "this is no text in quotes; write `rename = \"name\"`"),
            ("rename", "this key takes a text; write `rename = \"name\"`"),
            ("rename(b)", "this key takes a text; write `rename = \"name\"`"),
            ("skip = true", "this key takes no value; write `skip`"),
            ("skip(a)", "this key takes no value; write `skip`"),
            (r#"default = "1 + 1""#, "this is not the path of a function without parameters, such as `Role::guest`"),
            (r#"try_from = "not a type""#, "this is not a type, such as `i64`"),
            ("default = 1", "this is no text in quotes; write `default`, `default = \"path\"`"),
        ] {
            let item = format!("struct S {{ #[databases({attribute})] a: i64 }}");
            assert_eq!(error(&item), message);
        }
    }

    #[test]
    fn keys_that_exclude_each_other_are_refused() {
        let skip = "`skip` leaves the field without column and parameter";
        let flatten = "a field with `flatten` brings its own names";
        for (attribute, why, other, key) in [
            (r#"skip, rename = "b""#, skip, "rename", "skip"),
            (r#"rename = "b", skip"#, skip, "rename", "skip"),
            ("skip, flatten", skip, "flatten", "skip"),
            ("skip, json", skip, "json", "skip"),
            (r#"skip, try_from = "i64""#, skip, "try_from", "skip"),
            (r#"skip, prefix = "b""#, skip, "prefix", "skip"),
            ("flatten, default", flatten, "default", "flatten"),
            (r#"flatten, rename = "b""#, flatten, "rename", "flatten"),
            (r#"flatten, try_from = "i64""#, flatten, "try_from", "flatten"),
            (r#"json, try_from = "i64""#, "`json` says already what the column is read as", "try_from", "json"),
        ] {
            let item = format!("struct S {{ #[databases({attribute})] a: i64 }}");
            let message = format!("{why}, so `{other}` has no meaning beside `{key}`; remove one of them");
            assert_eq!(error(&item), message);
        }
    }

    #[test]
    fn a_prefix_goes_with_flatten() {
        assert_eq!(
            error("struct S { #[databases(prefix = \"b_\")] a: i64 }"),
            "`prefix` goes with `flatten`; a single column is named by `rename`"
        );
    }

    #[test]
    fn fields_without_names_take_no_keys_about_names() {
        for (item, key) in [
            ("struct S(#[databases(rename = \"b\")] i64);", "rename"),
            ("struct S(#[databases(flatten)] i64);", "flatten"),
            ("struct S(#[databases(prefix = \"b_\")] i64);", "prefix"),
            ("#[databases(rename_all = \"camelCase\")] struct S(i64);", "rename_all"),
        ] {
            let why = "a field of a tuple struct is read by its position";
            assert_eq!(error(item), format!("{why}, so `{key}` has no meaning; give the fields names"));
        }
    }

    #[test]
    fn a_style_that_is_not_known_is_refused_with_those_that_are() {
        assert_eq!(
            error("#[databases(rename_all = \"camel\")] struct S { a: i64 }"),
            "unknown style `camel`; known: `camelCase`, `snake_case`, `PascalCase`, `SCREAMING_SNAKE_CASE`, `kebab-case`, \
             `lowercase`, `UPPERCASE`"
        );
    }

    #[test]
    fn the_facade_is_found_at_its_own_path() -> Result<()> {
        let tokens = expand(parse_quote!(
            struct Empty {}
        ))?
        .to_string();
        assert!(tokens.contains("impl :: databases :: FromRow for Empty"), "{tokens}");
        Ok(())
    }

    #[test]
    fn types_are_shown_as_they_are_usually_written() {
        let ty = |text: &str| syn::parse_str::<Type>(text).expect("a type");
        for text in ["i64", "Option<String>", "std::num::NonZero<u32>", "HashMap<String, Vec<u8>>", "&str", "&'a str"] {
            assert_eq!(shown(&ty(text)), text);
        }
    }
}
