//! Documents with generated parts: compared with what the code produces, or written with `MILLSTREAM_BLESS=1`.
//!
//! A generated part stands between `<!-- generated: name -->` and `<!-- end -->`. Everything else is written by hand.

use std::fmt::Write as _;
use std::path::Path;

/// Holds the generated parts of `name`, a document beside Cargo.toml, to `parts`: pairs of a name and the text. Each of them
/// must stand in the document once.
pub fn check(name: &str, mut parts: Vec<(String, String)>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let written = std::fs::read_to_string(&path).expect("the document stands beside Cargo.toml");
    let mut document = String::new();
    let mut rest = written.as_str();
    while let Some((before, after)) = rest.split_once("<!-- generated: ") {
        let (part, after) = after.split_once(" -->\n").expect("a generated part starts with its name");
        let (_, after) = after.split_once("<!-- end -->").unwrap_or_else(|| panic!("{part} does not end"));
        let at = parts.iter().position(|known| known.0 == part).unwrap_or_else(|| panic!("nothing generates {part}"));
        let (part, text) = parts.swap_remove(at);
        write!(document, "{before}<!-- generated: {part} -->\n{text}<!-- end -->").unwrap();
        rest = after;
    }
    document.push_str(rest);
    let missing: Vec<_> = parts.iter().map(|part| &part.0).collect();
    assert!(missing.is_empty(), "not in {name}: {missing:?}");
    if std::env::var_os("MILLSTREAM_BLESS").is_some() {
        std::fs::write(path, document).expect("the document can be written");
    } else if let Some((line, (is, should))) =
        (1..).zip(written.lines().zip(document.lines())).find(|(_, (is, should))| is != should)
    {
        panic!("{name} line {line} is\n{is}\nbut should be\n{should}\nMILLSTREAM_BLESS=1 writes it");
    } else {
        assert_eq!(written.len(), document.len(), "{name} has another length; MILLSTREAM_BLESS=1 writes it");
    }
}
