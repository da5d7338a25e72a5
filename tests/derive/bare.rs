//! What the derives generate relies on nothing in scope: no prelude, and names that mean something else.
#![expect(non_camel_case_types, dead_code, reason = "names that the generated code must not trip over")]

#[no_implicit_prelude]
mod none {
    pub(super) struct str;
    pub(super) struct usize;
    pub(super) struct i16;
    pub(super) struct i128;
    pub(super) enum Option {}
    pub(super) enum Result {}
    pub(super) struct Some;
    pub(super) struct Ok;

    #[derive(::databases::FromRow, ::databases::Params)]
    pub(super) struct Note {
        pub(super) row: ::core::primitive::i64,
        #[databases(default)]
        pub(super) plan: Mood,
        #[databases(try_from = "::std::string::String", default = "::core::default::Default::default")]
        pub(super) text: ::std::string::String,
        #[databases(flatten)]
        pub(super) params: Inner,
        #[databases(skip)]
        pub(super) columns: ::core::primitive::bool,
    }

    #[derive(::databases::FromRow, ::databases::Params)]
    pub(super) struct Inner {
        pub(super) level: Level,
        pub(super) id: Id,
    }

    #[derive(::databases::FromRow)]
    pub(super) struct Pair(pub(super) Mood, #[databases(default)] pub(super) ::core::primitive::i64);

    #[derive(::core::clone::Clone, ::core::default::Default, ::databases::FromValue, ::databases::IntoValue)]
    pub(super) enum Mood {
        #[default]
        Sad,
        Text,
    }

    #[derive(::core::clone::Clone, ::databases::FromValue, ::databases::IntoValue)]
    #[databases(repr = "i16")]
    pub(super) enum Level {
        Low = 1,
    }

    #[derive(::core::clone::Clone, ::databases::FromValue, ::databases::IntoValue)]
    pub(super) struct Id(pub(super) ::core::primitive::i64);

    #[derive(::databases::FromValue, ::databases::IntoValue)]
    #[databases(composite)]
    pub(super) struct Composite {
        value: ::core::primitive::i64,
        vec: Mood,
    }
}

use crate::{memory, read};
use databases::Executor;

#[tokio::test]
async fn without_a_prelude() -> databases::Result<()> {
    let note: none::Note = read("SELECT 1 AS row, 'Text' AS plan, 1 AS level, 5 AS id").await?;
    assert!(matches!((&note.plan, &note.params.level, note.columns), (none::Mood::Text, none::Level::Low, false)));
    let sql = "SELECT (:row + :level + :id) || :plan || :text";
    assert_eq!(memory().await?.fetch_val::<String>(sql, &note).await?, "7Text");
    let none::Pair(mood, n) = read("SELECT 'Sad'").await?;
    assert!(matches!((mood, n), (none::Mood::Sad, 0)));
    Ok(())
}
