//! `cargo xtask idl`: the program's interface as `idl/flash_liquidator.json`.
//!
//! Anchor's feature `idl-build` turns the program into tests that print the parts of
//! its IDL; `anchor idl build` runs and assembles them, and so does this, with the
//! machine's stable Rust and none of Solana's tools. The result has Anchor's format.

use std::collections::BTreeMap;

use anchor_lang_idl_spec::{
    Idl, IdlConst, IdlDefinedFields, IdlErrorCode, IdlEvent, IdlInstructionAccountItem, IdlTypeDef,
    IdlTypeDefTy,
};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::generated::{self, Mode};
use crate::process;
use crate::workspace::Workspace;

/// Where it is committed.
const PATH: &str = "idl/flash_liquidator.json";

const PACKAGE: &str = "flash-liquidator";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    mode: Mode,
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let idl = assemble(&print(&workspace)?)?;
    let undocumented = undocumented(&idl);
    if !undocumented.is_empty() {
        bail!("parts of the interface without documentation: {}", undocumented.join(", "));
    }
    let json = serde_json::to_string_pretty(&idl)? + "\n";
    generated::put(&workspace.root, PATH, &json, args.mode, "cargo xtask idl")?;
    eprintln!("{PATH} is what the program generates");
    Ok(())
}

/// What the tests of `idl-build` print.
fn print(workspace: &Workspace) -> Result<String> {
    let program = workspace
        .programs
        .iter()
        .find(|program| program.package == PACKAGE)
        .with_context(|| format!("there is no program {PACKAGE}"))?;
    let folder = program.manifest.parent().context("a manifest lies in a folder")?;
    let mut tests = process::cargo();
    tests.current_dir(&workspace.root);
    tests.args(["test", "--package", PACKAGE, "--lib", "--features", "idl-build"]);
    // How far addresses of accounts are resolved is compiled into Anchor's macros: it stands
    // in .cargo/config.toml, the same whoever compiles them.
    tests.env("ANCHOR_IDL_BUILD_PROGRAM_PATH", folder);
    tests.args(["--", "__anchor_private_print_idl", "--show-output", "--test-threads=1"]);
    process::output("cargo test", &mut tests)
}

/// An event and the types it is made of, as printed.
#[derive(Deserialize)]
struct Event {
    event: IdlEvent,
    types: Vec<IdlTypeDef>,
}

/// Puts the printed parts together.
fn assemble(printed: &str) -> Result<Idl> {
    let mut idl = None;
    let mut address = None;
    let mut events = Vec::new();
    let mut errors: Vec<IdlErrorCode> = Vec::new();
    let mut constants: Vec<IdlConst> = Vec::new();
    let mut types = BTreeMap::new();
    let mut lines = printed.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = section(line, "begin") else { continue };
        let mut body = String::new();
        loop {
            let line = lines.next().with_context(|| format!("the part {kind:?} has no end"))?;
            if section(line, "end") == Some(kind) {
                break;
            }
            body.push_str(line);
            body.push('\n');
        }
        let parse = || format!("the part {kind:?}:\n{body}");
        match kind {
            "address" => address = Some(serde_json::from_str(&body).with_context(parse)?),
            "program" => idl = Some(serde_json::from_str::<Idl>(&body).with_context(parse)?),
            "errors" if !errors.is_empty() => bail!("there are several enums of errors"),
            "errors" => errors = serde_json::from_str(&body).with_context(parse)?,
            "const" => constants.push(serde_json::from_str(&body).with_context(parse)?),
            "event" => {
                let event: Event = serde_json::from_str(&body).with_context(parse)?;
                events.push(event.event);
                types.extend(event.types.into_iter().map(|ty| (ty.name.clone(), ty)));
            }
            other => bail!("an unknown part {other:?}"),
        }
    }
    let mut idl = idl.context("the program has printed no interface")?;
    idl.address = address.context("the program has printed no address")?;
    types.extend(idl.types.into_iter().map(|ty| (ty.name.clone(), ty)));
    idl.types = types.into_values().collect();
    idl.events = events;
    idl.errors = errors;
    idl.constants = constants;

    let mut idl: Idl = serde_json::from_value(without_paths(serde_json::to_value(&idl)?)?)?;
    idl.accounts.sort_by(|a, b| a.name.cmp(&b.name));
    idl.constants.sort_by(|a, b| a.name.cmp(&b.name));
    idl.errors.sort_by_key(|error| error.code);
    idl.events.sort_by(|a, b| a.name.cmp(&b.name));
    idl.instructions.sort_by(|a, b| a.name.cmp(&b.name));
    idl.types.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(idl)
}

