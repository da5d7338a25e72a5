//! What the derives generate, against a stand-in for the facade: this crate is built before the one it is used through.

use std::cell::Cell;
use std::marker::PhantomData;

use fake::__private::RowRef;
use fake::{FromRow as _, IntoParams as _, IntoValue};

/// The paths of `databases` that the generated code uses.
#[expect(unreachable_pub, reason = "as in what it stands for")]
mod fake {
    use std::cell::Cell;

    pub type Result<T> = std::result::Result<T, String>;

    pub struct Columns(pub Vec<&'static str>, pub Cell<usize>);

    impl Columns {
        pub fn index_of(&self, name: &str) -> Result<usize> {
            self.1.set(self.1.get() + 1);
            self.0.iter().position(|column| *column == name).ok_or(format!("no column `{name}`"))
        }
    }

    pub struct Row(pub Columns, pub Vec<&'static str>);

    impl Row {
        pub fn columns(&self) -> &Columns {
            &self.0
        }
    }

    pub trait FromValue: Sized + Send {
        fn from_value(value: &str) -> Result<Self>;
    }

    impl FromValue for String {
        fn from_value(value: &str) -> Result<Self> {
            Ok(value.to_owned())
        }
    }

    impl FromValue for i64 {
        fn from_value(value: &str) -> Result<Self> {
            value.parse().map_err(|_| format!("{value} is not an integer"))
        }
    }

    pub trait FromRow: Sized + Send {
        #[expect(dead_code, reason = "asked by those who have live rows")]
        const READS_LIVE: bool = false;
        fn from_row(row: &Row) -> Result<Self>;
        fn from_row_planned(row: __private::RowRef<'_>, _: &mut __private::Plan) -> Result<Self> {
            Self::from_row(row.0)
        }
    }

    pub mod __private {
        pub use super::Arg;

        #[derive(Clone, Copy)]
        pub struct RowRef<'a>(pub &'a super::Row);

        impl<'a> RowRef<'a> {
            pub fn kept(row: &'a super::Row) -> Self {
                Self(row)
            }
            pub fn columns(&self) -> &'a super::Columns {
                self.0.columns()
            }
            pub fn get_at<T: super::FromValue>(&self, index: usize) -> super::Result<T> {
                T::from_value(self.0.1[index])
            }
        }

        #[derive(Default)]
        pub struct Plan {
            pub indices: Vec<usize>,
            pub flattened: Vec<Plan>,
        }

        impl Plan {
            pub fn is_empty(&self) -> bool {
                self.indices.is_empty() && self.flattened.is_empty()
            }
            pub fn no_prefix<T: super::FromRow>(&self) -> super::Result<()> {
                Ok(())
            }
            pub fn positions(&self, columns: &super::Columns, names: &[&str]) -> super::Result<Vec<usize>> {
                names.iter().map(|name| columns.index_of(name)).collect()
            }
        }
    }

    pub trait IntoValue {
        fn into_value(self) -> String;
    }

    impl IntoValue for i64 {
        fn into_value(self) -> String {
            self.to_string()
        }
    }

    impl IntoValue for String {
        fn into_value(self) -> String {
            self
        }
    }

    impl IntoValue for &str {
        fn into_value(self) -> String {
            self.to_owned()
        }
    }

    impl<T: IntoValue + Clone> IntoValue for &T {
        fn into_value(self) -> String {
            self.clone().into_value()
        }
    }

    pub struct Arg(String);

    impl Arg {
        pub fn new(value: impl IntoValue) -> Self {
            Self(value.into_value())
        }
    }

    pub struct Params<'a>(pub Vec<(String, String)>, std::marker::PhantomData<&'a ()>);

    impl Params<'_> {
        pub fn of(names: &'static [&'static str], args: Vec<Arg>) -> Self {
            let pairs = names.iter().zip(args).map(|(name, arg)| ((*name).to_owned(), arg.0));
            Self(pairs.collect(), std::marker::PhantomData)
        }
    }

    pub trait IntoParams: Send {
        fn into_params<'p>(self) -> Params<'p>
        where
            Self: 'p;
    }
}

fn row(cells: &[(&'static str, &'static str)]) -> fake::Row {
    let (names, values) = cells.iter().copied().unzip();
    fake::Row(fake::Columns(names, Cell::new(0)), values)
}

