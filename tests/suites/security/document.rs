//! SECURITY.md names tests that exist, and every attack.

use std::{collections::BTreeSet, fs, path::Path};

use klend_fork::deploy_folder;

use crate::ATTACKS;

/// Names of the form `module::test` in the document.
fn named() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("SECURITY.md")).expect("SECURITY.md");
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once("::"))
        .filter(|(_, test)| *test != "test")
        .map(|(module, test)| (module.to_owned(), test.to_owned()))
        .collect()
}

fn source(module: &str) -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = match module {
        "klend" => tests.join("../programs/flash-liquidator/src/klend.rs"),
        "report" => tests.join("../crates/keeper/src/land/report.rs"),
        module => tests.join("suites/security").join(module).with_extension("rs"),
    };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_test_that_the_document_names_exists() {
    let named = named();
    assert!(named.len() > 100, "{} names", named.len());
    for (module, test) in &named {
        let test = test.trim_start_matches("tests::");
        let source = source(module);
        let is_test = source.contains(&format!("#[test]\nfn {test}()"))
            || source.contains(&format!("#[test]\n    fn {test}()"));
        let is_attack = ATTACKS
            .iter()
            .any(|(of, attacks)| of == module && attacks.iter().any(|attack| attack.name == test));
        assert!(is_test || is_attack, "SECURITY.md names {module}::{test}, which is no test");
    }
}

#[test]
fn the_document_names_every_attack() {
    let named = named();
    for (module, attacks) in ATTACKS {
        for attack in attacks {
            let name = (module.to_string(), attack.name.to_owned());
            assert!(named.contains(&name), "SECURITY.md does not name {module}::{}", attack.name);
        }
    }
}

#[test]
fn the_deployed_program_says_whom_to_tell() {
    let elf = fs::read(deploy_folder().join("flash_liquidator.so")).expect("the program");
    for text in [
        &b"=======BEGIN SECURITY.TXT V1=======\0"[..],
        b"\0contacts\0link:https://",
        b"/SECURITY.md\0",
        b"=======END SECURITY.TXT V1=======\0",
    ] {
        assert!(
            elf.windows(text.len()).any(|bytes| bytes == text),
            "the ELF does not contain {}",
            String::from_utf8_lossy(text)
        );
    }
}
