//! The body of the fuzz target `postgres_values`, over seeds.

#[path = "../../tests/support/replay.rs"]
#[allow(dead_code, reason = "only its random numbers are used")]
mod replay;
#[path = "fuzz_bodies/values.rs"]
mod values;

use replay::Random;

/// Beginnings that get further than random bytes: dimensions of arrays, digits of decimals, ends of ranges, texts.
const BEGINNINGS: &[&[u8]] = &[
    b"",
    b"\0\0\0\x01\0\0\0\x01\0\0\0\x17\0\0\0\x02\0\0\0\x01\0\0\0\x04",
    b"\0\0\0\x01\0\0\0\0\0\0\x06\xa4\0\0\0\x01\0\0\0\x01\0\0\0\x0a",
    b"\0\x02\0\x01\x40\0\0\x02\0\x01\0\x02",
    b"\x06\0\0\0\x04\0\0\0\x01\0\0\0\x04",
    b"\0\0\0\x02\0\0\0\x05\x12",
    b"{\"a\",NULL,{b}}",
    b"[1,2)",
    b"\x01{\"a\": [1]}",
    b"\x02\x20\0\x04",
];

#[test]
fn values_of_every_type_over_100_000_seeds_each() {
    let mut random = Random::new(0x5eed);
    for kind in 0..values::KINDS {
        for _ in 0..100_000 {
            let mut data = vec![u8::try_from(kind).unwrap()];
            data.extend_from_slice(BEGINNINGS[random.below(BEGINNINGS.len())]);
            for _ in 0..random.below(24) {
                data.push(match random.below(3) {
                    0 => [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                    1 => b' ' + u8::try_from(random.below(95)).unwrap(),
                    _ => u8::try_from(random.below(256)).unwrap(),
                });
            }
            let at = 1 + random.below(data.len());
            data.iter_mut().skip(at).take(1).for_each(|byte| *byte = byte.wrapping_add(1));
            values::values(&data);
        }
    }
}
