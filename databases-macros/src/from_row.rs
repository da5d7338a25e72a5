//! `derive(FromRow)`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Result, parse_quote};

use crate::input::{Field, Input};

const NEEDS: &str = "derive(FromRow) needs a struct with named fields; read tuples as `(A, B)`";

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let mut input = Input::parse(item, NEEDS)?;
    let krate = &input.krate;
    let bounds: Vec<syn::WherePredicate> =
        input.generic_fields().map(|Field { ty, .. }| parse_quote!(#ty: #krate::FromValue)).collect();
    input.generics.make_where_clause().predicates.extend(bounds);

    let Input { ident, generics, krate, fields } = &input;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let fields_by_name = fields.iter().map(|field| {
        let Field { ident, ty, name, .. } = field;
        quote!(#ident: #krate::Row::get_at::<#ty>(__row, __row.columns().index_of(#name)?)?)
    });
    // Without fields there is nothing to plan.
    let planned = (!fields.is_empty()).then(|| planned(&input));
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::FromRow for #ident #type_generics #where_clause {
            fn from_row(__row: &#krate::Row) -> #krate::Result<Self> {
                ::core::result::Result::Ok(Self { #(#fields_by_name,)* })
            }
            #planned
        }
    })
}

fn planned(Input { krate, fields, .. }: &Input) -> TokenStream {
    let index: Vec<_> = (0..fields.len()).map(|index| format_ident!("__index_{index}")).collect();
    let names = fields.iter().map(|field| &field.name);
    let idents = fields.iter().map(|field| &field.ident);
    let types = fields.iter().map(|field| &field.ty);
    // The plan is replaced only once every column is found, and one slice pattern checks its length for all fields: a
    // plan of another length is not ours, and the names decide.
    quote! {
        fn from_row_planned(__row: &#krate::Row, __plan: &mut #krate::__private::Plan) -> #krate::Result<Self> {
            if __plan.0.is_empty() {
                let __columns = __row.columns();
                __plan.0 = ::std::vec![#(__columns.index_of(#names)?),*];
            }
            let [#(#index),*] = __plan.0[..] else {
                return <Self as #krate::FromRow>::from_row(__row);
            };
            ::core::result::Result::Ok(Self { #(#idents: #krate::Row::get_at::<#types>(__row, #index)?,)* })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(item: &str) -> String {
        let item = item.parse().expect("the item is made of tokens");
        expand(item).expect_err("the item is refused").to_string()
    }

    #[test]
    fn items_without_named_fields_are_refused() {
        for item in
            ["struct Pair(i64, String);", "struct Unit;", "enum Either { A { id: i64 } }", "union Bits { id: i64 }"]
        {
            assert_eq!(error(item), "derive(FromRow) needs a struct with named fields; read tuples as `(A, B)`");
        }
    }

    #[test]
    fn an_attribute_that_is_not_known_is_refused_with_those_that_are() {
        let known = "`#[databases(...)]` takes `crate = \"path\"` on a struct and `rename = \"name\"` on a field";
        for (item, key) in [
            ("struct S { #[databases(renamed = \"b\")] a: i64 }", "renamed"),
            ("struct S { #[databases(crate = \"b\")] a: i64 }", "crate"),
            ("#[databases(rename = \"b\")] struct S { a: i64 }", "rename"),
            ("struct S { #[databases(a::b)] a: i64 }", "a::b"),
        ] {
            assert_eq!(error(item), format!("unknown key `{key}`; {known}"));
        }
    }

    #[test]
    fn an_attribute_that_is_malformed_is_refused() {
        for (attribute, message) in [
            (r#"rename = "b", rename = "c""#, "`rename` is given twice"),
            (r#"rename = """#, "this text may not be empty"),
            ("rename = b", "expected string literal"),
            ("rename", "expected `=`"),
        ] {
            let item = format!("struct S {{ #[databases({attribute})] a: i64 }}");
            assert_eq!(error(&item), message);
        }
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
}
