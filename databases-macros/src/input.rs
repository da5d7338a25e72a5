//! What `FromRow` and `Params` read: the struct, and of each field what it stands for. Generates no code.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::Parse;
use syn::spanned::Spanned;
use syn::{
    Data, DataStruct, DeriveInput, Error, ExprPath, Fields, GenericArgument, Generics, Ident, Index, LitStr, Member,
    Path, PathArguments, Result, Type, parse_quote,
};

use crate::case::Style;
use crate::keys::{self, Keys};

/// A struct.
pub(crate) struct Input {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    /// Where the generated code finds `databases`.
    pub(crate) krate: Path,
    /// Whether the fields have no names, so that positions count.
    pub(crate) is_tuple: bool,
    pub(crate) fields: Vec<Field>,
}

/// One field.
pub(crate) struct Field {
    pub(crate) member: Member,
    pub(crate) ty: Type,
    pub(crate) role: Role,
    /// Whether the types mention a type or const parameter of the struct, so that bounds are needed.
    pub(crate) is_generic: bool,
}

/// What a field stands for.
#[expect(clippy::large_enum_variant, reason = "one per field, and gone when the macro returns")]
pub(crate) enum Role {
    /// One column, one parameter.
    Column(Column),
    /// Those of another struct, their names behind this prefix.
    Flatten(Option<LitStr>),
    /// Nothing; filled by the function at this path, or by default.
    Skip(Option<ExprPath>),
}

/// A column and parameter.
pub(crate) struct Column {
    /// Its name; in a tuple struct of no use.
    pub(crate) name: LitStr,
    /// What stands in for a column that is not there: the function at this path, or the type's default.
    pub(crate) default: Option<Option<ExprPath>>,
    pub(crate) form: Form,
}

/// What the cell is read as.
#[expect(clippy::large_enum_variant, reason = "one per field, and gone when the macro returns")]
pub(crate) enum Form {
    /// The field's type.
    Plain,
    /// `Json` of the field's type.
    Json,
    /// This type, which is then converted.
    TryFrom(Type),
}

impl Input {
    /// Parses the item; `needs` is the error for an item that is not a struct with fields of the right sort.
    pub(crate) fn parse(item: TokenStream, needs: &str, takes_tuples: bool) -> Result<Self> {
        let item: DeriveInput = syn::parse2(item)?;
        let (ident, generics) = (item.ident, item.generics);
        let (fields, is_tuple) = match item.data {
            Data::Struct(DataStruct { fields: Fields::Named(fields), .. }) => (fields.named, false),
            Data::Struct(DataStruct { fields: Fields::Unnamed(fields), .. }) if takes_tuples => (fields.unnamed, true),
            _ => return Err(Error::new_spanned(ident, needs)),
        };
        let mut keys = Keys::parse(&keys::STRUCT, &item.attrs)?;
        let krate = krate(&mut keys)?;
        let rename_all = keys.take("rename_all");
        if let Some(given) = rename_all.as_ref().filter(|_| is_tuple) {
            return Err(given.error(by_position("rename_all")));
        }
        let style = rename_all.and_then(keys::Given::text).as_ref().map(Style::parse).transpose()?;
        let fields = fields.into_iter().enumerate();
        let fields = fields.map(|(index, field)| Field::new(index, field, &generics, style)).collect::<Result<_>>()?;
        Ok(Self { ident, generics, krate, is_tuple, fields })
    }

    /// The columns in order, each with its field.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&Field, &Column)> {
        self.fields.iter().filter_map(|field| match &field.role {
            Role::Column(column) => Some((field, column)),
            Role::Flatten(_) | Role::Skip(_) => None,
        })
    }
}

