//! `derive(Params)`.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Generics, Result, WherePredicate, parse_quote};

use crate::input::{Field, Input};

const NEEDS: &str = "derive(Params) needs a struct with named fields; pass other values with `params! { name: value }`";

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let input = Input::parse(item, NEEDS)?;
    check_names(&input.fields)?;
    let Input { ident, generics, krate, fields } = &input;
    let (_, type_generics, _) = generics.split_for_impl();

    let mut owned = generics.clone();
    let mut bounds: Vec<WherePredicate> =
        input.generic_fields().map(|Field { ty, .. }| parse_quote!(#ty: #krate::IntoValue)).collect();
    if !bounds.is_empty() {
        bounds.push(parse_quote!(#ident #type_generics: ::core::marker::Send));
    }
    owned.make_where_clause().predicates.extend(bounds);

    // A bound that mentions the lifetime of the reference may fail without an error, so a struct with a field that
    // cannot be cloned is still passed by value. Two types that differ in lifetimes only would be ambiguous as bounds.
    let mut borrowed = generics.clone();
    borrowed.params.insert(0, parse_quote!('__databases));
    let bounded = fields.iter().filter(|field| field.is_generic || !field.has_lifetime());
    let bounds = bounded.map(|Field { ty, .. }| parse_quote!(&'__databases #ty: #krate::IntoValue));
    let predicates = &mut borrowed.make_where_clause().predicates;
    predicates.push(parse_quote!(&'__databases #ident #type_generics: ::core::marker::Send));
    predicates.extend(bounds.collect::<Vec<WherePredicate>>());

    let owned = implement(&input, &owned, &quote!(#ident #type_generics), &quote!());
    let borrowed = implement(&input, &borrowed, &quote!(&'__databases #ident #type_generics), &quote!(&));
    Ok(quote!(#owned #borrowed))
}

/// The impl for the type `target`, with `reference` before each field that is passed.
fn implement(input: &Input, generics: &Generics, target: &TokenStream, reference: &TokenStream) -> TokenStream {
    let Input { krate, fields, .. } = input;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let len = fields.len();
    let pushes = fields.iter().map(|field| {
        let (ident, name) = (&field.ident, &field.name);
        // An error about the type of the field is shown there.
        let span = field.ty.span().resolved_at(Span::call_site());
        let value = quote_spanned!(span=> #reference self.#ident);
        quote!(#krate::Params::push(&mut __params, #name, #value);)
    });
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::IntoParams for #target #where_clause {
            fn into_params<'__params>(self) -> #krate::Params<'__params>
            where
                Self: '__params,
            {
                #[allow(unused_mut)]
                let mut __params = #krate::Params::with_capacity(#len);
                #(#pushes)*
                __params
            }
        }
    }
}

fn check_names(fields: &[Field]) -> Result<()> {
    let mut seen = HashSet::new();
    for Field { name, .. } in fields {
        if !seen.insert(name.value()) {
            let message = format!("the parameter `{}` is given twice", name.value());
            return Err(Error::new_spanned(name, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_passed_is_refused() {
        for (item, message) in [
            ("struct Pair(i64);", NEEDS),
            ("enum Either {}", NEEDS),
            ("struct S { a: i64, #[databases(rename = \"a\")] b: i64 }", "the parameter `a` is given twice"),
        ] {
            let item = item.parse().expect("the item is made of tokens");
            let error = expand(item).expect_err("the item is refused");
            assert_eq!(error.to_string(), message);
        }
    }
}
