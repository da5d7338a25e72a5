use databases::Result;
use uuid::Uuid;

use super::{Column, assert_kept};

#[tokio::test]
async fn values_are_kept() -> Result<()> {
    let values = [Uuid::nil(), Uuid::max(), Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8)];
    assert_kept(Column::new("uuid", "CHAR(36)", "UUID"), values).await?;
    assert_kept(Column::new("text", "VARCHAR(36)", "TEXT"), values).await
}
