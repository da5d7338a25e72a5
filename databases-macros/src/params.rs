//! `derive(Params)`.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Generics, Path, Result, WherePredicate, parse_quote};

use crate::input::{Field, Form, Input, Role, inside_option, json};

const NEEDS: &str = "derive(Params) needs a struct with named fields; pass other values with `params! { name: value }`";

/// How the struct is passed.
#[derive(Clone, Copy)]
enum By {
    Value,
    Reference,
}

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let input = Input::parse(item, NEEDS, false)?;
    check_names(&input)?;
    let Input { ident, generics, krate, fields, .. } = &input;
    let (_, type_generics, _) = generics.split_for_impl();

    let mut owned = generics.clone();
    let generic_fields = fields.iter().filter(|field| field.is_generic);
    let mut bounds: Vec<WherePredicate> = generic_fields.filter_map(|field| bound(krate, field, &quote!())).collect();
    if !bounds.is_empty() {
        bounds.push(parse_quote!(#ident #type_generics: ::core::marker::Send));
    }
    owned.make_where_clause().predicates.extend(bounds);

    // A bound that mentions the lifetime of the reference may fail without an error, so a struct with a field that
    // cannot be cloned is still passed by value. Two types that differ in lifetimes only would be ambiguous as bounds.
    let mut borrowed = generics.clone();
    borrowed.params.insert(0, parse_quote!('__databases));
    let bounded = fields.iter().filter(|field| field.is_generic || !field.has_lifetime());
    let bounds: Vec<_> = bounded.filter_map(|field| bound(krate, field, &quote!(&'__databases))).collect();
    let predicates = &mut borrowed.make_where_clause().predicates;
    predicates.push(parse_quote!(&'__databases #ident #type_generics: ::core::marker::Send));
    predicates.extend(bounds);

    let owned = implement(&input, &owned, &quote!(#ident #type_generics), By::Value);
    let borrowed = implement(&input, &borrowed, &quote!(&'__databases #ident #type_generics), By::Reference);
    Ok(quote!(#owned #borrowed))
}

/// What the type of the field must be able to do, if `reference` to it is passed.
fn bound(krate: &Path, field: &Field, reference: &TokenStream) -> Option<WherePredicate> {
    let ty = &field.ty;
    match &field.role {
        Role::Skip(_) => None,
        Role::Flatten(_) => Some(parse_quote!(#reference #ty: #krate::IntoParams)),
        Role::Column(column) if matches!(column.form, Form::Json) => {
            let (json, inner) = (json(krate, ty), inside_option(ty).unwrap_or(ty));
            Some(parse_quote!(#json<#reference #inner>: #krate::IntoValue))
        }
        Role::Column(_) => Some(parse_quote!(#reference #ty: #krate::IntoValue)),
    }
}

/// The impl for the type `target`.
fn implement(input: &Input, generics: &Generics, target: &TokenStream, by: By) -> TokenStream {
    let Input { krate, fields, .. } = input;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let len = input.columns().count();
    let body = if fields.iter().any(|field| matches!(field.role, Role::Flatten(_))) {
        let pushes = fields.iter().filter_map(|field| push(krate, field, by));
        quote! {
            #[allow(unused_mut)]
            let mut __params = #krate::Params::with_capacity(#len);
            #(#pushes)*
            __params
        }
    } else {
        // The names are there when the program is built.
        let (names, values): (Vec<_>, Vec<_>) = fields.iter().filter_map(|field| named(krate, field, by)).unzip();
        quote!(#krate::Params::of(&[#(#names),*], ::std::vec![#(#krate::__private::Arg::new(#values)),*]))
    };
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::IntoParams for #target #where_clause {
            fn into_params<'__params>(self) -> #krate::Params<'__params>
            where
                Self: '__params,
            {
                #body
            }
        }
    }
}

/// The statement that adds what the field stands for.
fn push(krate: &Path, field: &Field, by: By) -> Option<TokenStream> {
    let Role::Flatten(prefix) = &field.role else {
        let (name, value) = named(krate, field, by)?;
        return Some(quote!(#krate::Params::push(&mut __params, #name, #value);));
    };
    let value = member(field, by);
    let inner = quote_spanned!(span(field)=> #krate::IntoParams::into_params(#value));
    Some(match prefix {
        Some(prefix) => quote!(#krate::Params::extend_prefixed(&mut __params, #prefix, #inner);),
        None => quote!(#krate::Params::extend(&mut __params, #inner);),
    })
}

/// The name and the value of a field that is one parameter.
fn named(krate: &Path, field: &Field, by: By) -> Option<(TokenStream, TokenStream)> {
    let Role::Column(column) = &field.role else { return None };
    let (span, value, json) = (span(field), member(field, by), json(krate, &field.ty));
    let value = match (&column.form, by) {
        (Form::Plain | Form::TryFrom(_), _) => value,
        (Form::Json, _) if inside_option(&field.ty).is_none() => quote_spanned!(span=> #json(#value)),
        (Form::Json, By::Value) => quote_spanned!(span=> #value.map(#json)),
        (Form::Json, By::Reference) => quote_spanned!(span=> (#value).as_ref().map(#json)),
    };
    let name = &column.name;
    Some((quote!(#name), value))
}

/// The field of what is passed.
fn member(field: &Field, by: By) -> TokenStream {
    let (span, member) = (span(field), &field.member);
    match by {
        By::Value => quote_spanned!(span=> self.#member),
        By::Reference => quote_spanned!(span=> &self.#member),
    }
}

/// Where an error about the type of the field is shown.
fn span(field: &Field) -> Span {
    field.ty.span().resolved_at(Span::call_site())
}

fn check_names(input: &Input) -> Result<()> {
    let mut seen = HashSet::new();
    for (_, column) in input.columns() {
        let name = column.name.value();
        if seen.contains(&name) {
            let message = format!("the parameter `{name}` is given twice; `rename` one of them");
            return Err(Error::new_spanned(&column.name, message));
        }
        seen.insert(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_passed_is_refused() {
        let twice = "the parameter `a` is given twice; `rename` one of them";
        let skipped = "`skip` leaves the field without column and parameter, so `rename` has no meaning beside `skip`; \
                       remove one of them";
        for (item, message) in [
            ("struct Pair(i64);", NEEDS),
            ("enum Either {}", NEEDS),
            ("struct S { a: i64, #[databases(rename = \"a\")] b: i64 }", twice),
            ("#[databases(rename_all = \"lowercase\")] struct S { a: i64, A: i64 }", twice),
            ("struct S { #[databases(skip, rename = \"b\")] a: i64 }", skipped),
        ] {
            let item = item.parse().expect("the item is made of tokens");
            let error = expand(item).expect_err("the item is refused");
            assert_eq!(error.to_string(), message);
        }
    }
}
