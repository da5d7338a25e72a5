use bigdecimal::BigDecimal;
use databases::Result;

use super::{Column, assert_kept, assert_refused, refusals};

fn big(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

#[tokio::test]
async fn values_are_kept() -> Result<()> {
    let decimal = Column::new("numeric(30, 4)", "DECIMAL(30, 4)", "DECIMAL");
    assert_kept(decimal, ["0", "1.50", "-1.5", "123456789.1234", "15e3"].map(big)).await?;
    let digits = "12345678901234567890123456789012345.678901234567890123456789012345";
    assert_kept(Column { sqlite: None, ..Column::new("numeric", "DECIMAL(65, 30)", "") }, [big(digits)]).await?;
    let postgres = Column { postgres: Some("numeric"), mysql: None, sqlite: None };
    assert_kept(postgres, ["1e131071", "1e-16383"].map(big)).await
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_that_names_the_class() -> Result<()> {
    let numeric = Column { postgres: Some("numeric"), mysql: None, sqlite: None };
    for message in refusals::<BigDecimal>(numeric, "'NaN'").await? {
        assert!(message.ends_with("NaN cannot be read as bigdecimal::BigDecimal"), "{message}");
    }
    assert_refused(big("1e131072")).await
}
