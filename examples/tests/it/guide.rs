//! The guide for authors of backends shows code that compiles: every piece of it stands in the example.

use std::path::Path;

const GUIDE: &str = "docs/writing-a-backend.md";
const SOURCES: [&str; 3] = ["examples/src/flat.rs", "examples/src/bin/flat-backup.rs", "examples/tests/it/flat.rs"];

#[test]
fn every_piece_of_code_in_the_guide_stands_in_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (guide, sources) = (read(GUIDE), SOURCES.map(read));
    let pieces: Vec<&str> =
        guide.split("```rust\n").skip(1).map(|rest| rest.split_once("```").expect("a piece ends").0).collect();
    assert!(pieces.len() > 8, "the guide shows {} pieces of code", pieces.len());
    for piece in pieces {
        assert!(sources.iter().any(|source| source.contains(piece)), "{GUIDE} shows what no source has:\n{piece}");
    }
}
