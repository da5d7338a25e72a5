//! Any cell in a column of any type: no panic, and an error that says something.

use databases_mysql::__private::decode;
use databases_mysql::mysql_async::Value;

/// The first byte chooses the column's type, the second the form of the cell; the rest is the cell.
pub(crate) fn values(data: &[u8]) {
    let [kind, form, bytes @ ..] = data else { return };
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let short = |at: usize| u16::from_be_bytes([byte(at), byte(at + 1)]);
    let long = |at: usize| u32::from_be_bytes([byte(at), byte(at + 1), byte(at + 2), byte(at + 3)]);
    let wide = (u64::from(long(0)) << 32) | u64::from(long(4));
    // What the driver makes of the binary protocol; it checks nothing of it.
    let value = match form % 8 {
        0 => Value::Int(wide.cast_signed()),
        1 => Value::UInt(wide),
        2 => Value::Float(f32::from_bits(long(0))),
        3 => Value::Double(f64::from_bits(wide)),
        4 => Value::Date(short(0), byte(2), byte(3), byte(4), byte(5), byte(6), long(7)),
        5 => Value::Time(byte(0) & 1 == 1, long(1), byte(5), byte(6), byte(7), long(8)),
        _ => Value::Bytes(bytes.to_vec()),
    };
    if let Err(error) = decode(*kind, &value) {
        assert!(!error.to_string().is_empty());
    }
}
