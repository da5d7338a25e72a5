use std::collections::BTreeMap;

use databases::Result;
use databases_core::Json;
use serde_json::{Value, json};

use super::{Column, assert_kept, assert_refused, refusals};

#[tokio::test]
async fn values_are_kept() -> Result<()> {
    let values = [
        json!(null),
        json!(true),
        json!(-5),
        json!(1.5),
        json!("text"),
        json!({ "a": [1, 2.5, "\u{1f600}", null], "b": {} }),
    ];
    assert_kept(Column::new("jsonb", "JSON", "JSON"), values.clone()).await?;
    assert_kept(Column::new("json", "LONGTEXT", "TEXT"), values).await?;
    assert_kept(Column::new("json", "JSON", "TEXT"), [json!(u64::MAX), json!(i64::MIN), json!(0.1 + 0.2)]).await
}

#[tokio::test]
async fn wrapped_values_are_kept() -> Result<()> {
    let column = Column::new("jsonb", "JSON", "JSON");
    assert_kept(column, [Json(vec![1, 2, 3]), Json(vec![])]).await?;
    // JSON's null within is not SQL's NULL around.
    assert_kept(column, [Json(Some("a".to_owned())), Json(None)]).await?;
    assert_kept(column, [Json(BTreeMap::from([("key".to_owned(), 1.5)]))]).await
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_that_names_the_class() -> Result<()> {
    let column = Column::new("json", "LONGTEXT", "TEXT");
    for message in refusals::<Value>(column, "'[0.1234567890123456789]'").await? {
        assert!(message.contains("`value`") && message.contains("rounded as a double"), "{message}");
    }
    for message in refusals::<Json<u8>>(column, "'\"hunter2\"'").await? {
        assert!(message.ends_with("json of another shape cannot be read as u8"), "{message}");
    }
    assert_refused(Json(BTreeMap::from([((1, 2), 3)]))).await
}
