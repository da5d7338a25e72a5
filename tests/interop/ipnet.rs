use databases::Result;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Column, assert_kept};

fn net<T: std::str::FromStr<Err = ipnet::AddrParseError>>(text: &str) -> T {
    text.parse().unwrap()
}

#[tokio::test]
async fn networks_are_kept() -> Result<()> {
    for inet in ["inet", "text"] {
        let column = Column::new(inet, "VARCHAR(43)", "TEXT");
        assert_kept(column, ["0.0.0.0/0", "10.1.2.3/8", "10.0.0.1/32"].map(net::<Ipv4Net>)).await?;
        assert_kept(column, ["::/0", "2001:db8::1/32", "::1/128"].map(net::<Ipv6Net>)).await?;
        assert_kept(column, ["10.1.2.3/8", "2001:db8::1/32"].map(net::<IpNet>)).await?;
    }
    assert_kept(Column::new("cidr", "VARCHAR(43)", "TEXT"), ["10.0.0.0/8", "2001:db8::/32"].map(net::<IpNet>)).await
}
