//! Texts that the fuzzers found worth keeping: each goes through the parser it was found with.
//! Knows no claim: what must hold is written beside the fuzz targets.

use std::path::Path;
use std::{fs, io};

#[expect(unreachable_pub, reason = "it is the library of the fuzz targets")]
#[path = "../fuzz/claims.rs"]
mod claims;

#[test]
fn the_carriers_corpus_is_read_without_a_contradiction() -> io::Result<()> {
    each_text("twilio_inbound", claims::twilio_inbound)
}

#[test]
fn the_providers_corpus_is_read_without_a_contradiction() -> io::Result<()> {
    each_text("openai_server", claims::openai_server)
}

fn each_text(target: &str, claim: impl Fn(&str)) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut texts = 0;
    for file in fs::read_dir(folder)? {
        // As in the fuzzer, what is no text is passed over.
        if let Ok(text) = String::from_utf8(fs::read(file?.path())?) {
            claim(&text);
            texts += 1;
        }
    }
    assert!(texts > 0, "the corpus is there");
    Ok(())
}
