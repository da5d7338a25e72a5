//! `derive(FromValue)` and `derive(IntoValue)`: newtypes, records, and enums of plain variants as text or as numbers.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::{
    Data, DeriveInput, Error, Fields, Generics, Ident, Index, LitStr, Member, Path, Result, Token, Type, Variant,
    WherePredicate, parse_quote,
};

use crate::case::Style;
use crate::input::{krate, mentions_param};
use crate::keys::{self, Keys};

/// The integers that are values; `u8` is not, since a `Vec` of it is bytes.
const REPRS: [&str; 7] = ["i8", "i16", "i32", "i64", "u16", "u32", "u64"];

const FROM: &str = "derive(FromValue) needs a struct with one field, or an enum; for several columns derive FromRow, \
                    for a record add `#[databases(composite)]`";
const INTO: &str = "derive(IntoValue) needs a struct with one field, or an enum; for several parameters derive Params, \
                    for a record add `#[databases(composite)]`";
const COMPOSITE: &str = "`composite` makes a record of the fields, and there is none";

/// A type that is one value.
struct Input {
    ident: Ident,
    generics: Generics,
    /// Where the generated code finds `databases`.
    krate: Path,
    shape: Shape,
}

/// Fields with their types.
type Members = Vec<(Member, Type)>;

#[expect(clippy::large_enum_variant, reason = "one per item, and gone when the macro returns")]
enum Shape {
    /// The value that it stands for, and fields that stand for nothing.
    Newtype { member: Member, ty: Type, skipped: Members },
    /// The fields of a record, in order, and fields that stand for nothing.
    Composite { fields: Members, skipped: Members },
    /// Variants by their text.
    Texts(Vec<(Ident, LitStr)>),
    /// Variants by their discriminant, an integer of this type.
    Numbers(Ident, Vec<Ident>),
}

pub(crate) fn expand_from(item: TokenStream) -> Result<TokenStream> {
    let mut input = Input::parse(item, FROM)?;
    let krate = &input.krate;
    let mut bounds: Vec<WherePredicate> = Vec::new();
    let body = match &input.shape {
        Shape::Newtype { member, ty, skipped } => {
            bounds.extend(input.read_bounds(std::slice::from_ref(ty), skipped));
            let skipped = defaults(skipped);
            quote! {
                ::core::result::Result::Ok(Self {
                    #member: <#ty as #krate::FromValue>::from_value(__value)?,
                    #(#skipped,)*
                })
            }
        }
        Shape::Composite { fields, skipped } => {
            let (members, types): (Vec<_>, Vec<_>) = fields.iter().cloned().unzip();
            bounds.extend(input.read_bounds(&types, skipped));
            let (name, skipped) = (input.ident.unraw().to_string(), defaults(skipped));
            let names = members.iter().map(member_name);
            let cells: Vec<_> = (0..members.len()).map(|index| format_ident!("__field_{index}")).collect();
            quote! {
                let [#(#cells),*] = #krate::__private::record_fields(__value, #name)?;
                ::core::result::Result::Ok(Self {
                    #(#members: #krate::__private::record_field::<#types>(&#cells, #names)?,)*
                    #(#skipped,)*
                })
            }
        }
        Shape::Texts(variants) => variant_of_text(&input, variants),
        Shape::Numbers(repr, variants) => variant_of_number(&input, repr, variants),
    };
    let checks = input.checks();
    input.generics.make_where_clause().predicates.extend(bounds);
    let Input { ident, generics, krate, .. } = &input;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::FromValue for #ident #type_generics #where_clause {
            fn from_value(__value: #krate::ValueRef<'_>) -> #krate::Result<Self> {
                #body
            }
        }
        #checks
    })
}