fn pairs(params: fake::Params<'_>) -> Vec<String> {
    params.0.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

// Fields with the names of what the generated code handles; a mod without a prelude, so that paths are in full.
#[no_implicit_prelude]
mod bare {
    #[derive(::databases_macros::FromRow, ::databases_macros::Params, ::std::fmt::Debug)]
    #[databases(crate = "super::fake")]
    pub(super) struct Note {
        pub(super) row: i64,
        #[databases(rename = "text")]
        pub(super) params: ::std::string::String,
        pub(super) r#type: ::std::string::String,
    }
}

#[test]
fn fields_are_read_by_name_and_columns_are_looked_up_once() {
    let row = row(&[("type", "t"), ("other", "o"), ("row", "1"), ("text", "x")]);
    let mut plan = fake::__private::Plan::default();
    for _ in 0..3 {
        let note = bare::Note::from_row_planned(RowRef(&row), &mut plan).unwrap();
        assert_eq!((note.row, &*note.params, &*note.r#type), (1, "x", "t"));
    }
    assert_eq!((plan.indices, row.columns().1.get()), (vec![2, 3, 0], 3));
    assert_eq!(bare::Note::from_row(&row).unwrap().row, 1);
    let mut other = fake::__private::Plan { indices: vec![0], flattened: vec![] };
    assert_eq!(bare::Note::from_row_planned(RowRef(&row), &mut other).unwrap().row, 1);
}

#[test]
fn a_missing_column_is_an_error_and_leaves_no_plan() {
    let (row, mut plan) = (row(&[("row", "1"), ("text", "x")]), fake::__private::Plan::default());
    assert_eq!(bare::Note::from_row(&row).unwrap_err(), "no column `type`");
    assert_eq!(bare::Note::from_row_planned(RowRef(&row), &mut plan).unwrap_err(), "no column `type`");
    assert!(plan.is_empty());
}

#[test]
fn a_struct_is_passed_by_value_and_by_reference() {
    let note = bare::Note { row: 1, params: "x".to_owned(), r#type: "t".to_owned() };
    assert_eq!(pairs((&note).into_params()), ["row=1", "text=x", "type=t"]);
    assert_eq!(pairs(note.into_params()), ["row=1", "text=x", "type=t"]);
}

#[derive(databases_macros::FromRow, databases_macros::Params)]
#[databases(crate = "crate::fake")]
struct Wide<T: Clone, U = i64, const N: usize = 1>
where
    U: Clone,
{
    first: T,
    second: U,
    third: Tag<N>,
}

#[derive(Clone)]
struct Tag<const N: usize>(String);

impl<const N: usize> fake::FromValue for Tag<N> {
    fn from_value(value: &str) -> fake::Result<Self> {
        Ok(Self(format!("{value}{N}")))
    }
}

impl<const N: usize> IntoValue for Tag<N> {
    fn into_value(self) -> String {
        self.0
    }
}

#[derive(databases_macros::Params)]
#[databases(crate = "fake")]
struct Borrowed<'p, 'q, T> {
    name: &'p str,
    other: &'q str,
    any: &'p T,
}

#[test]
fn generics_and_lifetimes_are_kept() {
    let row = row(&[("first", "a"), ("second", "2"), ("third", "c")]);
    let wide = Wide::<String>::from_row(&row).unwrap();
    assert_eq!(pairs((&wide).into_params()), ["first=a", "second=2", "third=c1"]);
    assert_eq!(pairs(wide.into_params()), ["first=a", "second=2", "third=c1"]);

    let (name, number) = (String::from("n"), 1_i64);
    let borrowed = Borrowed { name: &name, other: "o", any: &number };
    assert_eq!(pairs((&borrowed).into_params()), ["name=n", "other=o", "any=1"]);
    assert_eq!(pairs(borrowed.into_params()), ["name=n", "other=o", "any=1"]);
}

/// Neither `Clone` nor `Sync`.
struct Once(i64, PhantomData<Cell<()>>);

impl IntoValue for Once {
    fn into_value(self) -> String {
        self.0.to_string()
    }
}

#[derive(databases_macros::Params)]
#[databases(crate = "fake")]
struct Moved {
    once: Once,
}

#[derive(databases_macros::FromRow, databases_macros::Params)]
#[databases(crate = "fake")]
struct Empty {}

#[test]
fn a_struct_that_cannot_be_cloned_is_passed_by_value() {
    assert_eq!(pairs(Moved { once: Once(1, PhantomData) }.into_params()), ["once=1"]);
}

#[test]
fn a_struct_without_fields_reads_every_row_and_passes_nothing() {
    let empty = Empty::from_row(&row(&[("a", "1")])).unwrap();
    assert!(pairs(empty.into_params()).is_empty());
}
