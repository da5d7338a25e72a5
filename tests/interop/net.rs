use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use databases::Result;

use super::{Column, assert_kept, refusals};

#[tokio::test]
async fn addresses_are_kept() -> Result<()> {
    let v6: Ipv6Addr = "2001:db8::ff".parse().expect("an address");
    for inet in ["inet", "cidr", "text"] {
        let column = Column::new(inet, "VARCHAR(43)", "TEXT");
        assert_kept(column, [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST]).await?;
        assert_kept(column, [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, v6]).await?;
        assert_kept(column, [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(v6)]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_network_is_no_address() -> Result<()> {
    for message in refusals::<IpAddr>(Column::new("inet", "VARCHAR(43)", "TEXT"), "'10.0.0.1/8'").await? {
        assert!(message.ends_with("a network cannot be read as IpAddr"), "{message}");
    }
    Ok(())
}
