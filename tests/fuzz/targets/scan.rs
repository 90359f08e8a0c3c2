//! The scan of SQL. The first byte chooses the options; the rest is the text. A zero byte parts two texts, of which the second
//! may have the shape of the first.
#![no_main]

use std::sync::Arc;

use howdah_decision::Kind;
use howdah_sql::{Catalog, ScanOptions, Shapes, Volatility, same_shape, scan};
use libfuzzer_sys::fuzz_target;

/// Every name means something else, so that all branches are taken.
struct Mixed;

impl Catalog for Mixed {
    fn function(&self, schema: Option<&str>, name: &str) -> Volatility {
        match (schema.map_or(0, str::len) + name.len()) % 4 {
            0 => Volatility::Immutable,
            1 => Volatility::Stable,
            2 => Volatility::Volatile,
            _ => Volatility::Unknown,
        }
    }

    fn relation_is_volatile(&self, _: Option<&str>, name: &str) -> bool {
        name.len().is_multiple_of(2)
    }

    fn operator_is_volatile(&self, symbol: &str) -> bool {
        symbol.len() > 2
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else { return };
    let options = ScanOptions { backslash_escapes: first & 1 == 1 };
    let statement = scan(text, options, &Mixed);
    assert_eq!(statement, scan(text, options, &Mixed), "not the same twice");
    assert!(statement.statements as usize <= text.len());
    assert!(same_shape(&statement, &statement) || statement.boundaries == u64::MAX);
    if statement.kind != Kind::Unknown {
        let longer = [text, b"\n-- the end"].concat();
        assert_eq!(statement, scan(&longer, options, &Mixed), "a comment makes a difference");
    }
    let mut texts = text.splitn(2, |b| *b == 0);
    let one = texts.next().unwrap_or_default();
    let mut shapes = Shapes::default();
    // The second time it is remembered.
    for text in [one, one, texts.next().unwrap_or(one)] {
        let found = shapes.scan(text, || Arc::new(Mixed));
        let scanned = scan(text, ScanOptions::default(), &Mixed);
        assert_eq!(*found, scanned, "its shape says something else");
    }
});
