//! Feature `ipnet`: networks of the [`ipnet`](::ipnet) crate as text, which PostgreSQL takes for its `inet` and `cidr`.
//!
//! The bits behind the prefix are kept, as `inet` keeps them; `cidr` refuses them. An address without a prefix is the
//! network of that address alone, which is what it is in PostgreSQL.

use std::net::IpAddr;

use ::ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{convert::ConversionError, net::Prefixed};
use crate::error::Result;
use crate::misfit::unparsable;
use crate::value::{FromValue, ValueRef};

impl FromValue for IpNet {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        let Prefixed { address, bits } = Prefixed::read::<Self>(&value)?;
        Self::new(address, bits).map_err(|_| unparsable::<Self>(&value))
    }
}

impl FromValue for Ipv4Net {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match Prefixed::read::<Self>(&value)? {
            Prefixed { address: IpAddr::V4(address), bits } => {
                Self::new(address, bits).map_err(|_| unparsable::<Self>(&value))
            }
            Prefixed { .. } => Err(ConversionError::new("an IPv6 network", "ipnet::Ipv4Net").into()),
        }
    }
}

impl FromValue for Ipv6Net {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match Prefixed::read::<Self>(&value)? {
            Prefixed { address: IpAddr::V6(address), bits } => {
                Self::new(address, bits).map_err(|_| unparsable::<Self>(&value))
            }
            Prefixed { .. } => Err(ConversionError::new("an IPv4 network", "ipnet::Ipv6Net").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::convert::testing::{back, refusal};
    use super::*;
    use crate::{IntoValue, Value, ValueKind};

    #[test]
    fn text_is_read() {
        for text in ["0.0.0.0/0", "10.1.2.3/8", "10.0.0.1/32", "::/0", "2001:db8::1/32", "::1/128"] {
            let network: IpNet = text.parse().unwrap();
            assert_eq!(back(network), network);
        }
        assert_eq!(IpNet::from_value(ValueRef::Text("10.0.0.1")).unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(refusal::<Ipv4Net>(ValueRef::Text("::/0")), "an IPv6 network cannot be read as ipnet::Ipv4Net");
        assert_eq!(refusal::<Ipv6Net>(ValueRef::Text("1.2.3.4")), "an IPv4 network cannot be read as ipnet::Ipv6Net");
        assert_eq!(refusal::<IpNet>(ValueRef::Text("x")), "this text does not have the form of IpNet");
        assert_eq!(<IpNet as IntoValue>::KIND, ValueKind::Text);
        assert_eq!(None::<Ipv4Net>.into_value(), Value::Null);
    }

    proptest! {
        #[test]
        fn every_network_round_trips(v4: [u8; 4], v6: [u8; 16], short in 0_u8..=32, long in 0_u8..=128) {
            let (v4, v6) = (Ipv4Net::new(v4.into(), short).unwrap(), Ipv6Net::new(v6.into(), long).unwrap());
            prop_assert_eq!(back(v4), v4);
            prop_assert_eq!(back(v6), v6);
            prop_assert_eq!(back(IpNet::from(v4)), IpNet::from(v4));
        }
    }
}