impl Field {
    fn new(index: usize, field: syn::Field, generics: &Generics, style: Option<Style>) -> Result<Self> {
        let mut keys = Keys::parse(&keys::FIELD, &field.attrs)?;
        let (member, own_name) = match field.ident {
            Some(ident) => {
                let name = ident.unraw().to_string();
                let name = style.map_or(name.clone(), |style| style.apply(&name));
                let name = LitStr::new(&name, ident.span());
                (Member::Named(ident), name)
            }
            None => {
                for key in ["rename", "flatten", "prefix"] {
                    if let Some(given) = keys.take(key) {
                        return Err(given.error(by_position(key)));
                    }
                }
                let index = Index::from(index);
                let name = LitStr::new(&index.index.to_string(), index.span);
                (Member::Unnamed(index), name)
            }
        };
        let role = Role::parse(&mut keys, own_name)?;
        let also = match &role {
            Role::Column(Column { form: Form::TryFrom(from), .. }) => from.to_token_stream(),
            _ => TokenStream::new(),
        };
        let is_generic = mentions_param(generics, field.ty.to_token_stream()) || mentions_param(generics, also);
        Ok(Self { member, ty: field.ty, role, is_generic })
    }

    /// Whether the type mentions a lifetime.
    pub(crate) fn has_lifetime(&self) -> bool {
        let is_tick = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '\'');
        any_token(self.ty.to_token_stream(), &is_tick)
    }
}

impl Role {
    fn parse(keys: &mut Keys, own_name: LitStr) -> Result<Self> {
        let default = keys.take("default");
        let is_skipped = keys.take("skip").is_some();
        let prefix = keys.take("prefix");
        if keys.take("flatten").is_some() {
            return Ok(Self::Flatten(prefix.and_then(keys::Given::text)));
        }
        if let Some(prefix) = prefix {
            return Err(prefix.error("`prefix` goes with `flatten`; a single column is named by `rename`"));
        }
        let path = |given: keys::Given| -> Result<Option<ExprPath>> {
            let what = "the path of a function without parameters, such as `Role::guest`";
            given.text().map(|text| parsed(&text, what)).transpose()
        };
        if is_skipped {
            return Ok(Self::Skip(default.map(path).transpose()?.flatten()));
        }
        let form = match keys.take_text("try_from") {
            Some(text) => Form::TryFrom(parsed(&text, "a type, such as `i64`")?),
            None if keys.take("json").is_some() => Form::Json,
            None => Form::Plain,
        };
        let name = keys.take_text("rename").unwrap_or(own_name);
        Ok(Self::Column(Column { name, default: default.map(path).transpose()?, form }))
    }
}

/// Where `crate = "path"` says that `databases` is found.
pub(crate) fn krate(keys: &mut Keys) -> Result<Path> {
    match keys.take_text("crate") {
        Some(path) => path
            .parse_with(Path::parse_mod_style)
            .map_err(|_| Error::new_spanned(path, "this is not the path of a crate or module, such as `crate::db`")),
        None => Ok(parse_quote!(::databases)),
    }
}

/// Parses the text as what `what` describes.
fn parsed<T: Parse>(text: &LitStr, what: &str) -> Result<T> {
    text.parse().map_err(|_| Error::new_spanned(text, format!("this is not {what}")))
}

fn by_position(key: &str) -> String {
    format!("a field of a tuple struct is read by its position, so `{key}` has no meaning; give the fields names")
}

/// Whether the type mentions a type or const parameter.
pub(crate) fn mentions_param(generics: &Generics, ty: TokenStream) -> bool {
    let is_parameter = |token: &TokenTree| {
        let mut types = generics.type_params().map(|param| &param.ident);
        let mut consts = generics.const_params().map(|param| &param.ident);
        let TokenTree::Ident(ident) = token else {
            return false;
        };
        types.any(|param| param == ident) || consts.any(|param| param == ident)
    };
    any_token(ty, &is_parameter)
}

/// The wrapper of the field's type that is JSON in the database. Without the feature it is not there, which is shown at
/// the field.
pub(crate) fn json(krate: &Path, ty: &Type) -> TokenStream {
    quote_spanned!(ty.span().resolved_at(Span::call_site())=> #krate::Json)
}

/// The `T` of a type that is written `Option<T>`.
pub(crate) fn inside_option(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => Some(inner),
        _ => None,
    }
}

fn any_token(tokens: TokenStream, test: &impl Fn(&TokenTree) -> bool) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => any_token(group.stream(), test),
        token => test(&token),
    })
}
