//! The key `json`, with the feature `json`.

use databases::{Executor, FromRow, Params, Result};

use crate::{error, memory, read};

#[derive(Clone, Debug, PartialEq, FromRow, Params)]
struct Note<T> {
    #[databases(json)]
    tags: Vec<String>,
    #[databases(json, default)]
    any: Option<T>,
    #[databases(json, rename = "n")]
    number: T,
}

#[tokio::test]
async fn json_is_read_and_passed() -> Result<()> {
    let db = memory().await?;
    let sql = "SELECT :tags AS tags, :any AS any, :n AS n";
    for any in [None, Some(vec![1_u8, 2])] {
        let note = Note { tags: vec!["a".to_owned()], any, number: vec![3] };
        assert_eq!(db.fetch_one::<Note<Vec<u8>>>(sql, &note).await?, note);
        assert_eq!(db.fetch_one::<Note<Vec<u8>>>(sql, note.clone()).await?, note);
        let stored: (String, Option<String>, String) = db.fetch_one(sql, &note).await?;
        assert_eq!((&*stored.0, stored.1.is_some(), &*stored.2), (r#"["a"]"#, note.any.is_some(), "[3]"));
    }
    let bare: Note<u8> = read("SELECT '[]' AS tags, 3 AS n").await?;
    assert_eq!(bare, Note { tags: vec![], any: None, number: 3 });
    Ok(())
}

#[tokio::test]
async fn null_is_no_json() {
    let error = error::<Note<u8>>("SELECT NULL AS tags, 3 AS n").await;
    assert!(error.to_string().starts_with("column `tags`: NULL cannot be read as Json<"), "{error}");
}
