use databases::Result;
use rust_decimal::Decimal;

use super::{Column, assert_kept, refusals};

#[tokio::test]
async fn values_are_kept() -> Result<()> {
    let short = ["0", "1.50", "-1.5", "0.0001", "123456789.1234", "9223372036854775807"];
    let decimal = Column::new("numeric(30, 4)", "DECIMAL(30, 4)", "DECIMAL");
    assert_kept(decimal, short.map(|text| text.parse::<Decimal>().unwrap())).await?;
    let wide = Column { sqlite: None, ..Column::new("numeric", "DECIMAL(65, 28)", "") };
    let small = Decimal::new(1, 28);
    assert_kept(wide, [Decimal::MAX, Decimal::MIN, small, -small]).await?;
    // 30 digits behind the point, which rust_decimal has no room for unless they are zeros.
    assert_kept(Column { sqlite: None, ..Column::new("numeric(65, 30)", "DECIMAL(65, 30)", "") }, [small]).await
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_that_names_the_class() -> Result<()> {
    let wide = Column { sqlite: None, ..Column::new("numeric", "DECIMAL(65, 30)", "") };
    for message in refusals::<Decimal>(wide, "123456789012345678901234567890.5").await? {
        assert!(message.ends_with("a decimal of too many digits cannot be read as rust_decimal::Decimal"), "{message}");
    }
    let numeric = Column { postgres: Some("numeric"), mysql: None, sqlite: None };
    for message in refusals::<Decimal>(numeric, "'NaN'").await? {
        assert!(message.ends_with("NaN cannot be read as rust_decimal::Decimal"), "{message}");
    }
    Ok(())
}
