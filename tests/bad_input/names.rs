//! Names of parameters: those that no text can have, those that only look alike, and too many of them.

use databases::{ErrorKind, Executor, Params, Value, params, sql};

use crate::{SECRET, Trial, backend_of, open, places};

const NAMES: &[&str] = &[
    "",
    " ",
    "a ",
    " a",
    "a b",
    ":a",
    "::a",
    "@a",
    "$1",
    "?1",
    "1",
    "1a",
    "a-b",
    "a.b",
    "a'b",
    "a\"b",
    "a`b",
    "a;b",
    "a--b",
    "a/*b*/",
    "a\0",
    "\0",
    "a\nb",
    "A",
    "É",
    "é",
    "e\u{301}",
    "а",
    "ａ",
    "a\u{200b}",
    "\u{202e}a",
    "\u{1F511}",
    "_databases_0",
    "_databases_sp_1",
    "_",
    "__",
    "a); DROP TABLE notes; --",
    "%s",
    "{a}",
    "\\:a",
];

#[tokio::test]
async fn names_that_do_not_fit_the_text_are_refused() {
    let mut trial = Trial::new("names");
    for place in places() {
        let backend = backend_of(&place);
        let db = open(&place).await;
        for name in NAMES {
            let given = Params::new().with(*name, SECRET);
            let alone = db.fetch_all::<(Value,)>("SELECT :a", given.clone());
            let kind = trial.on(&db, backend, name, alone).await;
            assert_eq!(kind, Some(ErrorKind::Parameters), "{name}");
            let beside = db.fetch_all::<(Value,)>("SELECT :a", given.clone().with("a", SECRET));
            let kind = trial.on(&db, backend, name, beside).await;
            assert_eq!(kind, Some(ErrorKind::Parameters), "{name}");
            let unused = sql("SELECT :a").allow_unused();
            trial.on(&db, backend, name, db.fetch_all::<(Value,)>(unused, given.clone().with("a", SECRET))).await;
            // In the text it is a name, or something else that the server reads as it does.
            let text = format!("SELECT :{name}");
            trial.on(&db, backend, &text, db.fetch_all::<(Value,)>(&text, given.clone())).await;
            trial.on(&db, backend, &text, db.fetch_all::<(Value,)>(&text, ())).await;
            let bound = sql("SELECT :a").bind((*name).to_owned(), SECRET);
            trial.on(&db, backend, name, db.fetch_all::<(Value,)>(bound, ())).await;
        }
        let twice = Params::new().with("a", SECRET).with("a", SECRET);
        let kind = trial.on(&db, backend, "a name twice", db.fetch_all::<(Value,)>("SELECT :a", twice)).await;
        assert_eq!(kind, Some(ErrorKind::Parameters));
        let doubly = sql("SELECT :a").bind("a", SECRET);
        let kind = trial
            .on(&db, backend, "a name in both places", db.fetch_all::<(Value,)>(doubly, params! { a: SECRET }))
            .await;
        assert_eq!(kind, Some(ErrorKind::Parameters));

        let long = "n".repeat(1 << 20);
        let text = format!("SELECT :{long}");
        let given = Params::new().with(long.clone(), SECRET);
        trial.on(&db, backend, "a name of a MiB", db.fetch_all::<(Value,)>(&text, given)).await;
        let wrong = db.fetch_all::<(Value,)>(&text, params! { a: SECRET });
        assert_eq!(trial.on(&db, backend, "a name of a MiB", wrong).await, Some(ErrorKind::Parameters));

        let many: Vec<(String, i64)> = (0..70_000).map(|n| (format!("p{n}"), n)).collect();
        let kind = trial.on(&db, backend, "70,000 unused", db.fetch_all::<(Value,)>("SELECT 1", many.clone())).await;
        assert_eq!(kind, Some(ErrorKind::Parameters));
        let list: Vec<String> = many.iter().map(|(name, _)| format!(":{name}")).collect();
        let text = format!("SELECT {}", list.join(" + "));
        let kind = trial.on(&db, backend, "70,000 used", db.fetch_all::<(Value,)>(&text, many)).await;
        assert_eq!(kind, Some(ErrorKind::LimitExceeded));
        db.close().await.unwrap();
    }
    trial.report(200);
}
