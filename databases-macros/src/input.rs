//! What both derives read: the struct, its fields with their names, and `#[databases(...)]`. Generates no code.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::{
    Attribute, Data, DataStruct, DeriveInput, Error, Fields, Generics, Ident, LitStr, Path, Result, Type, parse_quote,
};

/// The key that is not known is named before this.
const KNOWN_KEYS: &str = "`#[databases(...)]` takes `crate = \"path\"` on a struct and `rename = \"name\"` on a field";

/// A struct with named fields.
pub(crate) struct Input {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    /// Where the generated code finds `databases`.
    pub(crate) krate: Path,
    pub(crate) fields: Vec<Field>,
}

/// One field.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    /// The name of the column and of the parameter.
    pub(crate) name: LitStr,
    /// Whether the type mentions a type or const parameter of the struct, so that a bound is needed.
    pub(crate) is_generic: bool,
}

impl Input {
    /// Parses the item; `needs` is the error for an item that is not a struct with named fields.
    pub(crate) fn parse(item: TokenStream, needs: &str) -> Result<Self> {
        let item: DeriveInput = syn::parse2(item)?;
        let (ident, generics) = (item.ident, item.generics);
        let fields = match item.data {
            Data::Struct(DataStruct { fields: Fields::Named(fields), .. }) => fields.named,
            _ => return Err(Error::new_spanned(ident, needs)),
        };
        let keys = Keys::parse(On::Struct, &item.attrs)?;
        let krate = keys.krate.unwrap_or_else(|| parse_quote!(::databases));
        let fields = fields.into_iter().map(|field| Field::new(field, &generics));
        let fields = fields.collect::<Result<_>>()?;
        Ok(Self { ident, generics, krate, fields })
    }

    /// The fields whose types need a bound.
    pub(crate) fn generic_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.is_generic)
    }
}

impl Field {
    fn new(field: syn::Field, generics: &Generics) -> Result<Self> {
        let rename = Keys::parse(On::Field, &field.attrs)?.rename;
        let ident = field.ident.expect("fields of this struct are named");
        let name = rename.unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span()));
        let is_parameter = |token: &TokenTree| {
            let mut types = generics.type_params().map(|param| &param.ident);
            let mut consts = generics.const_params().map(|param| &param.ident);
            let TokenTree::Ident(ident) = token else {
                return false;
            };
            types.any(|param| param == ident) || consts.any(|param| param == ident)
        };
        let is_generic = any_token(field.ty.to_token_stream(), &is_parameter);
        Ok(Self { ident, ty: field.ty, name, is_generic })
    }

    /// Whether the type mentions a lifetime.
    pub(crate) fn has_lifetime(&self) -> bool {
        let is_tick = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '\'');
        any_token(self.ty.to_token_stream(), &is_tick)
    }
}

fn any_token(tokens: TokenStream, test: &impl Fn(&TokenTree) -> bool) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => any_token(group.stream(), test),
        token => test(&token),
    })
}

/// The keys of `#[databases(...)]` on the struct or on one field.
#[derive(Default)]
struct Keys {
    krate: Option<Path>,
    rename: Option<LitStr>,
}

#[derive(Clone, Copy)]
enum On {
    Struct,
    Field,
}

impl Keys {
    fn parse(on: On, attrs: &[Attribute]) -> Result<Self> {
        let mut keys = Self::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("databases")) {
            attr.parse_nested_meta(|meta| {
                let key = meta.path.to_token_stream().to_string().replace(' ', "");
                match (on, &*key) {
                    (On::Struct, "crate") => {
                        let path = text(&meta)?.parse_with(Path::parse_mod_style)?;
                        set(&mut keys.krate, path, &meta, &key)
                    }
                    (On::Field, "rename") => set(&mut keys.rename, text(&meta)?, &meta, &key),
                    _ => Err(meta.error(format_args!("unknown key `{key}`; {KNOWN_KEYS}"))),
                }
            })?;
        }
        Ok(keys)
    }
}

/// Reads `= "..."`.
fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let text: LitStr = meta.value()?.parse()?;
    if text.value().is_empty() {
        return Err(Error::new_spanned(text, "this text may not be empty"));
    }
    Ok(text)
}

fn set<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>, key: &str) -> Result<()> {
    match slot.replace(value) {
        Some(_) => Err(meta.error(format_args!("`{key}` is given twice"))),
        None => Ok(()),
    }
}
