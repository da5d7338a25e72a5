//! The body of the fuzz target `mysql_values`, over seeds.

#[path = "../../tests/support/replay.rs"]
#[allow(dead_code, reason = "only its random numbers are used")]
mod replay;
#[path = "fuzz_bodies/values.rs"]
mod values;

use replay::Random;

const TEXTS: &[&str] = &[
    "",
    "0000-00-00",
    "2024-02-29",
    "2024-02-29 23:59:59.999999",
    "-838:59:59.000000",
    "838:59:59",
    "1.5",
    "-0.000",
    "1e308",
    "99999999999999999999999999999999999999999999999999999999999999999.9",
    "{\"a\": [1]}",
    "\u{1F511}",
];

#[test]
fn cells_of_every_type_over_100_000_seeds_each() {
    let mut random = Random::new(0x5eed);
    for kind in 0..15 {
        for _ in 0..100_000 {
            let mut data = vec![kind, u8::try_from(random.below(16)).unwrap()];
            data.extend_from_slice(TEXTS[random.below(TEXTS.len())].as_bytes());
            for _ in 0..random.below(10) {
                let at = 2 + random.below(data.len() - 1);
                let byte = u8::try_from(random.below(256)).unwrap();
                match random.below(3) {
                    0 => data.insert(at.min(data.len()), byte),
                    1 => data.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
                    _ => data.truncate(at),
                }
            }
            values::values(&data);
        }
    }
}
