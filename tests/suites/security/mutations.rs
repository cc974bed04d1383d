//! Each check of the program switched off, one at a time: some attack that it
//! stops must then come further.
//!
//! The checks are the calls of `require…` in the program's source. A build of the
//! program with the feature `mutation` asks before every check whether it is the
//! one at the file and line written behind a marker in the ELF; see `checks.rs`.

use std::{fs, path::Path};

use flash_liquidator::errors::InterfaceError;
use flash_liquidator_client::receiver;
use flash_liquidator_tests::Stage;
use klend_fork::deploy_folder;

use crate::{
    ATTACKS,
    attack::{Attack, Stop, ending},
};

const MARKER: &[u8] = b"SWITCHED-OFF-AT:";
/// Bytes for the file's name behind the marker and the line.
const FILE_LEN: usize = 44;

/// Checks that no transaction can reach, and the test of the function they are in.
const UNREACHABLE: [(&str, &str, &str); 1] = [(
    "src/klend.rs",
    "FlashLoansDisabled",
    "klend refuses the borrow first (6036): attack flash_loans_disabled; \
     klend::tests::a_disabled_reserve_is_an_error_and_not_a_huge_fee",
)];

/// A call of `require…`.
#[derive(Debug)]
struct Site {
    /// From the package's folder: `src/swap.rs`.
    file: String,
    line: u32,
    error: String,
}

fn program_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/flash-liquidator"))
}

fn attacks() -> impl Iterator<Item = &'static Attack> {
    ATTACKS.iter().flat_map(|(_, attacks)| *attacks)
}

/// All checks, but for those in `checks.rs` itself.
fn sites() -> Vec<Site> {
    let mut sites = Vec::new();
    for folder in ["src", "src/instructions"] {
        for entry in fs::read_dir(program_folder().join(folder)).expect("the program's source") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if name.ends_with(".rs") && name != "checks.rs" {
                let source = fs::read_to_string(&path).expect("UTF-8");
                sites.extend(sites_in(&format!("{folder}/{name}"), &source));
            }
        }
    }
    sites.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    sites
}

fn sites_in(file: &str, source: &str) -> Vec<Site> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut sites = Vec::new();
    for (start, _) in code.match_indices("require") {
        let (before, call) = (&code[..start], &code[start..]);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let name_len = call.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(call.len());
        let name = &call[..name_len];
        let is_check = [
            "require",
            "require_at_least",
            "require_equal",
            "require_key",
            "require_profit",
            "require_signer",
            "require_writable",
            "require_program",
            "require_plain_wallet",
        ]
        .contains(&name);
        let is_call = call[name_len..].starts_with('(') && !before.ends_with(['_', ':']);
        if !is_check || !is_call || before[line_start..].trim_start().starts_with("//") {
            continue;
        }
        let error = match name {
            "require_profit" => "ProfitBelowMinimum".to_owned(),
            "require_signer" => "AccountNotSigner".to_owned(),
            "require_writable" => "ConstraintMut".to_owned(),
            "require_program" => "InvalidProgramId".to_owned(),
            "require_plain_wallet" => "SignerReassigned".to_owned(),
            _ => {
                let (_, rest) =
                    call.split_once("FlashLiquidatorError::").expect("a check has an error");
                rest.chars().take_while(|c| c.is_alphanumeric()).collect()
            }
        };
        let line = u32::try_from(before.matches('\n').count() + 1).expect("a short file");
        sites.push(Site { file: file.to_owned(), line, error });
    }
    sites
}

/// Name of the error of this program that stops an attack.
fn error_name(stop: Stop) -> Option<&'static str> {
    match stop {
        Stop::Ours(error) => Some(error.text().name),
        Stop::Code(code) => [
            InterfaceError::AccountNotSigner,
            InterfaceError::ConstraintMut,
            InterfaceError::InvalidProgramId,
        ]
        .into_iter()
        .find(|error| *error as u32 == code)
        .map(|error| error.text().name),
        Stop::Runtime(_) => None,
    }
}