/// The kind in `--- IDL <edge> <kind> ---`.
fn section<'a>(line: &'a str, edge: &str) -> Option<&'a str> {
    line.strip_prefix("--- IDL ")?.strip_prefix(edge)?.trim_start().strip_suffix(" ---")
}

/// Types are printed with their modules; the last name is enough as long as no two
/// types share it.
fn without_paths(mut idl: Value) -> Result<Value> {
    fn visit(value: &mut Value, seen: &mut BTreeMap<String, String>) -> Result<()> {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(name)) = fields.get_mut("name")
                    && let Some((_, short)) = name.rsplit_once("::")
                {
                    let short = short.to_owned();
                    let first = seen.entry(short.clone()).or_insert_with(|| name.clone());
                    if first != name {
                        bail!("{first} and {name} have the same name");
                    }
                    *name = short;
                }
                fields.values_mut().try_for_each(|value| visit(value, seen))
            }
            Value::Array(items) => items.iter_mut().try_for_each(|value| visit(value, seen)),
            _ => Ok(()),
        }
    }
    visit(&mut idl, &mut BTreeMap::new())?;
    Ok(idl)
}

/// Names of instructions, accounts, fields, events and errors that say nothing
/// about themselves.
fn undocumented(idl: &Idl) -> Vec<String> {
    let mut names = Vec::new();
    let mut need = |name: String, docs: &[String]| {
        if docs.iter().all(|line| line.trim().is_empty()) {
            names.push(name);
        }
    };
    for instruction in &idl.instructions {
        need(instruction.name.clone(), &instruction.docs);
        for account in &instruction.accounts {
            if let IdlInstructionAccountItem::Single(account) = account {
                need(format!("{}.{}", instruction.name, account.name), &account.docs);
            }
        }
    }
    for ty in &idl.types {
        need(ty.name.clone(), &ty.docs);
        if let IdlTypeDefTy::Struct { fields: Some(IdlDefinedFields::Named(fields)) } = &ty.ty {
            for field in fields {
                need(format!("{}.{}", ty.name, field.name), &field.docs);
            }
        }
    }
    for error in &idl.errors {
        need(error.name.clone(), &[error.msg.clone().unwrap_or_default()]);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = r#"
        test __anchor_private_print_idl_program ... ok
--- IDL begin program ---
{
  "address": "",
  "metadata": { "name": "p", "version": "1.0.0", "spec": "0.1.0" },
  "instructions": [{
    "name": "go", "docs": ["Goes."], "discriminator": [1],
    "accounts": [{ "name": "who" }],
    "args": [{ "name": "args", "type": { "defined": { "name": "p::a::Args" } } }]
  }],
  "types": [{
    "name": "p::a::Args", "docs": ["How."],
    "type": { "kind": "struct", "fields": [{ "name": "n", "type": "u8" }] }
  }]
}
--- IDL end program ---
--- IDL begin address ---
"key"
--- IDL end address ---
--- IDL begin errors ---
[{ "code": 7001, "name": "B", "msg": "b" }, { "code": 7000, "name": "A" }]
--- IDL end errors ---
"#;

    #[test]
    fn parts_are_put_together_and_paths_shortened() {
        let idl = assemble(PROGRAM).unwrap();
        assert_eq!(idl.address, "key");
        assert_eq!(idl.types[0].name, "Args");
        assert_eq!(idl.errors.iter().map(|e| e.code).collect::<Vec<_>>(), [7000, 7001]);
        let json = serde_json::to_string(&idl).unwrap();
        assert!(json.contains(r#""defined":{"name":"Args"}"#), "{json}");
    }

    #[test]
    fn what_is_not_documented_is_named() {
        let idl = assemble(PROGRAM).unwrap();
        assert_eq!(undocumented(&idl), ["go.who", "Args.n", "A"]);
    }

    #[test]
    fn a_cut_off_part_and_equal_names_are_errors() {
        let cut = PROGRAM.split("--- IDL end program").next().unwrap();
        assert!(assemble(cut).unwrap_err().to_string().contains("has no end"));
        let twice = PROGRAM.replacen("\"p::a::Args\", \"docs\"", "\"p::b::Args\", \"docs\"", 1);
        assert!(assemble(&twice).unwrap_err().to_string().contains("the same name"));
    }
}
