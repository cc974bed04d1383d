//! A key in a HashiCorp Vault, played by a server that signs as its transit
//! engine does.

use std::process::{Command, Output};

use base64::{Engine, engine::general_purpose::STANDARD};
use fault_proxy::http::{self, Answer};
use serde_json::{Value, json};
use solana_signer::Signer;

use crate::{
    node::Fate,
    obligations,
    sending::{Stage, key},
    text,
};

fn vault() -> String {
    let address = http::serve(|request| {
        let key = key();
        Some(Answer::ok(match request {
            Value::String(path) => {
                assert_eq!(path, "/v1/transit/keys/liquidator");
                json!({ "data": {
                    "type": "ed25519",
                    "supports_signing": true,
                    "latest_version": 1,
                    "keys": { "1": { "public_key": STANDARD.encode(key.pubkey()) } },
                }})
            }
            request => {
                let message = STANDARD.decode(request["input"].as_str().unwrap()).unwrap();
                let signature = STANDARD.encode(key.sign_message(&message));
                json!({ "data": { "signature": format!("vault:v1:{signature}") } })
            }
        }))
    });
    format!("http://{address}")
}

fn keeper(args: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keeper"));
    command.args(args).env_remove("VAULT_TOKEN").env("RUST_LOG", "trace");
    if let Some(token) = token {
        command.env("VAULT_TOKEN", token);
    }
    command.output().unwrap()
}

#[test]
fn a_vault_signs_what_is_sent() {
    let (at_risk, _) = obligations();
    let stage = Stage::new(Fate::Executed { after_polls: 0 });
    let (vault, address) = (vault(), key().pubkey().to_string());
    let args = |address: &str| -> Vec<String> {
        stage
            .liquidate(stage.node.url(), &at_risk)
            .into_iter()
            .filter(|arg| *arg != "--keypair" && *arg != stage.keypair)
            .chain(["--yes"])
            .chain(["--vault", &vault, "--vault-key", "liquidator", "--vault-pubkey", address])
            .map(str::to_owned)
            .collect()
    };
    let run = |address: &str, token: Option<&str>| {
        let args = args(address);
        keeper(&args.iter().map(String::as_str).collect::<Vec<_>>(), token)
    };
    let output = run(&address, Some("SECRET"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(!text(&output).contains("SECRET"), "{}", text(&output));
    assert_eq!(stage.node.signatures(), 1);

    let another = solana_address::Address::new_from_array([9; 32]).to_string();
    let said = text(&run(&another, Some("SECRET")));
    assert!(said.contains("key liquidator is not"), "{said}");
    let said = text(&run(&address, None));
    assert!(said.contains("VAULT_TOKEN"), "{said}");
    assert_eq!(stage.node.signatures(), 1);
}

#[test]
fn a_vault_elsewhere_is_not_spoken_to_in_the_clear() {
    let (at_risk, _) = obligations();
    let address = key().pubkey().to_string();
    let args = ["--fork", "builtin", "liquidate", &at_risk, "--vault", "http://vault.example"];
    let more = ["--vault-key", "k", "--vault-pubkey", &address];
    let said = text(&keeper(&[&args[..], &more].concat(), Some("SECRET")));
    assert!(said.contains("https only"), "{said}");
}
