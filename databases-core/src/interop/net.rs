//! Addresses of [`std::net`] as text, which every backend has and PostgreSQL takes for its `inet`.
//!
//! A network is no address: only one that covers its whole address, `/32` or `/128`, is read as one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::convert::ConversionError;
use crate::error::Result;
use crate::misfit::{mismatch, unparsable};
use crate::value::{FromValue, IntoValue, Value, ValueKind, ValueRef};

/// An address and how many of its bits are the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefixed {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
}

impl Prefixed {
    /// Reads the text of a cell.
    pub(super) fn read<T>(value: &ValueRef<'_>) -> Result<Self> {
        let text = match value {
            ValueRef::Text(text) => Some(*text),
            // PostgreSQL's own types of addresses.
            ValueRef::Other { type_name, .. } if matches!(type_name.as_str(), "inet" | "cidr") => value.other_text(),
            _ => None,
        };
        let text = text.ok_or_else(|| mismatch::<T>(value))?;
        Self::from_text(text).ok_or_else(|| unparsable::<T>(value))
    }

    /// `address` or `address/bits`.
    fn from_text(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = address.parse().ok()?;
        let bits = match bits {
            // `parse` alone would take a sign.
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => width(address),
        };
        (bits <= width(address)).then_some(Self { address, bits })
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromValue for IpAddr {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        let Prefixed { address, bits } = Prefixed::read::<Self>(&value)?;
        if bits == width(address) { Ok(address) } else { Err(ConversionError::new("a network", "IpAddr").into()) }
    }
}

impl FromValue for Ipv4Addr {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match Prefixed::read::<Self>(&value)? {
            Prefixed { address: IpAddr::V4(address), bits: 32 } => Ok(address),
            Prefixed { address: IpAddr::V4(_), .. } => Err(ConversionError::new("a network", "Ipv4Addr").into()),
            Prefixed { .. } => Err(ConversionError::new("an IPv6 address", "Ipv4Addr").into()),
        }
    }
}

impl FromValue for Ipv6Addr {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        match Prefixed::read::<Self>(&value)? {
            Prefixed { address: IpAddr::V6(address), bits: 128 } => Ok(address),
            Prefixed { address: IpAddr::V6(_), .. } => Err(ConversionError::new("a network", "Ipv6Addr").into()),
            Prefixed { .. } => Err(ConversionError::new("an IPv4 address", "Ipv6Addr").into()),
        }
    }
}

macro_rules! written {
    ($($type:ty),*) => {$(
        impl IntoValue for $type {
            const KIND: ValueKind = ValueKind::Text;

            fn into_value(self) -> Value {
                Value::Text(self.to_string())
            }
        }
    )*};
}

written!(IpAddr, Ipv4Addr, Ipv6Addr);
#[cfg(feature = "ipnet")]
written!(::ipnet::IpNet, ::ipnet::Ipv4Net, ::ipnet::Ipv6Net);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::convert::testing::{back, refusal};
    use super::*;

    #[test]
    fn text_is_read() {
        for text in ["0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::ff", "::ffff:1.2.3.4"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(back(address), address);
            assert_eq!(IpAddr::from_value(ValueRef::Text(&format!("{text}/{}", width(address)))).unwrap(), address);
        }
        assert_eq!(<Ipv6Addr as IntoValue>::KIND, ValueKind::Text);
        assert_eq!(None::<Ipv4Addr>.into_value(), Value::Null);
    }

    #[test]
    fn what_is_no_address_of_the_family_is_an_error_by_its_class() {
        let network = || ValueRef::Text("127.0.0.1/8");
        assert_eq!(refusal::<IpAddr>(network()), "a network cannot be read as IpAddr");
        assert_eq!(refusal::<Ipv4Addr>(network()), "a network cannot be read as Ipv4Addr");
        assert_eq!(refusal::<Ipv6Addr>(network()), "an IPv4 address cannot be read as Ipv6Addr");
        assert_eq!(refusal::<Ipv6Addr>(ValueRef::Text("::/0")), "a network cannot be read as Ipv6Addr");
        assert_eq!(refusal::<Ipv4Addr>(ValueRef::Text("::1")), "an IPv6 address cannot be read as Ipv4Addr");
        assert_eq!(refusal::<IpAddr>(ValueRef::Int(1)), "an integer cannot be read as IpAddr");
        for text in ["", "/", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/+8", "::1/129", "1.2.3", "1.2.3.4 ", "1.2.3.4/8/8"] {
            assert_eq!(refusal::<IpAddr>(ValueRef::Text(text)), "this text does not have the form of IpAddr", "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_address_round_trips(v4: [u8; 4], v6: [u8; 16]) {
            prop_assert_eq!(back(Ipv4Addr::from(v4)), Ipv4Addr::from(v4));
            prop_assert_eq!(back(Ipv6Addr::from(v6)), Ipv6Addr::from(v6));
            for address in [IpAddr::from(v4), IpAddr::from(v6)] {
                prop_assert_eq!(back(address), address);
            }
        }
    }
}
