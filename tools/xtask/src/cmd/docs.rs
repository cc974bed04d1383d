//! `cargo xtask docs`: links lead somewhere, and the commands in the documents work.
//!
//! Every fence marked `sh` is a script that a reader would paste into a shell in the
//! repository's root. What runs it is written behind the `sh`:
//!
//! | fence | who runs it |
//! |---|---|
//! | `sh` | this command, all of a document in one `bash -euo pipefail`; they write below `target/docs` |
//! | `sh gate` | the gate: each line must stand in `.ci/run` |
//! | `sh keeper` | the keeper's own tests, against an RPC node on loopback |
//! | `sh not-run="why"` | nobody here; the reason is printed each time |

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::markdown::{self, Document};
use crate::node::Node;
use crate::process;
use crate::workspace::Workspace;

/// Folder that the documents' commands may write to.
const SCRATCH: &str = "target/docs";

#[derive(clap::Args)]
pub struct Args {
    /// Check links and marks only; run no command
    #[arg(long)]
    links: bool,
    /// Only the documents whose path contains this
    #[arg(value_name = "PART")]
    only: Option<String>,
}

/// A command line block of a document, and who runs it.
struct Script {
    /// `docs/x.md`.
    document: String,
    /// `docs/x.md:12`.
    place: String,
    text: String,
    runner: Runner,
}

#[derive(Debug, PartialEq, Eq)]
enum Runner {
    Docs,
    Gate,
    Keeper,
    Nobody { because: String },
}

impl Runner {
    /// From what stands behind `sh` in the fence's first line.
    fn of(mark: &str) -> Result<Self> {
        Ok(match mark {
            "" => Self::Docs,
            "gate" => Self::Gate,
            "keeper" => Self::Keeper,
            mark => match mark.strip_prefix("not-run=\"").and_then(|rest| rest.strip_suffix('"')) {
                Some(because) if !because.is_empty() => Self::Nobody { because: because.into() },
                _ => bail!("unknown mark `sh {mark}`: gate, keeper or not-run=\"why\""),
            },
        })
    }
}

pub fn run(args: Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let root = workspace.root.clone();
    let documents = markdown::read_all(&root)?;
    let complaints: Vec<String> =
        documents.iter().flat_map(|document| markdown::broken_links(document, &root)).collect();
    if !complaints.is_empty() {
        bail!("broken links:\n  {}", complaints.join("\n  "));
    }

    let gate = fs::read_to_string(root.join(".ci/run")).context("cannot read .ci/run")?;
    let wanted = |document: &&Document| {
        args.only.as_ref().is_none_or(|part| document.name.contains(part.as_str()))
    };
    let mut scripts = Vec::new();
    for document in documents.iter().filter(wanted) {
        scripts.extend(scripts_of(document)?);
    }
    let mut counts = [0usize; 4];
    for script in &scripts {
        match &script.runner {
            Runner::Docs => counts[0] += 1,
            Runner::Gate => {
                counts[1] += 1;
                if let Some(line) = missing_in_gate(&script.text, &gate) {
                    bail!(
                        "{}: `{line}` is marked `gate` but .ci/run does not run it",
                        script.place
                    );
                }
            }
            Runner::Keeper => counts[2] += 1,
            Runner::Nobody { because } => {
                counts[3] += 1;
                eprintln!("{}: not run: {because}", script.place);
            }
        }
    }
    if !args.links {
        run_scripts(&workspace, &scripts)?;
    }
    let [docs, of_gate, keeper, nobody] = counts;
    println!(
        "{} documents, links fine; scripts: {docs} {}, {of_gate} in the gate itself, {keeper} in \
         the keeper's tests, {nobody} not run",
        documents.len(),
        if args.links { "to run here" } else { "run here" },
    );
    Ok(())
}

fn scripts_of(document: &Document) -> Result<Vec<Script>> {
    let shell = |language: &str| matches!(language, "sh" | "bash" | "shell" | "console");
    let mut scripts = Vec::new();
    for fence in &document.fences {
        let (language, mark) = fence.info.split_once(' ').unwrap_or((&fence.info, ""));
        if !shell(language) {
            continue;
        }
        let place = format!("{}:{}", document.name, fence.line);
        let runner = Runner::of(mark.trim()).with_context(|| place.clone())?;
        let (document, text) = (document.name.clone(), fence.text.clone());
        scripts.push(Script { document, place, text, runner });
    }
    Ok(scripts)
}

/// The first command of `script` that is no line of the gate's.
fn missing_in_gate<'a>(script: &'a str, gate: &str) -> Option<&'a str> {
    script
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .find(|line| !gate.lines().any(|step| step.trim() == *line))
}

/// Runs the scripts of each document in one shell, as a reader would.
fn run_scripts(workspace: &Workspace, scripts: &[Script]) -> Result<()> {
    let root = &workspace.root;
    let node = Node::prepare(workspace)?;
    let here: Vec<_> = scripts.iter().filter(|script| script.runner == Runner::Docs).collect();
    for document in here.chunk_by(|one, next| one.document == next.document) {
        empty(&root.join(SCRATCH))?;
        let session: String = document
            .iter()
            .map(|Script { place, text, .. }| format!("echo '--- {place}' >&2\n{text}\n"))
            .collect();
        let mut shell = node.before_others(Command::new("bash"));
        shell.args(["-euo", "pipefail", "-c", &session]).current_dir(root);
        process::run(&document[0].document, &mut shell)?;
    }
    Ok(())
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_name_the_runner() {
        assert_eq!(Runner::of("").unwrap(), Runner::Docs);
        assert_eq!(Runner::of("gate").unwrap(), Runner::Gate);
        assert_eq!(Runner::of("keeper").unwrap(), Runner::Keeper);
        let because = "needs a cluster".to_owned();
        assert_eq!(Runner::of("not-run=\"needs a cluster\"").unwrap(), Runner::Nobody { because });
        assert!(Runner::of("not-run").is_err());
        assert!(Runner::of("not-run=\"\"").is_err());
        assert!(Runner::of("sometimes").is_err());
    }

    #[test]
    fn a_command_of_the_gate_must_stand_there() {
        let gate = "step \"tests\"\n  cargo xtask test\n";
        assert_eq!(missing_in_gate("cargo xtask test  # every test\n\n# more\n", gate), None);
        assert_eq!(
            missing_in_gate("cargo xtask test --long\n", gate),
            Some("cargo xtask test --long")
        );
    }

    #[test]
    fn scripts_know_their_place() {
        let document =
            markdown::parse("a.md", "# A\n\n```sh gate\ncargo x\n```\n\n```rust\nfn f() {}\n```\n");
        let scripts = scripts_of(&document).unwrap();
        assert_eq!(scripts.len(), 1);
        assert_eq!((scripts[0].place.as_str(), scripts[0].text.as_str()), ("a.md:3", "cargo x\n"));
    }
}
