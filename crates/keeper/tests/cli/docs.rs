//! The commands of docs/keeper.md that need a node and a key, as a reader pastes
//! them. Their fences are marked `sh keeper`; `toml watch.toml` is the file that
//! they use.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{SOL_RESERVE, answer, json_of, node::Fate, obligations, sending::Stage};

const DOCUMENT: &str = "../../docs/keeper.md";

/// The blocks whose fence begins with `mark`.
fn blocks(document: &str, mark: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match line.strip_prefix("```") {
            Some(fence) if !inside && fence == mark => {
                blocks.push(String::new());
                inside = true;
            }
            Some(_) => inside = false,
            None if inside => blocks.last_mut().unwrap().extend([line, "\n"]),
            None => {}
        }
    }
    blocks
}

#[test]
fn the_documents_commands_work_on_a_node() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let document = std::fs::read_to_string(path).unwrap();
    let scripts = blocks(&document, "sh keeper");
    assert!(scripts.len() >= 4, "{} scripts", scripts.len());

    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let market = json_of(&["--rpc", stage.node.url(), "market"]);
    let reserves = market["reserves"].as_array().unwrap();
    let usdc = reserves.iter().find(|reserve| reserve["symbol"] == "USDC").unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::copy(&stage.keypair, file("keeper.json")).unwrap();
    let [config] = &blocks(&document, "toml watch.toml")[..] else { panic!("one configuration") };
    // The port may be somebody else's here.
    let config = config.replace("127.0.0.1:9184", "127.0.0.1:0");
    std::fs::write(file("watch.toml"), config).unwrap();
    let program = "FLi74WSjHMbPZNCKyWcesWKNYajvD2vRZKbBX1tB9Vjx";
    let logs = [format!("Program {program} invoke [1]"), format!("Program {program} success")];
    let transaction = answer(json!(null), &logs).to_string();
    std::fs::write(file("transaction.json"), transaction).unwrap();

    let binaries = Path::new(env!("CARGO_BIN_EXE_keeper")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    for script in scripts {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("NO_COLOR", "1")
            .env("KEEPER_RPC_URL", stage.node.url())
            .env("SOL_RESERVE", SOL_RESERVE)
            .env("USDC_RESERVE", usdc["reserve"].as_str().unwrap())
            .env("OBLIGATION", &at_risk)
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}\n{}", crate::text(&output));
    }
    // Set up for real: the token accounts are there.
    assert!(stage.node.signatures() >= 2);
}