fn variant_of_text(Input { ident, krate, .. }: &Input, variants: &[(Ident, LitStr)]) -> TokenStream {
    let (variants, texts): (Vec<_>, Vec<_>) = variants.iter().cloned().unzip();
    let known: Vec<_> = texts.iter().map(|text| format!("`{}`", text.value())).collect();
    let name = ident.unraw();
    let unknown = format!("unknown value for enum {name}; known: {}", known.join(", "));
    let name = name.to_string();
    quote! {
        match __value {
            #(#krate::ValueRef::Text(#texts) => ::core::result::Result::Ok(Self::#variants),)*
            #krate::ValueRef::Text(_) => {
                ::core::result::Result::Err(#krate::Error::new(#krate::ErrorKind::Decode, #unknown))
            }
            __value => ::core::result::Result::Err(#krate::__private::mismatch_as(&__value, #name)),
        }
    }
}

fn variant_of_number(Input { ident, krate, .. }: &Input, repr: &Ident, variants: &[Ident]) -> TokenStream {
    let numbers: Vec<_> = (0..variants.len()).map(|index| format_ident!("__NUMBER_{index}")).collect();
    let known = vec!["`{}`"; variants.len()].join(", ");
    let unknown = format!("unknown value for enum {}; known: {known}", ident.unraw());
    let repr = primitive(repr);
    quote! {
        #(const #numbers: #repr = #ident::#variants as #repr;)*
        match <#repr as #krate::FromValue>::from_value(__value)? {
            #(#numbers => ::core::result::Result::Ok(Self::#variants),)*
            _ => ::core::result::Result::Err(
                #krate::Error::new(#krate::ErrorKind::Decode, ::std::format!(#unknown, #(#numbers),*)),
            ),
        }
    }
}

