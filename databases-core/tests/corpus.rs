//! Every case of `corpus/named_params.json`, through the same code as the `rewrite` example.

#[expect(dead_code, reason = "the example's own main and reading of lines")]
#[path = "../examples/rewrite.rs"]
mod rewrite;

use serde_json::{Value, json};

const CORPUS: &str = include_str!("corpus/named_params.json");

fn check(case: &Value) -> Result<(), String> {
    let answer = rewrite::answer(case)?;
    let expect = |field: &str, found: &Value, wanted: &Value| {
        if found == wanted { Ok(()) } else { Err(format!("{field}: found {found}, expected {wanted}\n  {answer}")) }
    };
    if case["error"].is_null() {
        expect("sql", &answer["sql"], &case["expect_sql"])?;
        return expect("args", &answer["args"], &case["expect_args"]);
    }
    let error = &answer["error"];
    expect("kind", &error["kind"], &case["error"])?;
    // An absent field means: this error has none.
    expect("at", &error["at"], &case["error_at"])?;
    expect("line_col", &error["line_col"], &case["error_line_col"])?;
    match &case["error_names"] {
        Value::Null => expect("names", &error["names"], &json!([])),
        names => expect("names", &error["names"], names),
    }
}

#[test]
fn every_case_holds() -> Result<(), serde_json::Error> {
    let cases: Vec<Value> = serde_json::from_str(CORPUS)?;
    let failures: Vec<String> =
        cases.iter().filter_map(|case| check(case).err().map(|why| format!("{}: {why}", case["id"]))).collect();
    println!("corpus: {} cases, {} failed", cases.len(), failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(cases.len(), 84);
    Ok(())
}

#[test]
fn bad_input_is_answered() {
    for line in [
        &b""[..],
        b"\xff",
        b"[]",
        b"{}",
        b"{\"sql\":1}",
        br#"{"sql":"","dialect":"oracle"}"#,
        br#"{"sql":"","dialect":"mysql","values":[]}"#,
        br#"{"sql":"","dialect":"mysql","options":1}"#,
        br#"{"sql":"","dialect":"mysql","options":{"ansi_quotes":1}}"#,
        br#"{"sql":"","dialect":"mysql","options":{"nonsense":true}}"#,
        br#"{"sql":":a","dialect":"mysql","values":{"a":{"$range":[0,-1]}}}"#,
        br#"{"sql":":a","dialect":"mysql","values":{"a":{"$array":1}}}"#,
    ] {
        assert_eq!(rewrite::answer_line(line)["error"]["kind"], "input", "{}", String::from_utf8_lossy(line));
    }
}
