//! The bodies of the fuzz targets, over seeds: what libFuzzer runs for hours, in seconds and the same every time.

#[path = "fuzz_bodies/url.rs"]
mod url;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 8).unwrap_or_default() % n.max(1)
    }
}

#[test]
fn urls_over_200_000_seeds() {
    const SEEDS: &[&str] = &[
        "postgres://user:pa%20ss@host:5432/db?sslmode=require&application_name=x",
        "postgresql+tokio-postgres://a,b:1,[::1]:2/db?target_session_attrs=any",
        "mysql://u:p@ss#w@127.0.0.1/d?charset=utf8mb4",
        "mariadb://%2Frun%2Fmysqld/db?socket=/x",
        "sqlite::memory:?max_rows=3&connect_timeout=5s",
        "sqlite:////var/lib/x.db?mode=ro#f",
        "sqlite:rel%20ative.db",
    ];
    const PARTS: &[&str] = &[
        "%",
        "%00",
        "%zz",
        "@",
        ":",
        "/",
        "//",
        "?",
        "&",
        "=",
        "#",
        ",",
        "[",
        "]",
        "::1",
        "+",
        "\0",
        "é",
        "\u{202e}",
        "password=x",
        "%2F",
        "99999",
        " ",
        "\n",
        ":memory:",
        "..",
    ];
    let mut random = Random(0x5eed);
    for _ in 0..200_000 {
        let mut text = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(text.len() + 1);
            match random.below(5) {
                0 => text.truncate(at),
                1 => drop(text.splice(at..at, PARTS[random.below(PARTS.len())].bytes())),
                2 => drop(text.splice(at..at, SEEDS[random.below(SEEDS.len())].bytes().take(12))),
                3 => drop(text.drain(at..(at + random.below(6)).min(text.len()))),
                _ => {
                    text.iter_mut().skip(at).take(1).for_each(|byte| *byte = u8::try_from(at % 128).unwrap_or_default())
                }
            }
        }
        url::url(&text);
    }
}