pub(crate) fn expand_into(item: TokenStream) -> Result<TokenStream> {
    let mut input = Input::parse(item, INTO)?;
    let krate = &input.krate;
    let mut bounds: Vec<WherePredicate> = Vec::new();
    let of_inner = |inner: TokenStream, value: TokenStream| {
        let value_of = quote!(<#inner as #krate::IntoValue>);
        (quote!(#value_of::KIND), quote!(#value_of::into_value(#value)))
    };
    let (kind, value) = match &input.shape {
        Shape::Newtype { member, ty, .. } => {
            bounds.extend(input.bound(ty, "IntoValue"));
            of_inner(quote!(#ty), quote!(self.#member))
        }
        Shape::Composite { fields, .. } => {
            let (members, types): (Vec<_>, Vec<_>) = fields.iter().cloned().unzip();
            bounds.extend(types.iter().filter_map(|ty| input.bound(ty, "IntoValue")));
            let values = quote!(::std::vec![#(<#types as #krate::IntoValue>::into_value(self.#members)),*]);
            (quote!(#krate::ValueKind::Array), quote!(#krate::__private::record(#values)))
        }
        Shape::Texts(variants) => {
            let (variants, texts): (Vec<_>, Vec<_>) = variants.iter().cloned().unzip();
            of_inner(quote!(&'static ::core::primitive::str), quote!(match self { #(Self::#variants => #texts,)* }))
        }
        Shape::Numbers(repr, _) => {
            let repr = primitive(repr);
            of_inner(repr.clone(), quote!(self as #repr))
        }
    };
    let checks = input.checks();
    input.generics.make_where_clause().predicates.extend(bounds);
    let Input { ident, generics, krate, .. } = &input;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::IntoValue for #ident #type_generics #where_clause {
            const KIND: #krate::ValueKind = #kind;
            fn into_value(self) -> #krate::Value {
                #value
            }
        }
        #checks
    })
}

/// The fields that are no part of the value.
fn defaults(skipped: &[(Member, Type)]) -> Vec<TokenStream> {
    skipped.iter().map(|(member, ty)| quote!(#member: <#ty as ::core::default::Default>::default())).collect()
}

/// What errors call the field.
fn member_name(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

fn primitive(repr: &Ident) -> TokenStream {
    quote!(::core::primitive::#repr)
}

impl Input {
    /// Parses the item; `needs` is the error for an item that cannot be one value.
    fn parse(item: TokenStream, needs: &str) -> Result<Self> {
        let item: DeriveInput = syn::parse2(item)?;
        let (ident, generics) = (item.ident, item.generics);
        let (krate, shape) = match item.data {
            Data::Struct(data) => {
                let mut keys = Keys::parse(&keys::NEWTYPE, &item.attrs)?;
                let krate = krate(&mut keys)?;
                match keys.take("composite") {
                    Some(key) => (krate, composite(data.fields, &key)?),
                    None => (krate, newtype(&ident, data.fields, needs)?),
                }
            }
            Data::Enum(data) if data.variants.is_empty() => {
                return Err(Error::new_spanned(ident, "an enum without variants has no value"));
            }
            Data::Enum(data) => {
                let mut keys = Keys::parse(&keys::ENUM, &item.attrs)?;
                (krate(&mut keys)?, variants(keys, &generics, data.variants)?)
            }
            Data::Union(_) => return Err(Error::new_spanned(ident, needs)),
        };
        Ok(Self { ident, generics, krate, shape })
    }

    /// What the type of a field must be able to do, if it is generic.
    fn bound(&self, ty: &Type, name: &str) -> Option<WherePredicate> {
        let (krate, name) = (&self.krate, format_ident!("{name}"));
        mentions_param(&self.generics, ty.to_token_stream()).then(|| parse_quote!(#ty: #krate::#name))
    }

    /// What the generic types of fields must be able to do to be read, and of those that are skipped to be filled.
    fn read_bounds(&self, types: &[Type], skipped: &[(Member, Type)]) -> Vec<WherePredicate> {
        let read = types.iter().filter_map(|ty| self.bound(ty, "FromValue"));
        let skipped =
            skipped.iter().map(|(_, ty)| ty).filter(|ty| mentions_param(&self.generics, ty.to_token_stream()));
        read.chain(skipped.map(|ty| parse_quote!(#ty: ::core::default::Default + ::core::marker::Send))).collect()
    }

    /// Refuses discriminants that a cast would cut.
    fn checks(&self) -> TokenStream {
        let Shape::Numbers(repr, variants) = &self.shape else { return TokenStream::new() };
        let (ident, cast) = (&self.ident, primitive(repr));
        let checks = variants.iter().map(|variant| {
            let message = format!("the discriminant of `{variant}` does not fit `repr = \"{repr}\"`");
            let wide = quote!(::core::primitive::i128);
            quote_spanned! {variant.span()=>
                ::core::assert!(#ident::#variant as #wide == (#ident::#variant as #cast) as #wide, #message);
            }
        });
        quote!(const _: () = { #(#checks)* };)
    }
}

/// The fields that are the value, and those that are not.
fn parts(fields: Fields) -> Result<(Members, Members)> {
    let (mut parts, mut skipped) = (Vec::new(), Vec::new());
    for (index, field) in fields.into_iter().enumerate() {
        let is_skipped = Keys::parse(&keys::NEWTYPE_FIELD, &field.attrs)?.take("skip").is_some();
        let member = field.ident.map_or_else(|| Member::Unnamed(Index::from(index)), Member::Named);
        if is_skipped { &mut skipped } else { &mut parts }.push((member, field.ty));
    }
    Ok((parts, skipped))
}

fn newtype(ident: &Ident, fields: Fields, needs: &str) -> Result<Shape> {
    let (fields, skipped) = parts(fields)?;
    let mut fields = fields.into_iter();
    let (member, ty) = fields.next().ok_or_else(|| Error::new_spanned(ident, needs))?;
    match fields.next() {
        None => Ok(Shape::Newtype { member, ty, skipped }),
        Some((_, second)) => {
            let message = format!("{needs}; a field that is no part of the value takes `#[databases(skip)]`");
            Err(Error::new_spanned(second, message))
        }
    }
}

fn composite(fields: Fields, key: &keys::Given) -> Result<Shape> {
    let (fields, skipped) = parts(fields)?;
    if fields.is_empty() { Err(key.error(COMPOSITE)) } else { Ok(Shape::Composite { fields, skipped }) }
}

fn variants(mut keys: Keys, generics: &Generics, variants: Punctuated<Variant, Token![,]>) -> Result<Shape> {
    let repr = keys.take_text("repr").map(parse_repr).transpose()?;
    if let (Some(_), Some(param)) = (&repr, generics.params.first()) {
        return Err(Error::new_spanned(param, "an enum with `repr` takes no generic parameters"));
    }
    let style = keys.take_text("rename_all").as_ref().map(Style::parse).transpose()?;
    let mut texts = Vec::new();
    let mut seen = HashSet::new();
    for variant in variants {
        if !matches!(variant.fields, Fields::Unit) {
            let message =
                "a variant with fields is no single value; a column of its own per field, or JSON, holds them";
            return Err(Error::new_spanned(variant.fields, message));
        }
        let rename = Keys::parse(&keys::VARIANT, &variant.attrs)?.take("rename");
        if let (Some(_), Some(rename)) = (&repr, &rename) {
            return Err(rename.error("an enum with `repr` is a number in the database, so `rename` has no meaning"));
        }
        let text = rename.and_then(keys::Given::text).unwrap_or_else(|| {
            let name = variant.ident.unraw().to_string();
            LitStr::new(&style.map_or(name.clone(), |style| style.apply(&name)), variant.ident.span())
        });
        if !seen.insert(text.value()) {
            let message = format!("the text `{}` stands for two variants; `rename` one of them", text.value());
            return Err(Error::new_spanned(text, message));
        }
        texts.push((variant.ident, text));
    }
    Ok(match repr {
        Some(repr) => Shape::Numbers(repr, texts.into_iter().map(|(variant, _)| variant).collect()),
        None => Shape::Texts(texts),
    })
}

fn parse_repr(text: LitStr) -> Result<Ident> {
    if REPRS.contains(&&*text.value()) {
        return text.parse();
    }
    let known: Vec<_> = REPRS.iter().map(|repr| format!("`{repr}`")).collect();
    Err(Error::new_spanned(&text, format!("`repr` takes one of {}", known.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(item: &str) -> String {
        let parsed = || item.parse().expect("the item is made of tokens");
        expand_into(parsed()).expect_err("the item is refused");
        expand_from(parsed()).expect_err("the item is refused").to_string()
    }

    #[test]
    fn what_is_no_single_value_is_refused() {
        let skip = "a field that is no part of the value takes `#[databases(skip)]`";
        let fields = "a variant with fields is no single value; a column of its own per field, or JSON, holds them";
        for (item, message) in [
            ("struct Unit;", FROM),
            ("struct None(#[databases(skip)] i64);", FROM),
            ("union Bits { id: i64 }", FROM),
            ("struct Pair(i64, i64);", &format!("{FROM}; {skip}")),
            ("#[databases(composite)] struct None(#[databases(skip)] i64);", COMPOSITE),
            ("#[databases(composite)] struct Unit;", COMPOSITE),
            ("enum Never {}", "an enum without variants has no value"),
            ("enum E { A, B(i64) }", fields),
            ("enum E { A, B { id: i64 } }", fields),
        ] {
            assert_eq!(error(item), message);
        }
    }

    #[test]
    fn keys_are_refused_where_they_mean_nothing() {
        let number = "an enum with `repr` is a number in the database, so `rename";
        let reprs = "`repr` takes one of `i8`, `i16`, `i32`, `i64`, `u16`, `u32`, `u64`";
        for (item, message) in [
            (
                "#[databases(rename_all = \"x\")] struct A(i64);",
                "unknown key `rename_all`; a newtype takes `crate = \"path\"`, `composite`",
            ),
            ("struct A(#[databases(rename = \"x\")] i64);", "unknown key `rename`; a field of a newtype takes `skip`"),
            ("enum E { #[databases(skip)] A }", "unknown key `skip`; a variant takes `rename = \"name\"`"),
            (
                "#[databases(rename = \"x\")] enum E { A }",
                "unknown key `rename`; an enum takes `crate = \"path\"`, `rename_all = \"style\"`, `repr = \"i32\"`",
            ),
            (
                "#[databases(repr = \"i32\")] enum E { #[databases(rename = \"a\")] A }",
                &format!("{number}` has no meaning"),
            ),
            (
                "#[databases(repr = \"i32\", rename_all = \"lowercase\")] enum E { A }",
                &format!("{number}_all` has no meaning beside `repr`; remove one of them"),
            ),
            ("#[databases(repr = \"u8\")] enum E { A }", reprs),
            (
                "#[databases(repr = \"i32\")] enum E<const N: usize> { A }",
                "an enum with `repr` takes no generic parameters",
            ),
            (
                "enum E { A, #[databases(rename = \"A\")] B }",
                "the text `A` stands for two variants; `rename` one of them",
            ),
        ] {
            assert_eq!(error(item), message);
        }
    }
}
