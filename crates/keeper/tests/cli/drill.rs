//! A market liquidated on paper.

use klend_fork::World;
use klend_model::{constants::permissioned_ops, keys::to_v2};
use serde_json::{Value, json};
use solana_account::Account;
use solana_address::Address;

use crate::{folder, folder_arg, json_of, keeper, node::Node, obligations, text};

/// A drill of the fork after an edit.
fn drilled(edit: impl FnOnce(&mut World), args: &[&str]) -> Vec<Value> {
    let mut world = World::from_folder(folder()).unwrap();
    edit(&mut world);
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("fork");
    world.snapshot().write(&path).unwrap();
    let report = json_of(&[&["--fork", path.to_str().unwrap(), "drill"], args].concat());
    report["obligations"].as_array().unwrap().clone()
}

fn verdicts(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["verdict"].as_str().unwrap()).collect()
}

#[test]
fn every_obligation_is_liquidated_once_prices_have_fallen_far_enough() {
    let (at_risk, careful) = obligations();
    let parent = tempfile::tempdir().unwrap();
    let svg = parent.path().join("drill.svg");
    let args = ["--fork", folder_arg(), "drill", "--svg", svg.to_str().unwrap()];
    let report = json_of(&args);
    let rows = report["obligations"].as_array().unwrap();
    assert_eq!(verdicts(rows), ["liquidated"; 2], "{report:#}");
    assert_eq!(
        rows.iter().map(|row| &row["obligation"]).collect::<Vec<_>>(),
        [&json!(at_risk), &json!(careful)]
    );
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{row}"));
    let fall = number(&rows[1], "fall");
    assert!(number(&rows[0], "fall") == 0.0 && (0.01..0.99).contains(&fall), "{report:#}");
    for row in rows {
        assert!(number(row, "profitUsd") > 0.0, "{row}");
        assert!(number(row, "profitUsd") < number(row, "bonusUsd"), "{row}");
        assert!((300..=1_232).contains(&(number(row, "bytes") as u64)), "{row}");
        assert!(number(row, "units") > 50_000.0, "{row}");
    }
    // What is quoted now is what the drill gets, but for what it costs.
    let quote = json_of(&["--fork", folder_arg(), "quote", &at_risk]);
    let quoted = number(&quote, "profitValue");
    let drilled = number(&rows[0], "profitUsd") + number(&rows[0], "costsUsd");
    assert!((drilled / quoted - 1.0).abs() < 1e-3, "{drilled} {quoted}");
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(drawn.contains("profit of what sells") && drawn.contains("</svg>"), "{drawn}");
    let said = text(&keeper(&args));
    assert!(said.contains("In all") && said.contains("liquidated"), "{said}");
    // Nothing of it is kept.
    assert_eq!(obligations(), (at_risk, careful));
}

/// A node's market comes out as its folder does, and nothing is sent to it.
#[test]
fn a_node_is_drilled_as_a_folder_is() {
    let node = Node::serve(folder());
    let drill = |source: [&str; 2]| {
        let report = json_of(&[&source[..], &["drill"]].concat());
        report["obligations"].as_array().unwrap().clone()
    };
    let (there, here) = (drill(["--rpc", node.url()]), drill(["--fork", folder_arg()]));
    assert_eq!(verdicts(&there), ["liquidated"; 2], "{there:#?}");
    for (there, here) in there.iter().zip(&here) {
        for what in ["obligation", "verdict", "fall", "profitUsd", "units", "bytes"] {
            assert_eq!(there[what], here[what], "{what}: {there} {here}");
        }
    }
    assert_eq!(node.sent(), 0);
}

#[test]
fn what_cannot_be_liquidated_is_said_with_its_reason() {
    let permissioned = |world: &mut World| {
        let market = world.market().unwrap();
        let edit = |market: &mut klend_interface::state::LendingMarket| {
            market.permissioning_authority = to_v2(&Address::new_from_array([7; 32]));
            market.permissioned_ops = permissioned_ops::LIQUIDATE;
        };
        world.edit_lending_market(&market, edit).unwrap();
    };
    let rows = drilled(permissioned, &[]);
    assert_eq!(verdicts(&rows), ["permissioned"; 2], "{rows:#?}");

    let without_pools = |world: &mut World| {
        let stand_in = flash_liquidator_client::swap::stand_in::PROGRAM_ID;
        for (key, _) in world.svm().get_program_accounts(&stand_in) {
            world.set_account(&key, Account::default()).unwrap();
        }
    };
    let rows = drilled(without_pools, &[]);
    assert_eq!(verdicts(&rows), ["no_venue"; 2], "{rows:#?}");
    assert!(rows[0]["why"].as_str().unwrap().contains("--pool"), "{rows:#?}");
    assert!(rows[0]["bonusUsd"].as_f64().unwrap() > 0.0, "{rows:#?}");

    let with = |flag: &str, value: &str| {
        json_of(&["--fork", folder_arg(), "drill", flag, value])["obligations"].take()
    };
    let rows = with("--min-profit", "1e9");
    assert_eq!(verdicts(rows.as_array().unwrap()), ["too_small"; 2], "{rows:#}");
    assert_eq!(with("--min-debt", "1e12"), json!([]));
}