/// The program with that check switched off.
fn mutant(elf: &[u8], site: &Site) -> Vec<u8> {
    let positions: Vec<_> =
        elf.windows(MARKER.len()).enumerate().filter(|(_, bytes)| *bytes == MARKER).collect();
    // The constant that the static is made of may be there as well: all are written.
    assert!(!positions.is_empty(), "the mutation build has no marker");
    let mut mutant = elf.to_vec();
    for (position, _) in positions {
        let line = position + MARKER.len();
        let file = line + 4;
        let Some(room) = mutant.get_mut(line..file + FILE_LEN) else { continue };
        if room.iter().any(|byte| *byte != 0) {
            continue;
        }
        assert!(site.file.len() <= FILE_LEN, "{} is too long", site.file);
        room[..4].copy_from_slice(&site.line.to_le_bytes());
        room[4..4 + site.file.len()].copy_from_slice(site.file.as_bytes());
    }
    mutant
}

fn mutation_build() -> Vec<u8> {
    let path = deploy_folder().join("../mutation/flash_liquidator.so");
    fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask test` makes it", path.display()))
}

#[test]
fn every_check_stops_an_attack() {
    let elf = mutation_build();
    let mut survivors = Vec::new();
    for site in sites() {
        let place = format!("{}:{}", site.file, site.line);
        let excused =
            UNREACHABLE.iter().find(|(file, error, _)| *file == site.file && *error == site.error);
        if let Some((_, _, reason)) = excused {
            println!("{place:<36} {:<28} unreachable: {reason}", site.error);
            continue;
        }
        let mutant = mutant(&elf, &site);
        let killed = attacks()
            .filter(|attack| error_name(attack.stop).is_some_and(|name| name == site.error))
            .find_map(|attack| {
                let mut stage = Stage::new();
                stage.deploy_mutant(&mutant);
                let sent = (attack.run)(&mut stage);
                (!attack.stop.stopped(&sent)).then(|| (attack.name, ending(&sent)))
            });
        match killed {
            Some((name, ending)) => println!("{place:<36} {:<28} {name}: {ending}", site.error),
            None => survivors.push(format!("{place} {}", site.error)),
        }
    }
    assert!(
        survivors.is_empty(),
        "switched off, these checks are not missed (if the program changed, run \
         `cargo xtask build` first):\n{}",
        survivors.join("\n")
    );
}

#[test]
fn the_mutation_build_with_nothing_switched_off_stops_every_attack() {
    let elf = mutation_build();
    for attack in attacks() {
        let mut stage = Stage::new();
        stage.world.deploy(&receiver::PROGRAM_ID, &elf).expect("the program");
        let sent = (attack.run)(&mut stage);
        assert!(attack.stop.stopped(&sent), "{}: {}", attack.name, ending(&sent));
    }
}

#[test]
fn no_check_of_the_deployed_program_can_be_switched_off() {
    let path = deploy_folder().join("flash_liquidator.so");
    let elf = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!elf.windows(MARKER.len()).any(|bytes| bytes == MARKER), "{}", path.display());
}

#[test]
fn every_error_is_tripped_by_an_attack() {
    let source = fs::read_to_string(program_folder().join("src/errors.rs")).expect("errors.rs");
    let variants = source.lines().filter_map(|line| {
        let name = line.trim().strip_suffix(',')?;
        name.chars().all(char::is_alphanumeric).then_some(name)
    });
    let mut count = 0;
    for variant in variants.filter(|name| name.starts_with(char::is_uppercase)) {
        count += 1;
        let tripped =
            attacks().any(|attack| error_name(attack.stop).is_some_and(|name| name == variant));
        let excused = UNREACHABLE.iter().any(|(_, error, _)| *error == variant);
        assert!(tripped || excused, "no attack ends in {variant}");
    }
    assert!(count >= 47, "only {count} errors found in errors.rs");
}

#[test]
fn checks_are_found_where_they_are() {
    let source = "use x::require;\n\n// require(a, FlashLiquidatorError::No)\nrequire(\n  a,\n  \
                  FlashLiquidatorError::One,\n)?;\nlet p = require_profit(a, b)?;\n\
                  klend::require_open_for_liquidation(a)?;\n#[cfg(test)]\nrequire(b)";
    let found: Vec<_> =
        sites_in("src/x.rs", source).into_iter().map(|site| (site.line, site.error)).collect();
    assert_eq!(found, [(4, "One".to_owned()), (8, "ProfitBelowMinimum".to_owned())]);
    assert!(sites().len() >= 45, "{} checks", sites().len());
}
