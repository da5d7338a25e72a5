use databases::{Executor, Result, params};
use jiff::{Span, Timestamp, civil};

use super::{Column, DATE, DATETIME, TIME, TIMESTAMP, assert_kept, assert_refused, refusals};

#[tokio::test]
async fn values_are_kept() -> Result<()> {
    let last = civil::time(23, 59, 59, 999_999_000);
    let days = [civil::date(1000, 1, 1), civil::date(2024, 2, 29), civil::date(9999, 12, 31)];
    assert_kept(DATE, days).await?;
    assert_kept(TIME, [civil::Time::midnight(), last]).await?;
    assert_kept(DATETIME, days.map(|day| day.to_datetime(last))).await?;
    let instants = [86_400_000_001, 1_700_000_000_123_456, 2_145_916_799_999_999];
    assert_kept(TIMESTAMP, instants.map(|micros| Timestamp::from_microsecond(micros).unwrap())).await
}

#[tokio::test]
async fn spans_are_kept_where_there_are_intervals() -> Result<()> {
    let span = Span::new().months(14).days(-3 + 6).microseconds(4_500_000);
    for (backend, db) in super::connections().await? {
        // MySQL has no such type.
        let Some(column) = Column { postgres: Some("interval"), mysql: None, sqlite: Some("TEXT") }.on(backend) else {
            continue;
        };
        db.execute(format!("CREATE TEMPORARY TABLE spans (id INTEGER, value {column})"), ()).await?;
        for (id, value) in [(0, Some(span)), (1, Some(-span)), (2, None)] {
            db.execute("INSERT INTO spans VALUES (:id, :value)", params! { id, value }).await?;
        }
        let read: Vec<(Option<Span>,)> = db.fetch_all("SELECT value FROM spans ORDER BY id", ()).await?;
        let read: Vec<_> = read.into_iter().map(|(value,)| value.map(Span::fieldwise)).collect();
        assert_eq!(read, [Some(span.fieldwise()), Some((-span).fieldwise()), None]);
        db.execute("DROP TABLE spans", ()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_that_names_the_class() -> Result<()> {
    for message in refusals::<civil::Time>(TIME, "'24:00:00'").await? {
        assert!(message.ends_with("a time of 24:00 cannot be read as jiff::civil::Time"), "{message}");
    }
    let interval = Column { postgres: Some("interval"), mysql: None, sqlite: Some("TEXT") };
    for message in refusals::<Span>(interval, "'P1M-1D'").await? {
        assert!(message.ends_with("an interval of parts with different signs cannot be read as jiff::Span"));
    }
    assert_refused(civil::date(-5000, 1, 1)).await
}
